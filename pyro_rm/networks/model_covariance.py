"""Covariances of estimates if the fitted model holds, free of the noise of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.enumeration import states_at
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.networks.missing_cells import refill, with_fills
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel, sweep_of
from pyro_rm.networks.sandwich import sandwich
from pyro_rm.objectives import Objective

_MAX_STATES = 2**13
_DRAWS = 4_000
_DRAWS_A_PARAMETER = 16


@torch.no_grad()
def model_covariance(
    model: PairwiseModel,
    objective: Objective,
    size: float,
    *,
    patterns: Tensor | None = None,
    shares: Tensor | None = None,
    num_fills: int = 16,
    num_steps: int = 100,
) -> Tensor:
    r"""The sandwich with expectations under the model in the place of means over data.

    :math:`A^{-1} B A^{-1} / N` for :math:`N` data of the model itself. That from data has the noise
    of :math:`p^2` estimated entries, and no inverse where there are fewer data than parameters.

    :param model: The fitted model.
    :param objective: What it was fitted by.
    :param size: :math:`N`.
    :param patterns: Which cells were observed, ``(M, D)``; None: all.
    :param shares: How common each pattern is, ``(M,)``. Cells are as if missing completely at
        random.
    :param num_fills: Fills of a datum at least, as of the fit.
    :param num_steps: Gibbs sweeps of the draws, where states are too many to sum over.
    :returns: Couplings first, ``(E m m + D m,) * 2``.

    .. note:: Exact up to 8192 states without blanks; else from 4000 draws, or 16 a parameter.
    """
    space, like = model.space, model.energy.fields
    if patterns is None and space.num_states <= _MAX_STATES:
        states = states_at(space, torch.arange(space.num_states)).to(like)
        weights = (-model.energy(space.encode(states, like.dtype))).softmax(0)
        return sandwich(model, _sized(states, weights, size, model), objective).covariance
    num_parameters = sum(parameter.numel() for parameter in model.energy.parameters())
    count = max(_DRAWS, _DRAWS_A_PARAMETER * num_parameters)
    sampler = MarkovSampler(num_steps, sweep_of(model), progress=False)
    draws = sampler(model.energy, sample_shape=(count,)).to(like)
    if patterns is None:
        return sandwich(
            model, _sized(draws, like.new_ones(count), size, model), objective
        ).covariance
    assert shares is not None
    chosen = torch.multinomial(shares, count, replacement=True)
    blank = ~patterns[chosen].to(like.device)
    observations = with_fills(
        draws.masked_fill(blank, torch.nan), space, like.new_full((count,), size / count),
        num_fills, frequencies=True, bounded=True, model=model,
    )  # fmt: skip
    observations = refill(observations, model, num_steps=5)
    return sandwich(model, observations, objective).covariance


def _sized(states: Tensor, weights: Tensor, size: float, model: PairwiseModel) -> Observations:
    """States as so many data."""
    return Observations.of(states, model.space, size * weights / weights.sum(), frequencies=True)
