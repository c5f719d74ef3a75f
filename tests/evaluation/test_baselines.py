"""Independent sites and Chow-Liu trees as densities, against enumeration."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import torch

from pyro_rm.enumeration import index_of, states_at
from pyro_rm.evaluation import ChowLiuTree, IndependentSites
from pyro_rm.generic_paths import evaluated_gaps
from pyro_rm.neighborhoods import all_neighbors
from pyro_rm.state_space import StateSpace

pytestmark = pytest.mark.usefixtures("float64")
SPACES = [StateSpace(4), StateSpace(4, states=(-1, 1)), StateSpace(3, (2, 4, 3))]


def dependent_data(space, size=400):
    index = torch.multinomial(torch.rand(space.num_states).pow(4), size, replacement=True)
    return states_at(space, index)


@pytest.fixture(params=SPACES, ids=["binary", "spins", "categorical"])
def space(request):
    return request.param


@pytest.mark.parametrize("kind", [IndependentSites, ChowLiuTree])
def test_density_is_normalized_and_sampled(space, kind):
    """Frequencies fail with probability below 1e-7: six standard errors, 24 states at most."""
    density = kind.fit(dependent_data(space), space)
    p = density.log_prob(states_at(space, torch.arange(space.num_states))).exp()
    torch.testing.assert_close(p.sum(), torch.tensor(1.0))
    draws = density.sample(20_000)
    space.validate(draws)
    frequency = index_of(space, draws).bincount(minlength=space.num_states) / 20_000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 20_000).sqrt() + 5e-4).all()


def test_independent_sites_have_the_smoothed_frequencies(space):
    data = dependent_data(space)
    density = IndependentSites.fit(data, space, smoothing=0.5)
    states = states_at(space, torch.arange(space.num_states))
    p = density.log_prob(states).exp()
    for site, size in enumerate(space.categories):
        for value in states[:, site].unique():
            count = (data[:, site] == value).sum() + 0.5 / size
            torch.testing.assert_close(p[states[:, site] == value].sum(), count / (len(data) + 0.5))


def test_gap_table_equals_the_generic_gaps(space):
    density = IndependentSites.fit(dependent_data(space), space)
    x = space.encode(dependent_data(space, 5), torch.float64)
    neighbors, exists = all_neighbors(space, x)
    gaps = evaluated_gaps(lambda y, context: density(y), space, x, neighbors, ())
    table = density.gap_table(x)
    if space.is_binary:
        torch.testing.assert_close(table, gaps.mT)
    else:
        at = table[torch.arange(5), neighbors.sites, neighbors.categories]
        torch.testing.assert_close(torch.where(exists, at, 0), torch.where(exists, gaps, 0))


def test_uniform_sites():
    for space in SPACES:
        states = states_at(space, torch.arange(space.num_states))
        log_prob = IndependentSites.uniform(space).log_prob(states)
        torch.testing.assert_close(log_prob.exp(), torch.full_like(log_prob, 1 / space.num_states))


def test_no_tree_beats_chow_liu():
    """Against every spanning tree of four sites, each with its own maximum likelihood."""
    space = StateSpace(4, (2, 3, 2, 2))
    data = dependent_data(space)

    def frequencies(sites):
        _, inverse, counts = data[:, sites].unique(dim=0, return_inverse=True, return_counts=True)
        return counts[inverse].double() / len(data)

    def log_likelihood(edges):
        total = torch.stack([frequencies([i]).log() for i in range(4)]).sum(0)
        for i, j in edges:
            total = total + (frequencies([i, j]) / frequencies([i]) / frequencies([j])).log()
        return total.mean()

    trees = [
        edges
        for edges in combinations(combinations(range(4), 2), 3)
        if nx.is_connected(nx.Graph(edges)) and nx.Graph(edges).number_of_nodes() == 4
    ]
    assert len(trees) == 16
    best = max(log_likelihood(edges) for edges in trees)
    fitted = ChowLiuTree.fit(data, space, smoothing=1e-9).log_prob(data).mean()
    torch.testing.assert_close(fitted, best)


def test_published_likelihood_of_nltcs(real_data):
    """Literature: independent sites -9.23, Chow-Liu -6.76 nats (to the digits given)."""
    with np.load(real_data / "density" / "nltcs.npz", allow_pickle=False) as archive:
        train, test = (
            torch.tensor(np.unpackbits(archive[part], axis=1, count=16)).double()
            for part in ("train", "test")
        )
    space = StateSpace(16)
    assert abs(IndependentSites.fit(train, space).log_prob(test).mean() + 9.23) < 0.01
    assert abs(ChowLiuTree.fit(train, space).log_prob(test).mean() + 6.76) < 0.01


def test_errors():
    space = StateSpace(3)
    with pytest.raises(ValueError, match="finite logits"):
        IndependentSites(torch.tensor([0.0, torch.inf, 0.0]), space)
    with pytest.raises(ValueError, match="shape"):
        IndependentSites(torch.zeros(2), space)
    for kind in (IndependentSites, ChowLiuTree):
        with pytest.raises(ValueError, match="smoothing"):
            kind.fit(torch.zeros(2, 3), space, smoothing=0.0)
        with pytest.raises(ValueError, match="values in"):
            kind.fit(torch.full((2, 3), 2.0), space)
