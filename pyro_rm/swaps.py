r"""Exchanging the values of two sites: neighbors of states whose counts are fixed.

Where a datum must have so many ones, or so many sites of each category, a single change leaves the
states that can be, and says nothing. An exchange of two different values does not. The sum over
exchanges of :math:`-\log p(x \mid x \text{ or } x')` is a composite likelihood [1], as the
pseudolikelihood is one over single changes; the other objectives have their form over exchanges,
too. What all states share cannot be learned from it: the sum of the fields stays as it was.

**References**

[1] Cristiano Varin, Nancy Reid, David Firth (2011) "An overview of composite likelihood methods",
    Statistica Sinica 21(1).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pyro_rm.generic_paths import recomputed
from pyro_rm.target import Target


def exchanged(target: Target, encoded: Tensor, pairs: Tensor) -> Tensor:
    """The states after exchanging the values of two sites.

    :param target: Says how states are encoded.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param pairs: Two sites each, ``(2, pairs) + batch_shape``.
    :returns: Shape ``(pairs,) + batch_shape + encoded_shape``.

    Example:

        >>> from pyro_rm import StateSpace
        >>> target = Target(lambda x: x.sum(-1), StateSpace(3))
        >>> exchanged(target, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([[0, 0], [1, 2]]))
        tensor([[0., 1., 0.],
                [0., 0., 1.]])

    .. note:: Costs no energy.
    """
    sites = pairs if target.space.is_binary else pairs[..., None]
    dim = -1 if target.space.is_binary else -2
    states = encoded.expand(pairs.shape[1:2] + encoded.shape)
    first, second = sites.unsqueeze(dim)
    if dim == -2:
        shape = (*first.shape[:-1], encoded.shape[-1])
        first, second = first.expand(shape), second.expand(shape)
    one, other = states.gather(dim, first), states.gather(dim, second)
    return states.scatter(dim, first, other).scatter(dim, second, one)


def _all_swaps(target: Target, encoded: Tensor) -> tuple[Tensor, Tensor]:
    """Every pair of sites, and which of them can be exchanged.

    :param target: Its inactive sites stay as they are.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :returns: Sites, ``(2, pairs) + batch_shape``, and 1 where both are active and their values
        differ, ``(pairs,) + batch_shape``; else 0, and a site twice, which is no exchange.
    """
    sites = target.space.num_sites
    first, second = torch.triu_indices(sites, sites, 1, device=encoded.device)
    shape = (-1, *(1,) * len(batch := target.batch_shape_of(encoded)))
    each = torch.arange(sites, device=encoded.device).view(shape).expand(-1, *batch)
    differ = partners(target, encoded, each).movedim(-1, 1)[first, second]
    pairs = torch.stack([each[first], torch.where(differ, each[second], each[first])])
    return pairs, differ.to(encoded.dtype)


def partners(target: Target, encoded: Tensor, sites: Tensor) -> Tensor:
    """With which sites given ones can be exchanged.

    :param target: Its inactive sites stay as they are.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param sites: Indices of sites, ``shape + batch_shape``.
    :returns: Booleans, ``shape + batch_shape + (D,)``; of the site itself where there is none.
    :raises ValueError: If sites have different numbers of categories.

    Example:

        >>> from pyro_rm import StateSpace
        >>> target = Target(lambda x: x.sum(-1), StateSpace(3))
        >>> partners(target, torch.tensor([1.0, 0.0, 1.0]), torch.tensor(0))
        tensor([False,  True, False])

    .. note:: Costs no energy.
    """
    if len(set(target.space.categories)) > 1:
        raise ValueError(
            "Expected sites with equally many categories, to exchange their values, but got "
            f"{target.space}."
        )
    values, site = target.decode(encoded), sites[..., None]
    values = values.expand((*sites.shape, values.shape[-1]))
    differ = values != values.gather(-1, site)
    if target.active is not None:
        active = target.active.expand(values.shape)
        differ = differ & active & active.gather(-1, site)
    alone = ~differ.any(-1, keepdim=True)
    return differ | (alone & (torch.arange(values.shape[-1], device=site.device) == site))


def num_partners(target: Target, encoded: Tensor) -> Tensor:
    """With how many sites each site can be exchanged.

    :param target: Its inactive sites stay as they are.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :returns: Counts, ``batch_shape + (D,)``.

    Example:

        >>> from pyro_rm import StateSpace
        >>> target = Target(lambda x: x.sum(-1), StateSpace(3))
        >>> num_partners(target, torch.tensor([1.0, 0.0, 1.0]))
        tensor([1, 2, 1])

    .. note:: Costs no energy.
    """
    space = target.space
    values = target.decode(encoded)
    codes = (values != space.states[0]).long() if space.is_binary else values.long()
    kinds = torch.nn.functional.one_hot(codes, space.max_categories)
    active = torch.ones_like(codes) if target.active is None else target.active.expand_as(codes)
    totals = (kinds * active[..., None]).sum(-2, keepdim=True)
    alike = (kinds * totals).sum(-1)
    return (totals.sum(-1) - alike) * active


def _drawn_swaps(target: Target, encoded: Tensor, num_draws: int) -> tuple[Tensor, Tensor]:
    """Pairs of sites that can be exchanged, drawn uniformly with replacement.

    :param target: Its inactive sites stay as they are.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param num_draws: How many a datum.
    :returns: Sites, ``(2, num_draws) + batch_shape``, and what each counts, so that sums are
        unbiased, ``batch_shape``: 0 where nothing can be exchanged.

    .. note:: Costs ``num_draws * D`` comparisons a datum, and no energy.
    """
    counts = num_partners(target, encoded)
    total = counts.sum(-1, keepdim=True)
    weights = (counts + (total == 0)).reshape(-1, counts.shape[-1]).float()
    first = torch.multinomial(weights, num_draws, replacement=True).mT
    first = first.reshape(num_draws, *counts.shape[:-1])
    possible = partners(target, encoded, first).reshape(-1, counts.shape[-1]).float()
    second = torch.multinomial(possible, 1).view(first.shape)
    return torch.stack([first, second]), total[..., 0].to(encoded.dtype) / (2 * num_draws)


def swap_gaps(
    target: Target, encoded: Tensor, num_draws: int | None = None, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Gaps :math:`E(x) - E(x')` to states after exchanges, and what each counts in their sum.

    :param target: What gives energies.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param num_draws: How many a datum, drawn; None: all pairs of sites.
    :param chunk: Bound on states evaluated at once; those of a chunk are evaluated again for the
        gradient.
    :returns: Two of shape ``(swaps,) + batch_shape``.

    Example:

        >>> from pyro_rm import StateSpace
        >>> target = Target(lambda x: x @ torch.tensor([0.0, 1.0, 3.0]), StateSpace(3))
        >>> gaps, weights = swap_gaps(target, torch.tensor([1.0, 0.0, 0.0]))
        >>> gaps[weights > 0]
        tensor([-1., -3.])

    .. note:: Costs an energy a datum and a swap.
    """
    if num_draws is None:
        pairs, weights = _all_swaps(target, encoded)
    else:
        pairs, weights = _drawn_swaps(target, encoded, num_draws)
    here = target(encoded)
    rows = len(pairs[0]) if chunk is None else max(1, chunk // max(1, here.numel()))
    batch = target.batch_shape_of(encoded)

    def energies(some: Tensor) -> Tensor:
        shapes = [(len(some[0]), *batch, *c.shape[len(batch) :]) for c in target.context]
        copies = [c.expand(shape) for c, shape in zip(target.context, shapes, strict=True)]
        return replace(target, context=tuple(copies))(exchanged(target, encoded, some))

    if rows >= len(pairs[0]):
        return here - energies(pairs), weights.expand(pairs[0].shape)
    there = torch.cat([recomputed(energies, some) for some in pairs.split(rows, 1)])
    return here - there, weights.expand(pairs[0].shape)
