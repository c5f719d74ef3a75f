"""Chains that walk down the levels of noise, from the background to the data."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real
from pyro_rm.energy_protocol import Context
from pyro_rm.markov_steps.chains import Chains
from pyro_rm.markov_steps.transition import MarkovStep
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def sample_by_levels(
    model: Any,
    start: Tensor,
    *,
    num_levels: int,
    state_space: StateSpace | None = None,
    step: MarkovStep | None = None,
    num_steps: int = 2,
    context: Tensor | Context = (),
    active: Tensor | None = None,
    progress: bool = True,
) -> Tensor:
    """Walk chains from full noise to the data, some Markov steps at each level [1].

    :param model: An energy that takes a level as its last context, or a model or
        :class:`~pyro_rm.Target` of one, without the level.
    :param start: Data at the highest level, ``batch_shape + (D,)``, as of
        ``draw_background``.
    :param num_levels: Number of levels; the last one visited is 0.
    :param state_space: The space, where the energy does not say it.
    :param step: What moves the chains; that of the energy if None.
    :param num_steps: Steps at each level.
    :param context: Tensors that come before the level, ``batch_shape + ...``.
    :param active: Booleans that broadcast to ``start``; other sites are clamped.
    :param progress: Whether to show a bar, if it takes longer than two seconds.
    :returns: Data, of the shape of ``start``.
    :raises TypeError: If ``start`` is not a tensor of real numbers.
    :raises ValueError: If its shape or a value is not of the space.

    Example:

        >>> def energy(x, level):
        ...     return -99 * (x.sum(-1) - level).abs()
        >>> sample_by_levels(energy, torch.zeros(1, 3), num_levels=1, state_space=StateSpace(3))
        tensor([[1., 1., 1.]])

    .. note:: Costs ``num_levels * num_steps`` Markov steps. Approximate: the steps leave
        each level's model invariant, and how near the last one comes depends on their number.

    **References**

    [1] Yang Song, Stefano Ermon (2019) "Generative modeling by estimating gradients of the
        data distribution", NeurIPS.
    """
    check_counts(num_levels=num_levels)
    check_counts(0, num_steps=num_steps)
    check_real(start)
    target = Target.of(
        model, state_space, context=context, active=active, batch_shape=start.shape[:-1]
    )
    target.space.validate(start)
    encoded = target.encode(start)

    @lru_cache(maxsize=1)  # one target for all steps of a level
    def at(level: int) -> Target:
        levels = torch.full(start.shape[:-1], level, device=encoded.device)
        return target.on(levels)

    chains = Chains(at(num_levels - 1), encoded, step)
    chains.run(
        num_levels * num_steps,
        schedule=lambda number: at(num_levels - 1 - number // num_steps),
        progress=progress,
    )
    return target.decode(chains.encoded)
