"""Profiles of couplings without a finite estimate, for their one-sided intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.networks.fitter import Fitter, NetworkFit
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.refit import refit
from pyro_rm.objectives import Pseudolikelihood, as_objective

_LOG_ODDS = torch.linspace(-4.0, 12.0, 33, dtype=torch.float64)


def profiles_of(fitter: Fitter, observations: Observations, fit: NetworkFit) -> list[Any]:
    """How badly values of each separated coupling fit, the other parameters at their best.

    :param fitter: How the model was fitted.
    :param observations: What it was fitted to.
    :param fit: The fit, of binary sites.
    :returns: For each separated edge couplings, the last of which is farthest to where the estimate
        runs off to, and their statistics, ``(2, G)``: twice the loss of log likelihood, or half of
        that of the log pseudolikelihood, in which a coupling is twice. Empty under other
        objectives, and where no standard errors were computed.

    .. note:: Costs 33 short fits a separated edge.
    """
    is_known = isinstance(as_objective(fitter.estimator.objective), Pseudolikelihood)
    if fit.sandwich is None or not is_known or not observations.space.is_binary:
        return []
    return [_profile(fitter, observations, fit, number) for number in fit.separated]


def _profile(fitter: Fitter, observations: Observations, fit: NetworkFit, number: int) -> Any:
    low, high = observations.space.states
    weight = fit.energy.weight.detach()
    grid = weight[number].sign().cpu() * _LOG_ODDS / (high - low) ** 2
    model = PairwiseModel.on(observations.space, fit.edges, weight)
    model.energy.load_state_dict(fit.energy.state_dict())
    held = torch.zeros_like(weight, dtype=torch.bool)
    held[number] = True
    ridge = fit.ridge * (~held).to(weight)  # the coupling is where it is put
    losses = []
    for coupling in grid.flip(0).tolist():
        with torch.no_grad():
            model.energy.weight[number] = coupling
        losses.append(
            refit(model, observations, fitter.estimator, ridge=ridge, held=held, max_steps=50)
        )
    loss = np.array(losses[::-1])
    return np.stack([grid.numpy(), observations.effective_size * (loss - loss.min())])


def one_sided(profile: Tensor | Any, threshold: float) -> tuple[float, float]:
    """The interval of couplings whose statistics are below a threshold.

    :param profile: See :func:`profiles_of`.
    :param threshold: The largest statistic that is not refused.
    :returns: Lower and upper end, one of them infinite.

    Example:

        >>> one_sided(np.array([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]]), 3.0)
        (0.5, inf)
    """
    grid, statistic = profile
    # beyond the best value the ridges of other separated couplings count, not the data
    outside = np.nonzero(statistic[: np.argmin(statistic)] > threshold)[0]
    if len(outside) == 0:
        return (-np.inf, np.inf)
    at = int(outside[-1])
    share = (statistic[at] - threshold) / (statistic[at] - statistic[at + 1])
    end = float(grid[at] + share * (grid[at + 1] - grid[at]))
    return (end, np.inf) if grid[-1] > 0 else (-np.inf, end)


def normal_likelihood(profile: Tensor | Any, slab_scale: float) -> tuple[float, float]:
    """The normal likelihood under which a coupling has the posterior that its profile gives it.

    :param profile: See :func:`profiles_of`.
    :param slab_scale: Standard deviation of the normal prior about zero.
    :returns: Estimate and variance: mean and variance of the posterior agree.

    Example:

        >>> grid = np.linspace(-9, 9, 1001)
        >>> estimate, variance = normal_likelihood(np.stack([grid, (grid - 1) ** 2 / 0.5]), 2.0)
        >>> round(estimate, 3), round(variance, 3)
        (1.0, 0.5)
    """
    grid, statistic = profile
    density = np.exp(-0.5 * (statistic - statistic.min()) - 0.5 * (grid / slab_scale) ** 2)
    density /= density.sum()
    mean = density @ grid
    spread = density @ (grid - mean) ** 2
    variance = 1 / (1 / spread - 1 / slab_scale**2)
    return float(mean / spread * variance), float(variance)
