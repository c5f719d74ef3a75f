"""What blank cells may be, given the observed cells of their row."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.networks.missing_cells import refill, with_fills
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel

_BURN_IN, _SWEEPS = 5, 5


def filled(model: PairwiseModel, values: Tensor, num_fills: int) -> Observations:
    """Data with blanks filled from a fitted model."""
    observations = with_fills(values, model.space, None, num_fills, model=model)
    return refill(observations, model, num_steps=_BURN_IN)


def cell_probabilities(model: PairwiseModel, values: Tensor, num_fills: int) -> Tensor:
    """Probabilities of the values of each cell, given its row's observed cells.

    :param model: The model.
    :param values: Data with NaN where blank, ``(N, D)``.
    :param num_fills: The largest number of fills of a datum.
    :returns: Shape ``(N, D, K)``; of observed cells 1 where it is their value.

    .. note:: Where fills are draws, their conditional probabilities are averaged over them and
        over five sweeps; else it is exact.
    """
    space, blank = model.space, values.isnan()
    low, high = space.states
    codes = ((values - low) / (high - low)).nan_to_num(0).long()
    result = torch.nn.functional.one_hot(codes, space.max_categories).to(values.dtype)
    rows = blank.any(1)
    if not rows.any():
        return result
    observations = filled(model, values[rows], num_fills)
    assert observations.drawn is not None
    rounds = _SWEEPS if observations.drawn.any() else 1
    total = torch.zeros_like(result[rows])
    for _ in range(rounds):
        chances = model.conditionals(observations.encoded).to(total)
        shares = observations.fill_weights.to(total)
        total += observations.summed(chances * shares[:, None, None])
        if rounds > 1:
            observations = refill(observations, model, num_steps=1)
    result[rows] = torch.where(blank[rows][..., None], total / rounds, result[rows])
    return result
