"""Missing cells: fills from the model's own conditionals, several for each datum."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.energies import SparseIsingEnergy
from pyro_rm.markov_steps import Chains, ColoredGibbs
from pyro_rm.networks.observations import Observations
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def with_fills(
    values: Tensor,
    space: StateSpace,
    weights: Tensor | None,
    num_fills: int,
    *,
    frequencies: bool = False,
) -> Observations:
    """Observations with each blank drawn from its column's frequencies, several times.

    :param values: Data with NaN where blank, ``(N, D)``.
    :param space: Their binary state space.
    :param weights: Weights of the data, or None.
    :param num_fills: Fills of each datum.
    :param frequencies: Whether weights count data.
    :returns: Complete data as one row a datum if nothing is blank.
    """
    complete = Observations.of(values, space, weights, frequencies=frequencies)
    if not values.isnan().any():
        return complete
    low, high = space.states
    repeated = values.repeat_interleave(num_fills, 0)
    share = ((values - low) / (high - low)).nanmean(0).expand_as(repeated)
    fill = low + (high - low) * torch.bernoulli(share)
    return Observations(
        torch.where(repeated.isnan(), fill, repeated),
        space,
        complete.weights.repeat_interleave(num_fills) / num_fills,
        ~repeated.isnan(),
        num_fills,
        complete.total,
    )


def refill(
    observations: Observations, energy: SparseIsingEnergy, *, num_steps: int = 3
) -> Observations:
    """Redraw the fills from a model, given the observed cells, by Gibbs sweeps.

    :param observations: Data with fills.
    :param energy: The model.
    :param num_steps: Sweeps over the blanks, from the fills before.
    :returns: The same data with new fills.

    .. note:: At the true parameters the filled rows are draws from the model, so that
        consistent objectives stay so if cells are missing at random.
    """
    if observations.active is None:
        return observations
    step = ColoredGibbs.from_graph(graph_of(energy))
    values = observations.values
    target = Target.of(energy, active=~observations.active)
    values = Chains(target, values, step).run(num_steps).encoded
    return replace(observations, values=values)


def graph_of(energy: SparseIsingEnergy) -> nx.Graph:
    """The sites and edges of a model as a graph."""
    graph = nx.empty_graph(energy.state_space.num_sites)
    graph.add_edges_from(energy.edges.tolist())
    return graph
