"""Gaps of what an objective draws, neighbors or sites: of some, and from a table of all."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.designs import Draw
from pyro_rm.neighborhoods import Neighbors, substitutions
from pyro_rm.objectives import Objective
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def drawn_gaps(
    target: Target,
    encoded: Tensor,
    objective: Objective,
    draw: Draw,
    max_neighbors_per_chunk: int | None = None,
) -> Tensor:
    r"""Gaps of the objective's sampling units: of neighbors, or of sites.

    The gap of a site is :math:`\log \sum_k e^{\delta_k}` over its substitutions.

    :param target: What gives the gaps.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param objective: Says what is drawn.
    :param draw: The draw, ``draws + batch_shape``.
    :param max_neighbors_per_chunk: Bound on neighbor states evaluated at once.
    :returns: Shape ``draws + batch_shape``; finite for padding, which does not count.

    Example:

        >>> from pyro_rm.objectives import Pseudolikelihood
        >>> draw = Draw(torch.tensor([0, 2]), torch.tensor([1.5, 1.5]))
        >>> target = Target.of(lambda x: x @ torch.arange(3.0), StateSpace(3))
        >>> drawn_gaps(target, torch.zeros(3), Pseudolikelihood(), draw)
        tensor([ 0., -2.])

    .. note:: Costs one energy a datum and one a neighbor; a drawn site has all its substitutions
        as neighbors.
    """
    space, exists = target.space, None
    if space.is_binary:
        neighbors = Neighbors(draw.candidates)
    elif objective.sampling_unit == "site":
        neighbors, exists = substitutions(space, encoded, draw.candidates)
    else:
        k = space.max_categories
        neighbors = Neighbors(draw.candidates // k, draw.candidates % k)
    gaps = target.gaps(encoded, neighbors, max_neighbors_per_chunk)
    visited = draw.weights > 0
    if exists is None:
        return torch.where(visited, gaps, 0.0)
    substituted = gaps.unflatten(0, (-1, len(draw.candidates)))
    substituted = torch.where(visited, substituted, 0.0)
    return substituted.masked_fill(
        ~exists.unflatten(0, substituted.shape[:2]), -torch.inf
    ).logsumexp(0)


def unit_gaps(space: StateSpace, encoded: Tensor, table: Tensor, objective: Objective) -> Tensor:
    r"""Gaps of all sampling units, from gaps to all flips or categories.

    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param table: Gaps, of the shape of ``encoded``.
    :param objective: Says what is drawn.
    :returns: ``batch_shape + (D,)`` where sites are drawn, else the table.

    Example:

        >>> from pyro_rm.objectives import Pseudolikelihood
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> unit_gaps(StateSpace(1, 3), x, torch.zeros(1, 3), Pseudolikelihood())
        tensor([0.6931])

    .. note:: Costs no energy.
    """
    if objective.sampling_unit == "neighbor" or space.is_binary:
        return table
    other = space.category_mask(encoded.device) & (encoded == 0)
    return table.masked_fill(~other, -torch.inf).logsumexp(-1)
