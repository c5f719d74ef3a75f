"""Newton steps for models with few parameters: tens of evaluations become a handful."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_rm.estimators import Estimator
from pyro_rm.networks.curvature import derivatives, hessian, pair_sums
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.site_regressions import SiteRegressions
from pyro_rm.objectives import Objective, as_objective

_GOOD = 0.2  # of the gradient left by a step: the curvature still serves


@torch.no_grad()
def newton_minimize(
    model: PairwiseModel,
    observations: Observations,
    estimator: Estimator,
    penalty: Tensor,
    *,
    tolerance: float,
    max_steps: int,
) -> float | None:
    r"""Minimize the mean objective plus :math:`\sum_p \text{penalty}_p \theta_p^2`, in place.

    Steps :math:`-H^{-1} g` with the exact Hessian, which is computed again where a step leaves more
    than a fifth of the gradient, and halved where the objective rises.

    :param model: An ordinal model.
    :param observations: The data.
    :param estimator: The objective.
    :param penalty: One number a coupling, then one a field.
    :param tolerance: Of the gradient.
    :param max_steps: Bound on steps.
    :returns: The mean objective, without penalty; None if it did not arrive, as where curvature is
        not positive, far from the optimum of an objective that is not convex.

    .. note:: A step costs two products of data and couplings, a Hessian one for each site of the
        data with its neighbors, and a third of the cube of the number of parameters.
    """
    weight, fields, count = model.energy.weight, model.energy.fields, model.energy.weight.numel()
    look = _look(model, observations, estimator, penalty)
    loss, before, slope, curvature = look()
    factor: Tensor | None = None
    for _ in range(max_steps):
        if float(slope.abs().max()) <= tolerance:
            return loss
        if factor is None:
            factor, info = torch.linalg.cholesky_ex(curvature())
            if int(info) > 0:
                return None
        move = torch.cholesky_solve(slope[:, None], factor)[:, 0]
        share, fall, left = 1.0, float(slope @ move), slope.norm()
        start = weight.clone(), fields.clone()
        rounding = 10 * torch.finfo(slope.dtype).eps * abs(before)
        while True:
            weight.copy_(start[0] - share * move[:count].view_as(weight))
            fields.copy_(start[1] - share * move[count:].view_as(fields))
            loss, after, slope, curvature = look()
            if after <= before - 1e-4 * share * fall + rounding:
                break
            share /= 2
            if share < 1e-6:
                weight.copy_(start[0])
                fields.copy_(start[1])
                return None
        before = after
        if share < 1 or slope.norm() > _GOOD * left:
            factor = None
    return loss if float(slope.abs().max()) <= tolerance else None


def _look(
    model: PairwiseModel,
    observations: Observations,
    estimator: Estimator,
    penalty: Tensor,
) -> Callable[[], tuple[float, float, Tensor, Callable[[], Tensor]]]:
    """What computes the mean objective, with the penalty, its gradient, and what its Hessian."""
    energy, objective, regressions = model.energy, as_objective(estimator.objective), None
    if SiteRegressions.known(model, objective):
        regressions = SiteRegressions(model, observations)

    def look() -> tuple[float, float, Tensor, Callable[[], Tensor]]:
        bare: Callable[[], Tensor]
        if regressions is None:
            loss = mean_objective(energy, observations, estimator)
            slope, bare = _derivatives(model, observations, objective)
        else:
            (loss, slope), bare = regressions.look(), regressions.hessian
        theta = torch.cat([energy.weight.flatten(), energy.fields.flatten()])
        slope += 2 * penalty * theta

        def curvature() -> Tensor:
            matrix = bare()
            matrix.diagonal().add_(2 * penalty)
            return matrix

        return loss, loss + float(penalty @ theta.square()), slope, curvature

    return look


def _derivatives(
    model: PairwiseModel, observations: Observations, objective: Objective
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Gradient of the mean objective, and what computes its Hessian."""
    x, width = model.coordinates_of(observations.encoded), model.couples.shape[1]
    felt, bends = derivatives(model, observations, objective)
    mean = felt * observations.weights[:, None, None]
    pairs = mean[..., :width].flatten(1).mT @ x[..., :width].flatten(1)
    slope = torch.cat([pair_sums(model, pairs), mean.sum(0).flatten()])
    return slope, lambda: hessian(model, x, bends)
