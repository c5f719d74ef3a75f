"""Generators learn, are normalized, resume, and refuse what does not fit."""

import math
import warnings

import networkx as nx
import pytest
import torch

from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.graphs import GraphGenerator, encode_graphs

RINGS = [nx.cycle_graph(n) for n in (3, 4, 5, 6)] * 3


class UniformEdges(RelationalGraphEnergy):
    """Independent edges: the background itself, if its logit is that of the density."""

    def __init__(self, max_nodes, num_levels):
        super().__init__(max_nodes, num_hidden=1, num_layers=1, num_levels=num_levels)
        self.logit = torch.nn.Parameter(torch.zeros(max_nodes + 1))

    def forward(self, x, num_nodes, level):
        return -self.logit[num_nodes] * x.sum(-1)


def test_log_probabilities_are_read_off_and_repeat():
    """Oracle: the product of all pairs, at every size."""
    graphs = [nx.cycle_graph(4), nx.path_graph(4), nx.star_graph(3), nx.path_graph(3)] * 2
    generator = GraphGenerator(UniformEdges(4, 3), num_steps=1, progress=True).fit(graphs)
    generator.energy_.logit.data = generator.densities_.clamp(0.01, 0.99).logit()
    batch = encode_graphs(graphs)
    chance = generator.densities_[batch.num_nodes][:, None]
    pairs = (batch.pairs * chance + (1 - batch.pairs) * (1 - chance)).log()
    log_probs = generator.log_prob([nx.empty_graph(1), *graphs])
    torch.testing.assert_close(log_probs[1:], (pairs * batch.active).sum(-1))
    assert log_probs[0] == 0
    learned = GraphGenerator(num_steps=1).fit(graphs)
    assert learned.log_prob(graphs).equal(learned.log_prob(graphs))


def test_log_probabilities_sum_to_those_of_classes():
    generator = GraphGenerator(num_steps=200).fit([nx.cycle_graph(4), nx.path_graph(4)] * 10)
    of_class = generator.score_samples([nx.cycle_graph(4)])
    of_graph = generator.log_prob([nx.cycle_graph(4)])
    assert abs(of_graph + math.log(3) - of_class) < 0.2  # three ways to number a ring of four


def test_it_learns():
    generator = GraphGenerator(num_steps=300, num_sweeps=64).fit([nx.cycle_graph(5)] * 20)
    assert generator.score_samples([nx.cycle_graph(5)]).exp() > 0.5
    drawn = generator.sample(20)
    assert sum(nx.is_isomorphic(graph, nx.cycle_graph(5)) for graph in drawn) > 8
    assert generator.sample(0) == []


def test_directed_graphs():
    graphs = [nx.DiGraph([(0, 1), (1, 2), (2, 0)]), nx.DiGraph([(0, 1)])] * 4
    generator = GraphGenerator(num_steps=3).fit(graphs)
    assert all(graph.is_directed() for graph in generator.sample(3))
    with pytest.raises(TypeError, match="undirected"):
        generator.score_samples(graphs)


def test_checkpoints_resume(tmp_path):
    path = tmp_path / "run.pt"
    first = GraphGenerator(num_steps=5).fit(RINGS, checkpoint=path)
    again = GraphGenerator(num_steps=5).fit(RINGS, checkpoint=path)
    for own, other in zip(first.energy_.parameters(), again.energy_.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_energies_of_ones_own():
    energy = RelationalGraphEnergy(6, num_hidden=4, num_levels=3)
    generator = GraphGenerator(energy, num_steps=3, is_valid=nx.is_connected).fit(RINGS)
    assert generator.energy_ is energy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(nx.is_connected(graph) for graph in generator.sample(4))


def test_single_nodes_teach_nothing_and_are_drawn():
    generator = GraphGenerator(num_steps=3).fit([nx.empty_graph(1)] * 20 + [nx.path_graph(2)])
    assert {len(graph) for graph in generator.sample(40)} <= {1, 2}


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: GraphGenerator("other"), ValueError, "energy 'relational' or your own"),
    (lambda: GraphGenerator(3), TypeError, "a callable, but got int"),
    (lambda: GraphGenerator(RelationalGraphEnergy(4)), ValueError, "with num_levels"),
    (lambda: GraphGenerator(num_steps=0), ValueError, "num_steps"),
    (lambda: GraphGenerator().sample(), ValueError, "a fitted GraphGenerator"),
    (lambda: GraphGenerator().score_samples(RINGS), ValueError, "a fitted GraphGenerator"),
    (lambda: GraphGenerator().fit([]), ValueError, "at least one graph"),
    (lambda: GraphGenerator().fit([nx.empty_graph(1)]), ValueError, "two nodes or more"),
    (lambda: GraphGenerator(
        RelationalGraphEnergy(4, num_levels=2, directed=True)).fit(RINGS), ValueError, "same kind"),
    (lambda: GraphGenerator(num_steps=1).fit(RINGS).score_samples([nx.path_graph(8)]), ValueError,
     "at most 7 nodes"),
    (lambda: GraphGenerator(num_steps=1).fit(RINGS).log_prob([nx.path_graph(8)]), ValueError,
     "at most 6 nodes"),
    (lambda: GraphGenerator(num_steps=1).fit(RINGS).log_prob([nx.DiGraph([(0, 1)])]), TypeError,
     "an undirected graph"),
])  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make", [nx.complete_graph, nx.empty_graph])
def test_graphs_without_variation_have_probabilities(make):
    """The background has both values of each pair, so that it overlaps with any model."""
    graphs = [make(3)] * 6
    generator = GraphGenerator(num_steps=30, progress=False).fit(graphs)
    assert generator.log_prob(graphs).isfinite().all()
    assert 0 < generator.densities_[3] < 1
