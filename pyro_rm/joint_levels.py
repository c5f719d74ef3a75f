"""Pairs of a datum and a level of noise: how they are drawn, and what the level contributes."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.target import Target
from pyro_rm.terms import Terms


def drawn_noise(target: Target, encoded: Tensor) -> tuple[Tensor, Tensor]:
    """A level of noise for each datum, and the data at it.

    :param target: One with levels; inactive sites are left alone.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :returns: Shapes ``batch_shape`` and like ``encoded``.
    """
    assert target.levels is not None
    level = target.levels.draw(target.batch_shape_of(encoded), encoded.device)
    value = target.decode(encoded)
    noisy = target.levels.redrawn(target.space, value, level, active=target.active)
    return level, target.encode(noisy)


def with_level_term(target: Target, level: Tensor, encoded: Tensor, sites: Terms) -> Terms:
    r"""Contributions of the sites, and that of the level given them, :math:`-\log p(l \mid x)`.

    :param target: One with levels.
    :param level: The level of each datum, ``batch_shape``.
    :param encoded: The data, noisy, ``batch_shape + encoded_shape``.
    :param sites: Contributions of the sites at that level.
    :returns: Shapes ``units + 1 + batch_shape``, the level's last.

    .. note:: Costs the energies of all levels.
    """
    assert target.levels is not None
    energies = target.level_energies(encoded, len(target.levels))
    logits = target.levels.log_shares(energies) - energies
    term = -logits.log_softmax(-1).gather(-1, level[..., None]).movedim(-1, 0)
    return Terms(
        torch.cat([sites.contributions, term]),
        torch.cat([sites.weights.expand(sites.contributions.shape), torch.ones_like(term)]),
        sites.correction,
    )
