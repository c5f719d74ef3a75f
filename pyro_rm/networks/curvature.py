"""First and second derivatives of the objective of a pairwise model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from pyro_rm.drawn_gaps import unit_gaps
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.objectives import Objective


def derivatives(
    model: PairwiseModel, observations: Observations, objective: Objective
) -> tuple[Tensor, Iterator[Tensor]]:
    """Derivatives of the objective in what each site feels, and their own.

    :param model: The model.
    :param observations: The data.
    :param objective: The objective.
    :returns: First derivatives, ``(R, D, f)``; second ones, weighted, one coordinate at a time.

    .. note:: Costs a product of data and couplings.
    """
    space, encoded, active = model.space, observations.encoded, observations.active
    basis = model.basis
    fields = model.local_fields(encoded)
    with torch.enable_grad():
        shift = fields.new_zeros(*encoded.shape[:2], basis.shape[-1]).requires_grad_()
        along = shift[..., 0] if space.is_binary else (basis @ shift[..., None])[..., 0]
        moved = fields + along
        gaps = linear_gaps(space, encoded, moved)
        terms = objective(unit_gaps(space, encoded, gaps, objective))
        if terms.dim() > 2:  # the neighbors of a site; its own value is none
            terms = terms * (space.category_mask(encoded.device) & (encoded == 0))
            terms = terms.sum(-1)
        if active is not None:
            terms = terms * active
        (slope,) = torch.autograd.grad(terms.sum(), shift, create_graph=True)
    return slope.detach(), _bends(slope, shift, observations.weights[:, None, None])


def _bends(slope: Tensor, shift: Tensor, weights: Tensor) -> Iterator[Tensor]:
    width = slope.shape[2]
    for own in range(width):
        with torch.enable_grad():
            total = slope[..., own].sum()
        (bend,) = torch.autograd.grad(total, shift, retain_graph=own + 1 < width)
        yield weights * bend


def pair_sums(model: PairwiseModel, matrix: Tensor) -> Tensor:
    """Entries of both directions of each edge's couplings, ``(E m m,)``.

    :param model: The model.
    :param matrix: Of coordinates with coordinates, ``(D m, D m)``.
    """
    (sites, width), (first, second) = model.couples.shape, model.edges.unbind(1)
    blocks = matrix.view(sites, width, sites, width).transpose(1, 2)
    return ((blocks[first, second] + blocks[second, first].mT) * model.paired).flatten()


def hessian(model: PairwiseModel, x: Tensor, bends: Iterable[Tensor]) -> Tensor:
    """Sum over sites of the curvature in the site's own couplings and field.

    :param model: The model.
    :param x: Coordinates of the data, ``(R, D, f)``.
    :param bends: Second derivatives as of :func:`derivatives`.
    :returns: Couplings first, ``(E m m + D f,) * 2``; 1 on the diagonal where there is
        no parameter.

    .. note:: Costs a product of the data with themselves for each site, over its neighbors.
    """
    edges, paired, width = model.edges, model.paired, model.couples.shape[1]
    of_edges = torch.arange(paired.numel(), device=x.device).view_as(paired)
    of_fields = paired.numel() + torch.arange(x[0].numel(), device=x.device).view(x.shape[1:])
    size = paired.numel() + of_fields.numel()
    result = x.new_zeros(size, size)
    rows = x.movedim(0, -1).contiguous()  # of sites, which are gathered whole
    constant = x.new_ones(1, len(x))
    for own, bend in enumerate(bends):
        bend_rows = bend.movedim(0, -1).contiguous()
        for site in range(x.shape[1]):
            fields = of_fields[site]
            if own >= width:
                result[fields[own], fields[width:]] += bend_rows[site, width:].sum(1)
                continue
            as_first, as_second = (edges == site).unbind(1)
            others = torch.cat([edges[as_first, 1], edges[as_second, 0]])
            inputs = torch.cat([rows[others, :width].flatten(0, 1), constant])
            index = torch.cat([of_edges[as_first], of_edges[as_second].mT]).movedim(1, 0)
            index = torch.cat([index.flatten(1), fields[:width, None]], 1)
            for other in range(width):
                block = inputs @ (inputs * bend_rows[site, other]).mT
                result[index[own, :, None], index[other]] += block
            block = inputs @ bend_rows[site, width:].mT
            result[index[own, :, None], fields[width:]] += block
            result[fields[width:, None], index[own]] += block.mT
    absent = ~torch.cat([paired.flatten(), model.exists.flatten()])
    result[absent], result[:, absent] = 0.0, 0.0
    result.diagonal()[absent] = 1.0
    return result
