"""Which symbol means what: couplings under another coding of the states."""

from __future__ import annotations

from torch import Tensor

from pyro_rm.checks import check_real

States = tuple[float, float]


def recode(
    couplings: Tensor, fields: Tensor, *, source: States, target: States
) -> tuple[Tensor, Tensor]:
    r"""Couplings and fields of the same Ising model for another coding of its states.

    The convention is :math:`\log p(x) = \tfrac12 x^\top J x + h^\top x + \text{const}`, a sum
    over pairs :math:`\sum_{i<j} J_{ij} x_i x_j`; a published :math:`x^\top J' x` over all
    entries of a matrix has :math:`J = 2 J'`. With :math:`x = a + b s`, for spins and bits
    :math:`x = (1 + s) / 2`, the model is
    :math:`J_s = b^2 J_x,\; h_s = b (h_x + a J_x \mathbf 1)`: couplings of spins are a quarter
    of those of bits, and a quarter of the log odds ratio of the two sites given all others.

    :param couplings: Symmetric with zero diagonal, ``batch_shape + (D, D)``.
    :param fields: ``batch_shape + (D,)``.
    :param source: The states now, ``(0, 1)`` or ``(-1, 1)``.
    :param target: The states wanted.
    :returns: Couplings and fields for the target.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If the shapes do not fit, or states are equal.

    Example:

        >>> import torch
        >>> bits = torch.tensor([[0.0, 4.0], [4.0, 0.0]]), torch.zeros(2)
        >>> recode(*bits, source=(0, 1), target=(-1, 1))
        (tensor([[0., 1.],
                [1., 0.]]), tensor([1., 1.]))
    """
    check_real(couplings, "couplings")
    check_real(fields, "fields")
    square = couplings.dim() >= 2 and couplings.shape[-1] == couplings.shape[-2]
    if not square or fields.shape[-1:] != couplings.shape[-1:]:
        raise ValueError(
            f"Expected couplings and fields of shapes (..., D, D) and (..., D), but got "
            f"{tuple(couplings.shape)} and {tuple(fields.shape)}."
        )
    if source[0] == source[1] or target[0] == target[1]:
        raise ValueError(f"Expected two states, but got {source} and {target}.")
    scale = (source[1] - source[0]) / (target[1] - target[0])
    shift = source[0] - scale * target[0]
    return scale**2 * couplings, scale * (fields + shift * couplings.sum(-1))
