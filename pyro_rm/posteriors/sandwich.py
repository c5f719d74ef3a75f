r"""Curvature and variability of a loss: what its posterior ignores, and its estimates obey."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram


@dataclass(frozen=True)
class Sandwich:
    r"""Curvature :math:`H`, variability :math:`K` and the prior's curvature :math:`P` at a point.

    With :math:`g_n = \nabla L_n` the score of one of :math:`N` independent units and
    :math:`p` parameters that scores depend on,

    .. math::

        H = \sum_n \nabla^2 L_n, \qquad
        K = \frac{N}{N - p} \sum_n (g_n - \bar g)(g_n - \bar g)^\top, \qquad
        P = -\nabla^2 \log p(\theta).

    They agree, :math:`H \approx K`, for the likelihood of a model that holds. The estimate of
    any other loss varies like :math:`H^{-1} K H^{-1}` [1].

    :param hessian: :math:`H`, ``(p, p)``.
    :param variability: :math:`K`, ``(p, p)``.
    :param prior_hessian: :math:`P`, ``(p, p)``.
    :param num_units: :math:`N`.
    :param num_parameters: The parameters that scores depend on.
    :param tolerance: Relative size of an eigenvalue of :math:`K` that is rounding.

    **References**

    [1] V. P. Godambe (1960) "An optimum property of regular maximum likelihood estimation",
        The Annals of Mathematical Statistics 31(4).
    """

    hessian: Tensor
    variability: Tensor
    prior_hessian: Tensor
    num_units: int
    num_parameters: int
    tolerance: float

    def eigenvalues(self) -> Tensor | None:
        r"""Eigenvalues of :math:`H^{-1} K` in the directions that data inform.

        :returns: Shape ``(rank,)``, ascending; None if :math:`H` is not positive definite
            there. They are 1 for a likelihood that holds.
        """
        values, vectors = torch.linalg.eigh(self.variability)
        informed = vectors[:, values > self.tolerance * len(values) * values[-1]]
        factor, failed = torch.linalg.cholesky_ex(informed.mT @ self.hessian @ informed)
        if informed.shape[1] == 0 or failed:
            return None
        half = torch.linalg.solve_triangular(factor, informed.mT @ self.variability, upper=False)
        whole = torch.linalg.solve_triangular(factor, informed.mT @ half.mT, upper=False)
        return torch.linalg.eigvalsh(whole)

    def posterior_covariance(self, weight: float) -> Tensor | None:
        """The inverse of ``weight * H + P``; None if that is not positive definite."""
        factor, failed = torch.linalg.cholesky_ex(weight * self.hessian + self.prior_hessian)
        return None if failed else torch.cholesky_inverse(factor)

    def calibrated_covariance(self, weight: float, posterior: Tensor) -> Tensor:
        r"""What the covariance should be: :math:`W (w^2 K + P) W` with :math:`W = (wH + P)^{-1}`.

        :param weight: :math:`w`.
        :param posterior: :math:`W`, or another estimate of the posterior's covariance.
        :returns: Shape ``(p, p)``.
        """
        excess = weight**2 * self.variability - weight * self.hessian
        return posterior + posterior @ excess @ posterior


def sandwich_at(program: UnconstrainedProgram, flat: Tensor) -> Sandwich:
    """Curvature and variability of a program's losses at a point.

    :param program: The program.
    :param flat: Parameters, ``(p,)``.
    :returns: Matrices in double precision.

    .. note:: Costs one run of the program and ``3 p`` backward passes.
    """
    point = flat.detach().requires_grad_()
    losses, prior = program.terms(point)
    scores = jacobian(losses, point)
    hessian = jacobian(gradient(program.ratios @ losses, point), point)
    prior_hessian = jacobian(gradient(prior, point), point)
    informed = int((scores != 0).any(0).sum())
    return Sandwich(
        symmetric(hessian),
        variability_of(scores, program.ratios, informed),
        symmetric(prior_hessian),
        len(scores),
        informed,
        torch.finfo(flat.dtype).eps,
    )


def variability_of(scores: Tensor, ratios: Tensor, num_parameters: int) -> Tensor:
    """The variability of a sum of independent scores, corrected for fitted parameters.

    :param scores: ``(N, p)``, double precision.
    :param ratios: Units of the population that an observed one stands for, ``(N,)``.
    :param num_parameters: How many parameters were fitted.
    :returns: Shape ``(p, p)``. The correction stays below 3 for small ``N``.
    """
    count = len(scores)
    centered = scores - scores.mean(0)
    correction = count / max(count - num_parameters, count / 3)
    return correction * (centered.mT * ratios.to(scores.dtype)) @ centered


def jacobian(outputs: Tensor, inputs: Tensor) -> Tensor:
    """The Jacobian ``(n, p)`` by ``p`` backward passes, whatever the number of outputs.

    The vector-Jacobian product is linear in its vector; its derivative in that vector, entry
    by entry, gives the columns.

    :param outputs: ``(n,)``, twice differentiable.
    :param inputs: ``(p,)``.
    :returns: Shape ``(n, p)``, double precision, detached.
    """
    vector = torch.zeros_like(outputs, requires_grad=True)
    product = gradient(outputs, inputs, vector)
    if not product.requires_grad:
        return torch.zeros(len(outputs), len(inputs), dtype=torch.double, device=inputs.device)
    columns = [
        torch.autograd.grad(entry, vector, retain_graph=True, materialize_grads=True)[0]
        for entry in product
    ]
    return torch.stack(columns, -1).double()


def gradient(output: Tensor, inputs: Tensor, vector: Tensor | None = None) -> Tensor:
    """The gradient of an output, or its product with a vector, to be differentiated again."""
    if not output.requires_grad:
        return torch.zeros_like(inputs)
    (result,) = torch.autograd.grad(
        output, inputs, vector, create_graph=True, materialize_grads=True
    )
    return result


def symmetric(matrix: Tensor) -> Tensor:
    """The symmetric part of a matrix."""
    return (matrix + matrix.mT) / 2
