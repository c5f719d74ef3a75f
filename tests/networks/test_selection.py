"""Supports are found, by either criterion and any objective."""

import networkx as nx
import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.estimators import Estimator
from pyro_rm.networks import IsingNetwork
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.selection import Selection

pytestmark = pytest.mark.usefixtures("float64")


def ring(num_sites, num_data, states=(-1, 1)):
    strength = 0.4 if states == (-1, 1) else 1.6
    couplings = strength * torch.tensor(nx.to_numpy_array(nx.cycle_graph(num_sites)))
    fields = torch.zeros(num_sites) if states == (-1, 1) else -couplings.sum(1) / 2
    x = NormalizedModel(Ising(couplings, fields, states=states)).sample((num_data,))
    return Observations.of(x, StateSpace(num_sites, states=states)), couplings


def support(fit):
    return {tuple(edge) for edge in fit.energy.edges.sort(1).values.tolist()}


@pytest.mark.parametrize("states", [(0, 1), (-1, 1)])
@pytest.mark.parametrize(
    "objective", ["pseudolikelihood", "ratio_matching", "minimum_probability_flow"]
)
def test_ebic_finds_a_ring(objective, states):
    """Couplings are 15 standard errors from 0; a false edge costs 4.5 of them, in 20 pairs."""
    observations, couplings = ring(8, 3000, states)
    fit = Selection(gamma=1.0)(observations, Estimator(objective, "all"))
    assert support(fit) == {tuple(edge) for edge in couplings.triu().nonzero().tolist()}
    strength = 0.4 if states == (-1, 1) else 1.6
    assert (fit.energy.weight.detach() / strength - 1).abs().max() < 0.35  # 5 standard errors


def test_held_out_rows_find_a_ring_and_maybe_more():
    observations, couplings = ring(8, 3000)
    fit = Selection("held_out")(observations, Estimator(num_neighbors="all"))
    assert support(fit) >= {tuple(edge) for edge in couplings.triu().nonzero().tolist()}
    assert fit.penalty > 0


def test_nothing_is_found_in_noise():
    """Ten pairs, each found with probability 2e-5."""
    x = torch.randint(2, (1000, 5)).double()
    fit = Selection(gamma=1.0)(Observations.of(x, StateSpace(5)), Estimator(num_neighbors="all"))
    assert len(fit.energy.edges) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"criterion": "aic"}, "'ebic' or 'held_out', but got 'aic'"), ({"gamma": 2.0}, "gamma")],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Selection(**options)


def test_noise_has_no_network():
    """Three sets of 64 independent sites: 6048 pairs, none of which is real; one may slip in."""
    found = 0
    for seed in range(3):
        torch.manual_seed(seed)
        noise = torch.bernoulli(torch.full((128, 64), 0.3))
        found += len(IsingNetwork().fit(noise).edges_)
    assert found <= 1
