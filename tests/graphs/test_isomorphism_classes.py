"""Classes against brute force over permutations and over all labeled graphs."""

import networkx as nx
import pytest
import torch

from pyro_rm.energies import RandomGraphEnergy, RelationalGraphEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.graphs import class_log_likelihoods, decode_graphs, encode_graphs, novelty, uniqueness
from pyro_rm.state_space import StateSpace


def _shuffled(graph, seed):
    order = torch.randperm(len(graph), generator=torch.Generator().manual_seed(seed)).tolist()
    return nx.relabel_nodes(graph, dict(zip(graph, order, strict=True)))


def test_uniqueness_and_novelty():
    atlas = [graph for graph in nx.graph_atlas_g() if 4 <= len(graph) <= 5]
    graphs = [_shuffled(graph, seed) for seed, graph in enumerate(atlas * 2)]
    assert uniqueness(graphs) == 0.5
    assert novelty(graphs, atlas[::3]) == pytest.approx(1 - len(atlas[::3]) / len(atlas))


def test_same_degrees_are_not_enough():
    prism, bipartite = nx.circular_ladder_graph(3), nx.complete_bipartite_graph(3, 3)
    two_triangles = nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))
    assert uniqueness([prism, bipartite, _shuffled(prism, 0)]) == pytest.approx(2 / 3)
    assert novelty([nx.cycle_graph(6)], [two_triangles]) == 1.0
    # regular, and alike in what the invariant sees
    assert uniqueness([nx.cycle_graph(8), nx.disjoint_union(*[nx.cycle_graph(4)] * 2)]) == 1.0


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("size", [3, 4, 5])
def test_class_log_likelihoods_by_enumeration(size):
    """Sums over all labeled graphs of the size."""
    energy = RelationalGraphEnergy(5, num_hidden=8).requires_grad_(False)
    energy.readout[-1].weight.mul_(5)
    space = StateSpace(size * (size - 1) // 2)
    states = states_at(space, torch.arange(space.num_states))
    sizes = torch.full((len(states),), size)
    p = torch.softmax(-energy(states, sizes), 0)
    labeled = decode_graphs(states, sizes)
    for graph in [nx.path_graph(size), nx.star_graph(size - 1), nx.empty_graph(size)]:
        members = torch.tensor([nx.is_isomorphic(graph, other) for other in labeled])
        shuffled = _shuffled(graph, 1)
        value = class_log_likelihoods(energy, [shuffled])
        torch.testing.assert_close(value, p[members].sum().log()[None])
        padded = class_log_likelihoods(energy, [shuffled], max_nodes=5)
        torch.testing.assert_close(padded, value)


@pytest.mark.usefixtures("float64")
def test_classes_of_all_sizes_are_normalized():
    energy = RandomGraphEnergy(7)
    energy.coefficients.data = torch.tensor([-0.5, 0.1, 0.3, -0.2])
    graphs = [graph for graph in nx.graph_atlas_g() if len(graph) > 0]
    probabilities = class_log_likelihoods(energy, graphs).exp()
    sizes = encode_graphs(graphs).num_nodes
    totals = torch.zeros(8).index_add(0, sizes, probabilities)
    torch.testing.assert_close(totals[1:], torch.ones(7))


def test_larger_graphs_are_refused():
    with pytest.raises(ValueError, match="at most 7 nodes, but got 8"):
        class_log_likelihoods(RandomGraphEnergy(8), [nx.path_graph(8)])
