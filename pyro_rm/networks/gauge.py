"""Potts parameters that say the same model once: the zero-sum gauge."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.checks import check_real
from pyro_rm.state_space import StateSpace


def zero_sum_gauge(couplings: Tensor, fields: Tensor, space: StateSpace) -> tuple[Tensor, Tensor]:
    r"""Move what a single site can say from the couplings of a Potts model to its fields.

    Energies change by a constant only. Over the categories of either site, couplings sum to
    zero [1], which makes their norm the smallest of all equal models; so do fields.

    :param couplings: Symmetric, zero within a site, ``(D, K, D, K)``.
    :param fields: ``(D, K)``.
    :param space: The state space; categories that a site does not have become zero.
    :returns: Couplings and fields in the gauge.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If a shape is not that of the space.

    Example:

        >>> space = StateSpace(2, 3)
        >>> couplings = torch.zeros(2, 3, 2, 3)
        >>> couplings[0, :, 1] = couplings[1, :, 0] = 1.0  # the same for all pairs of categories
        >>> zero_sum_gauge(couplings, torch.zeros(2, 3), space)[0].abs().max()
        tensor(0.)

    **References**

    [1] Magnus Ekeberg et al. (2013) "Improved contact prediction in proteins: using
        pseudolikelihoods to infer Potts models", Physical Review E 87.
    """
    check_real(couplings, "couplings")
    check_real(fields, "fields")
    shape = (space.num_sites, space.max_categories)
    if couplings.shape != shape + shape or fields.shape != shape:
        raise ValueError(
            f"Expected couplings and fields of shapes {shape + shape} and {shape}, but got "
            f"{tuple(couplings.shape)} and {tuple(fields.shape)}."
        )
    exists = space.category_mask(couplings.device).to(couplings.dtype)
    share = exists / exists.sum(1, keepdim=True)
    own = torch.einsum("iajb,jb->iaj", couplings, share)  # mean over the other's categories
    mean = torch.einsum("iaj,ia->ij", own, share)
    moved = own - mean[:, None, :]
    pairs = couplings - own[:, :, :, None] - torch.einsum("jbi->ijb", own)[:, None, :, :]
    pairs = (pairs + mean[:, None, :, None]) * exists[:, :, None, None] * exists
    singles = fields + moved.sum(2)
    singles = (singles - (singles * share).sum(1, keepdim=True)) * exists
    return pairs, singles
