"""Covariances of estimates, valid for any consistent objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.energies import SparseIsingEnergy
from pyro_rm.networks.observations import Observations
from pyro_rm.objectives import Objective

_LEAST_INFORMATION = 25.0  # variance of a log odds ratio


@dataclass(frozen=True, eq=False)
class Sandwich:
    r"""Covariance of the estimated couplings and fields, and how many parameters they count as.

    :param covariance: :math:`A^{-1} B A^{-\top}`, couplings first, ``(E + D, E + D)``.
    :param num_effective: :math:`N \operatorname{tr}(A^{-1} B)`, the number of parameters of a
        likelihood and about twice the number of couplings of a pseudolikelihood, where each
        coupling is in two conditionals.
    :param num_effective_couplings: The couplings' share of it.
    :param diverging: Indices of couplings about which the data carry no information, less
        than a 25th of one datum: unbounded estimates, from separated data.
    """

    covariance: Tensor
    num_effective: float
    num_effective_couplings: float
    diverging: tuple[int, ...]


@torch.no_grad()
def sandwich(
    energy: SparseIsingEnergy,
    observations: Observations,
    objective: Objective,
    *,
    ridge: float | Tensor = 0.0,
) -> Sandwich:
    r"""Sandwich covariance [1] of a fitted Ising model.

    :math:`A` is the mean Hessian of the objective at the optimum and :math:`B` the covariance
    of the mean gradient. Where cells were missing, gradients are averaged over the fills of a
    datum, and :math:`A` loses the information that the missing cells would have carried:
    Louis' correction [2], the covariance over fills of the gradient and the sufficient
    statistics.

    :param energy: The model, at the optimum.
    :param observations: What it was fitted to.
    :param objective: What it was fitted by.
    :param ridge: The penalty on couplings that it was fitted with.
    :returns: Covariance and effective number of parameters.

    .. note:: Closed form; costs :math:`N (E + D)^2`, so it is for selected couplings.

    **References**

    [1] Halbert White (1982) "Maximum likelihood estimation of misspecified models",
        Econometrica 50(1).
    [2] Thomas Louis (1982) "Finding the observed information matrix when using the EM
        algorithm", Journal of the Royal Statistical Society B 44(2).
    """
    x = observations.values.to(energy.weight.dtype)
    slope, curvature = _derivatives(objective, energy.gap_table(x))
    change = sum(energy.state_space.states) - 2 * x
    felt, bend = change * slope, change.square() * curvature
    if observations.active is not None:
        felt, bend = felt * observations.active, bend * observations.active
    first, second = energy.edges.T
    gradients = torch.cat([felt[:, first] * x[:, second] + felt[:, second] * x[:, first], felt], 1)
    hessian = _hessian(energy, x, bend * observations.weights[:, None])
    fills = observations.num_fills
    if fills > 1:
        statistics = torch.cat([x[:, first] * x[:, second], x], 1)
        hessian += _covariance_over_fills(gradients, statistics, observations)
        gradients = gradients.view(-1, fills, gradients.shape[1]).mean(1)
    weighted = observations.scattered(gradients)
    size, num_edges = observations.effective_size, len(first)
    hessian.diagonal()[:num_edges] += 2 * ridge / size
    inverse = torch.linalg.inv(hessian)
    solved = inverse @ weighted.mT
    low, high = energy.state_space.states
    log_odds = inverse.diagonal()[:num_edges] / size * (high - low) ** 4
    counted = (inverse * (weighted.mT @ weighted).mT).sum(1) * size
    return Sandwich(
        covariance=solved @ solved.mT,
        num_effective=float(counted.sum()),
        num_effective_couplings=float(counted[:num_edges].sum()),
        diverging=tuple((log_odds > _LEAST_INFORMATION).nonzero().flatten().tolist()),
    )


def _derivatives(objective: Objective, gaps: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative of the objective in each gap."""
    with torch.enable_grad():
        point = gaps.detach().requires_grad_()
        slope = objective.log_derivative(point).exp()
        (curvature,) = torch.autograd.grad(slope.sum(), point)
    return slope.detach(), curvature


def _hessian(energy: SparseIsingEnergy, x: Tensor, bend: Tensor) -> Tensor:
    """Sum over sites of the curvature in the site's own couplings and field."""
    num_edges, num_sites = len(energy.edges), x.shape[1]
    result = x.new_zeros(num_edges + num_sites, num_edges + num_sites)
    stops = [*energy.starts[1:].tolist(), len(energy.neighbor_sites)]
    for site, (start, stop) in enumerate(zip(energy.starts.tolist(), stops, strict=True)):
        inputs = torch.cat([x[:, energy.neighbor_sites[start:stop]], x.new_ones(len(x), 1)], 1)
        index = torch.cat(
            [energy.neighbor_edges[start:stop], energy.starts.new_tensor([num_edges + site])]
        )
        result[index[:, None], index] += inputs.mT @ (inputs * bend[:, site, None])
    return result


def _covariance_over_fills(
    gradients: Tensor, statistics: Tensor, observations: Observations
) -> Tensor:
    fills = observations.num_fills
    parts = [part.view(-1, fills, part.shape[1]) for part in (gradients, statistics)]
    left, right = (part - part.mean(1, keepdim=True) for part in parts)
    weights = observations.weights.view(-1, fills, 1) * fills / (fills - 1)
    return (left * weights).flatten(0, 1).mT @ right.flatten(0, 1)
