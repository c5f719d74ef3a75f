"""Curvature and variability of a loss: what its posterior ignores, and its estimates obey."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram


@dataclass(frozen=True, eq=False)
class Sandwich:
    r"""Curvature :math:`H`, variability :math:`K` and the prior's curvature :math:`P` at a point.

    With :math:`g_n = \nabla L_n` the score of one of :math:`N` independent units and
    :math:`p` parameters that scores depend on,

    .. math::

        H = \sum_n \nabla^2 L_n, \qquad
        K = \frac{N}{N - p} \sum_n (g_n - \bar g)(g_n - \bar g)^\top, \qquad
        P = -\nabla^2 \log p(\theta).

    They agree, :math:`H \approx K`, for the likelihood of a model that holds. The estimate of
    any other loss varies like :math:`H^{-1} K H^{-1}` [1]. Where missing cells are filled,
    :math:`g_n` is a mean over fills and :math:`H` the slope of :math:`\sum_n g_n`, which need
    not be symmetric.

    :param hessian: :math:`H`, ``(p, p)``, double precision, as all tensors here.
    :param scores: :math:`g_n`, ``(N, p)``.
    :param ratios: Units of the population that an observed one stands for, ``(N,)``.
    :param prior_hessian: :math:`P`, ``(p, p)``.
    :param tolerance: Relative size of an eigenvalue of :math:`K` that is rounding.

    **References**

    [1] V. P. Godambe (1960) "An optimum property of regular maximum likelihood estimation",
        The Annals of Mathematical Statistics 31(4).
    """

    hessian: Tensor
    scores: Tensor
    ratios: Tensor
    prior_hessian: Tensor
    tolerance: float

    @cached_property
    def num_parameters(self) -> int:
        """The number of parameters that scores depend on."""
        return int((self.scores != 0).any(0).sum())

    @cached_property
    def variability(self) -> Tensor:
        """The matrix :math:`K`; its correction for fitted parameters is at most 3."""
        count = len(self.scores)
        centered = self.scores - self.scores.mean(0)
        correction = count / max(count - self.num_parameters, count / 3)
        return correction * (centered.mT * self.ratios) @ centered

    def eigenvalues(self) -> Tensor | None:
        r"""Eigenvalues of :math:`H^{-1} K` in the directions that data inform.

        :returns: Shape ``(rank,)``, ascending; None if :math:`H` is not positive definite
            there. They are 1 for the likelihood of a model that holds. Of an asymmetric
            :math:`H` the symmetric part counts.
        """
        values, vectors = torch.linalg.eigh(self.variability)
        informed = vectors[:, values > self.tolerance * len(values) * values[-1]]
        curvature = informed.mT @ _symmetric(self.hessian) @ informed
        factor, failed = torch.linalg.cholesky_ex(curvature)
        if informed.shape[1] == 0 or failed:
            return None
        half = torch.linalg.solve_triangular(factor, informed.mT @ self.variability, upper=False)
        whole = torch.linalg.solve_triangular(factor, informed.mT @ half.mT, upper=False)
        return torch.linalg.eigvalsh(whole)

    def posterior_covariance(self, weight: float) -> Tensor | None:
        """The inverse of ``weight * H + P``; None if that is not positive definite."""
        precision = weight * self.hessian + self.prior_hessian
        failed = torch.linalg.cholesky_ex(_symmetric(precision))[1]
        return None if failed else torch.linalg.inv(precision)

    def calibrated_covariance(self, weight: float, posterior: Tensor) -> Tensor:
        r"""The covariance of the estimate, :math:`W (w^2 K + P) W^\top`, :math:`W = (wH + P)^{-1}`.

        :param weight: :math:`w`.
        :param posterior: :math:`W`, or another estimate of the posterior's covariance.
        :returns: Shape ``(p, p)``.
        """
        excess = weight**2 * self.variability - weight * self.hessian
        return _symmetric(posterior + posterior @ excess @ posterior.mT)


def sandwich_at(program: UnconstrainedProgram, flat: Tensor) -> Sandwich:
    """Curvature and variability of a program's losses at a point.

    :param program: The program.
    :param flat: Parameters, ``(p,)``.
    :returns: Matrices in double precision.

    .. note:: Costs one run of the program and ``3 p`` backward passes.
    """
    point = flat.detach().requires_grad_()
    losses, prior = program.terms(point)
    return Sandwich(
        _symmetric(jacobian(_gradient(program.ratios @ losses, point), point)),
        jacobian(losses, point),
        program.ratios.double(),
        _symmetric(jacobian(_gradient(prior, point), point)),
        torch.finfo(flat.dtype).eps,
    )


def jacobian(outputs: Tensor, inputs: Tensor) -> Tensor:
    """The Jacobian ``(n, p)`` by ``p`` backward passes, whatever the number of outputs.

    The vector-Jacobian product is linear in its vector; its derivative in that vector, entry
    by entry, gives the columns.

    :param outputs: ``(n,)``, twice differentiable.
    :param inputs: ``(p,)``.
    :returns: Shape ``(n, p)``, double precision, detached.
    """
    vector = torch.zeros_like(outputs, requires_grad=True)
    product = _gradient(outputs, inputs, vector)
    if not product.requires_grad:
        return torch.zeros(len(outputs), len(inputs), dtype=torch.double, device=inputs.device)
    columns = [
        torch.autograd.grad(entry, vector, retain_graph=True, materialize_grads=True)[0]
        for entry in product
    ]
    return torch.stack(columns, -1).double()


def _gradient(output: Tensor, inputs: Tensor, vector: Tensor | None = None) -> Tensor:
    """The gradient of an output, or its product with a vector, to be differentiated again."""
    if not output.requires_grad:
        return torch.zeros_like(inputs)
    (result,) = torch.autograd.grad(
        output, inputs, vector, create_graph=True, materialize_grads=True
    )
    return result


def _symmetric(matrix: Tensor) -> Tensor:
    """The symmetric part of a matrix."""
    return (matrix + matrix.mT) / 2
