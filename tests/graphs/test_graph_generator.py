"""Generators learn what the example's functions learn, resume, and refuse what does not fit."""

import runpy
import warnings
from pathlib import Path

import networkx as nx
import pyro
import pytest
import torch

from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.graphs import GraphGenerator, community_graphs

RINGS = [nx.cycle_graph(n) for n in (3, 4, 5, 6)] * 3
EXAMPLE = Path(__file__).parents[2] / "examples" / "graphs.py"


def test_it_is_the_fit_of_the_example(capfd):
    example = runpy.run_path(str(EXAMPLE))
    graphs = community_graphs(12, sizes=(6, 8))
    pyro.set_rng_seed(1)
    energy = example["fit"](graphs, num_steps=6, num_walks=2, weight_decay=0.1)
    expected = example["generate"](energy, graphs, 5, 16)
    pyro.set_rng_seed(1)
    generator = GraphGenerator(num_steps=6, num_walks=2, weight_decay=0.1).fit(graphs)
    for own, other in zip(generator.energy_.parameters(), energy.parameters(), strict=True):
        torch.testing.assert_close(own, other)
    for own, other in zip(generator.sample(5), expected, strict=True):
        assert nx.utils.graphs_equal(own, other)


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
])  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
