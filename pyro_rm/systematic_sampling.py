"""Systematic sampling with unequal probabilities, of many rows at once."""

from __future__ import annotations

import torch
from torch import Tensor


def inclusion_probabilities(sizes: Tensor, num_draws: int) -> Tensor:
    r"""Probabilities :math:`\pi_i = \min(1, c q_i)` that sum to the number of draws.

    Those of :class:`ProportionalToSize`. Rows with fewer positive sizes than draws get
    :math:`\pi_i = 1` for each of them.

    :param sizes: Non-negative, of shape ``batch_shape + (candidates,)``.
    :param num_draws: The sum to reach.
    :returns: Shape of ``sizes``.

    Example:

        >>> inclusion_probabilities(torch.tensor([8.0, 1.0, 1.0]), 2)
        tensor([1.0000, 0.5000, 0.5000])

    .. note:: Exact: only the ``num_draws`` largest can be certain, and a candidate is
        so if its size times the draws left after it is at least what all smaller ones sum
        to, which is checked for all of them at once. Sums begin with the smallest, so that
        sizes of any magnitudes are met.
    """
    k = min(num_draws, sizes.shape[-1])
    top, index = sizes.topk(k)
    top = top.to(sum_type(sizes))
    rest = sizes.scatter(-1, index, 0).sum(-1, keepdim=True, dtype=top.dtype)
    smaller = torch.cat([rest, top[..., 1:].flip(-1)], -1).cumsum(-1).flip(-1)
    left = torch.arange(k - 1, -1, -1, device=sizes.device)
    certain = (left * top >= smaller)[..., :-1].sum(-1, keepdim=True)
    factor = (k - certain) / (top + smaller).gather(-1, certain)
    factor = factor.masked_fill(rest == 0, torch.inf)  # nothing else is left to draw
    factor = factor.clamp(max=torch.finfo(sizes.dtype).max).to(sizes.dtype)
    return (factor * sizes).clamp(max=1)


def stratified_offsets(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    r"""Offsets that are uniform in :math:`[0, 1)` each, and together one in each of n strata.

    The offsets of :class:`ProportionalToSize`. Strata are dealt to the rows at random, so that
    whatever the rows are, the variance of their mean is at most :math:`n / (n - 1)` times that
    of independent offsets, and far less where rows are alike.

    :param shape: Rows.
    :param dtype: Of the offsets.
    :param device: Where they are.
    :returns: Of the given shape.

    Example:

        >>> offsets = stratified_offsets(torch.Size([4]), torch.float64, torch.device("cpu"))
        >>> (4 * offsets.sort().values).floor()
        tensor([0., 1., 2., 3.], dtype=torch.float64)
    """
    rows = shape.numel()
    within = torch.rand(rows, dtype=dtype, device=device)
    return ((torch.randperm(rows, device=device) + within) / rows).frac().view(shape)


def systematic_draw(
    inclusion: Tensor, order: Tensor, offset: Tensor, num_draws: int
) -> tuple[Tensor, Tensor]:
    r"""Systematic sampling: a pure function of probabilities, order and offset.

    The probabilities are laid end to end in the given order; the candidates under the
    ticks ``offset, offset + 1, ...`` are drawn, as in :class:`ProportionalToSize`.

    :param inclusion: Probabilities with an integer sum in each row, ``batch_shape +
        (candidates,)`` or one row for the batch.
    :param order: A permutation of the candidates, ``(candidates,)``.
    :param offset: In :math:`[0, 1)`, ``batch_shape``.
    :param num_draws: Ticks; those beyond the sum of a row are padding.
    :returns: Indices and weights :math:`1 / \pi_i` (0 for padding), ``batch_shape + (draws,)``.
    """
    ordered = inclusion.gather(-1, order.expand(inclusion.shape))
    cumulative = ordered.cumsum(-1, dtype=offset.dtype)
    reached = cumulative[..., -1:]
    total = reached.round()
    ticks = offset[..., None] + torch.arange(num_draws, device=inclusion.device)
    index = order[search(cumulative, ticks * (reached / total.clamp(min=1)))]
    drawn = inclusion.expand((*index.shape[:-1], -1)).gather(-1, index)
    return index, torch.where((ticks < total) & (drawn > 0), 1 / drawn, 0.0)


def sum_type(sizes: Tensor) -> torch.dtype:
    """Double precision where the device has it: cumulative sums must be exact."""
    return sizes.dtype if sizes.device.type == "mps" else torch.float64


def one_row(sizes: Tensor) -> Tensor:
    """Without the rows that repeat another one in memory, as :meth:`Tensor.expand` makes them."""
    return sizes[tuple(slice(1 if stride == 0 else None) for stride in sizes.stride()[:-1])]


def search(cumulative: Tensor, points: Tensor) -> Tensor:
    """Where points fall between cumulative sums, row by row or all in one row."""
    if cumulative.numel() == cumulative.shape[-1]:
        cumulative = cumulative.flatten()
    else:
        cumulative = cumulative.expand((*points.shape[:-1], -1)).contiguous()
    index = torch.searchsorted(cumulative, points.contiguous(), right=True)
    return index.clamp(max=cumulative.shape[-1] - 1)
