"""Fits without a selecting penalty, to convergence."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_rm.energies import OrdinalEnergy, SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks.binary_fits import BinaryFits
from pyro_rm.networks.newton import newton_minimize
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.pairwise_models import PairwiseModel

_MAX_NEWTON = 2000  # parameters
_ROUNDING = 4  # of a mean gradient, in units of its type


def refit(
    model: PairwiseModel,
    observations: Observations,
    estimator: Estimator,
    *,
    ridge: float | Tensor = 0.0,
    field_ridge: float = 0.0,
    held: Tensor | None = None,
    max_steps: int = 500,
) -> float:
    r"""Minimize the mean objective over an energy's couplings and fields.

    By L-BFGS [1], for binary models in the metric of :class:`BinaryFits`; ordinal models with up to
    2000 parameters by Newton's method, where that arrives.

    :param model: The model; fitted in place.
    :param observations: The data.
    :param estimator: The objective; deterministic.
    :param ridge: :math:`\rho` in a penalty :math:`\rho \sum_{i<j} J_{ij}^2` on the objective
        summed over the data; a number, or one for each edge.
    :param field_ridge: The same on the fields.
    :param held: Booleans, ``(E,)``: couplings of binary sites that stay where they are.
    :param max_steps: Bound on iterations.
    :returns: The mean objective, without penalties.

    .. note:: Costs about 1.2 gradients an iteration.

    **References**

    [1] Dong Liu, Jorge Nocedal (1989) "On the limited memory BFGS method for large scale
        optimization", Mathematical Programming 45.
    """
    energy = model.energy
    parameters = [p for p in energy.parameters() if p.numel()]
    if not isinstance(ridge, Tensor) and not 0 <= ridge < math.inf:
        raise ValueError(f"Expected ridge of 0 or more, but got {ridge}.")
    if isinstance(ridge, Tensor):
        ridge = model.spread(ridge)
    scales = {id(energy.weight): ridge, id(energy.fields): field_ridge}
    size = observations.effective_size
    rounding = _ROUNDING * torch.finfo(energy.fields.dtype).eps
    tolerance = max(min(1e-6, 1e-3 / size), rounding)
    if isinstance(energy, SparseIsingEnergy):
        penalty = torch.cat(
            [torch.full_like(p, 1 / size).detach() * scales[id(p)] for p in energy.parameters()]
        )
        fits = BinaryFits.of(energy, observations, estimator, penalty, held)
        start_from = torch.cat([energy.weight, energy.fields]).detach()[None]
        point, _ = fits.minimize(start_from, tolerance=tolerance, max_steps=max_steps)
        with torch.no_grad():
            energy.weight.copy_(point[0, : len(energy.weight)])
            energy.fields.copy_(point[0, len(energy.weight) :])
        return float(fits.values(point) - penalty @ point[0].square())
    if isinstance(energy, OrdinalEnergy) and sum(p.numel() for p in parameters) <= _MAX_NEWTON:
        scaled = [scales[id(p)] / size * torch.ones_like(p).detach() for p in energy.parameters()]
        loss = newton_minimize(
            model, observations, estimator, torch.cat([p.flatten() for p in scaled]),
            tolerance=tolerance, max_steps=max_steps,
        )  # fmt: skip
        if loss is not None:
            return loss
    start = mean_objective(energy, observations, estimator)
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=max_steps,
        tolerance_grad=tolerance,
        tolerance_change=10 * torch.finfo(observations.weights.dtype).eps * abs(start),
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    value = 0.0

    def closure() -> float:
        nonlocal value
        optimizer.zero_grad()
        total = value = mean_objective(energy, observations, estimator, backward=True)
        for parameter in parameters:
            scale = scales[id(parameter)] / size
            if isinstance(scale, Tensor) or scale:
                assert parameter.grad is not None
                total += float((scale * parameter.detach().square()).sum())
                parameter.grad += 2 * scale * parameter.detach()
        return total

    optimizer.step(closure)
    return mean_objective(energy, observations, estimator)
