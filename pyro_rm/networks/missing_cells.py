"""Missing cells: fills from the model's own conditionals, all of them or several draws."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pyro_rm.energies import OrdinalEnergy
from pyro_rm.markov_steps import Chains
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel, independent_model, sweep_of
from pyro_rm.networks.site_regressions import redrawn
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

_FEW = 16  # joint values of blanks a draw, up to which all are taken


def with_fills(
    values: Tensor,
    space: StateSpace,
    weights: Tensor | None,
    num_fills: int,
    *,
    frequencies: bool = False,
    bounded: bool = False,
    model: PairwiseModel | None = None,
) -> Observations:
    """Observations with each blank filled.

    A datum gets all the joint values of its blanks, weighted by their probabilities, if they are
    few: nothing is random then. Others get draws.

    :param values: Data with NaN where blank, ``(N, D)``.
    :param space: Their state space.
    :param weights: Weights of the data, or None.
    :param num_fills: Draws of a datum, at least; up to 16 times as many joint values are few.
    :param frequencies: Whether weights count data.
    :param bounded: Whether all rows together are about ``num_fills`` a datum or less: data with
        few joint values come first, and draws share what is left.
    :param model: What fills follow; None: independent columns.
    :returns: One row a datum, or a fill.
    """
    blank = values.isnan()
    if not blank.any():
        return Observations.of(values, space, weights, frequencies=frequencies)
    low, high = space.states
    kinds = torch.tensor(space.categories, device=values.device)
    joint = torch.where(blank, kinds, 1)
    sizes = joint.double().prod(1)
    copies = _copies(sizes, num_fills, bounded)
    drawn = copies != sizes
    joint = torch.where(drawn[:, None], 1, joint)
    datum = torch.arange(len(values), device=values.device).repeat_interleave(copies)
    number = torch.arange(len(datum), device=values.device) - (copies.cumsum(0) - copies)[datum]
    strides = joint.cumprod(1) // joint  # a fill's number has a digit for each blank
    digits = (number[:, None] // strides[datum]) % joint[datum]
    active = ~blank[datum]
    filled = torch.where(active, values[datum], low + (high - low) * digits.to(values.dtype))
    rows = Observations.of(filled, space)
    data = torch.ones(len(values)) if weights is None else weights
    shares = (data / data.sum()).to(rows.weights)
    rows = replace(
        rows,
        weights=(shares / copies)[datum],
        active=active,
        datum=datum,
        drawn=drawn[datum],
        total=float(data.sum()) if frequencies else None,
    )
    if model is None:
        model = independent_model(space, _frequencies(rows), rows.effective_size)
    return refill(rows, model)


def _copies(sizes: Tensor, num_fills: int, bounded: bool) -> Tensor:
    """Rows of each datum, from the number of joint values of its blanks."""
    drawn, draws = sizes > _FEW * num_fills, num_fills
    if bounded:
        budget, order = num_fills * len(sizes), sizes.argsort(stable=True)
        drawn[order] |= sizes[order].cumsum(0) > budget
        left = budget - int(sizes[~drawn].sum())
        draws = min(_FEW * num_fills, max(num_fills, left // max(1, int(drawn.sum()))))
    return torch.where(drawn, float(draws), sizes).round().long()


@torch.no_grad()
def refill(observations: Observations, model: PairwiseModel, *, num_steps: int = 3) -> Observations:
    """Weigh or redraw the fills from a model, given the observed cells.

    :param observations: Data with fills.
    :param model: The model.
    :param num_steps: Gibbs sweeps over the blanks of drawn fills, from the fills before.
    :returns: The same data with new fills.

    .. note:: At the true parameters the filled rows follow the model, so that consistent
        objectives stay so if cells are missing at random.
    """
    if observations.active is None:
        return observations
    assert observations.datum is not None
    assert observations.drawn is not None
    encoded, weights, drawn = observations.encoded, observations.weights, observations.drawn
    if drawn.any() and isinstance(model.energy, OrdinalEnergy):
        encoded = encoded.clone()
        blank = ~observations.active[drawn]
        encoded[drawn] = redrawn(model, encoded[drawn], blank, num_steps)
    elif drawn.any():
        target = Target.of(model.energy, active=~observations.active[drawn])
        chains = Chains.resumed(target, encoded[drawn], sweep_of(model)).run(num_steps)
        encoded = encoded.clone()
        encoded[drawn] = chains.encoded
    weighed = ~drawn
    if weighed.any():
        weights = weights.clone()
        weights[weighed] = _weighed(observations, model, weighed)
    return replace(observations, encoded=encoded, weights=weights)


def with_means(observations: Observations, model: PairwiseModel) -> Observations:
    """Blanks of averaged data as their conditional means, given the means of all other cells."""
    if observations.active is None:
        return observations
    space, encoded = model.space, observations.encoded
    low, high = space.states
    means, active = model.conditionals(encoded), observations.active
    if space.is_binary:
        return replace(
            observations, encoded=torch.where(active, encoded, low + (high - low) * means[..., 1])
        )
    return replace(observations, encoded=torch.where(active[..., None], encoded, means))


@torch.no_grad()
def _weighed(observations: Observations, model: PairwiseModel, rows: Tensor) -> Tensor:
    """Weights of rows in proportion to their probabilities, among the fills of each datum."""
    assert observations.datum is not None
    datum, totals = observations.datum[rows], observations.data_weights
    logits = -model.energy(observations.encoded[rows])
    largest = logits.new_full((len(totals),), -torch.inf)
    largest = largest.scatter_reduce(0, datum, logits, "amax")
    odds = (logits - largest[datum]).exp()
    sums = torch.zeros_like(totals).index_add_(0, datum, odds)
    return totals[datum] * odds / sums[datum]


def _frequencies(observations: Observations) -> Tensor:
    """Means of the encoded observed cells, ``encoded_shape``."""
    assert observations.active is not None
    counted = observations.weights[:, None] * observations.active
    if not observations.space.is_binary:
        counted = counted[..., None]
    return (counted * observations.encoded).sum(0) / counted.sum(0)
