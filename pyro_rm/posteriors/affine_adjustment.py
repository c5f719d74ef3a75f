"""Draws moved to a given covariance and center."""

from __future__ import annotations

import torch
from torch import Tensor


def affine_adjustment(draws: Tensor, covariance: Tensor, center: Tensor | None = None) -> Tensor:
    r"""The same draws, about another center and with another covariance [1].

    With mean :math:`m` and covariance :math:`S` of the draws,
    :math:`\theta' = c + C^{1/2} S^{-1/2} (\theta - m)`.

    :param draws: ``(num_draws, p)``, more of them than ``p``.
    :param covariance: :math:`C`, ``(p, p)``, positive definite.
    :param center: :math:`c`, ``(p,)``; the draws' mean if None.
    :returns: Shape ``(num_draws, p)``.
    :raises ValueError: If there are too few draws, or a matrix is not positive definite.

    Example:

        >>> draws = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> affine_adjustment(draws, torch.tensor([[4.0]]))
        tensor([[-2.],
                [ 0.],
                [ 2.]])

    **References**

    [1] Mathieu Ribatet, Daniel Cooley, Anthony Davison (2012) "Bayesian inference from
        composite likelihoods, with an application to spatial extremes", Statistica Sinica 22.
    """
    count, size = draws.shape
    if count <= size:
        raise ValueError(
            f"Expected more draws than the {size} parameters, but got {count}; draw more."
        )
    wide = draws.double()
    mean = wide.mean(0)
    spread = (wide - mean).mT @ (wide - mean) / (count - 1)
    to_unit = _power(spread, -0.5, "draws that vary in all directions")
    to_covariance = _power(covariance.double(), 0.5, "a positive definite covariance")
    moved = (mean if center is None else center) + (wide - mean) @ to_unit @ to_covariance
    return moved.to(draws.dtype)


def _power(matrix: Tensor, exponent: float, expected: str) -> Tensor:
    """The symmetric power of a positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    if values[0] <= 0:
        raise ValueError(
            f"Expected {expected}, but got a singular matrix; draw more, or run chains for longer."
        )
    return (vectors * values**exponent) @ vectors.mT
