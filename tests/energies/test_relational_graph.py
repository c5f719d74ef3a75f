"""The graph energy is what its formula says, and blind to the order of nodes and to padding."""

from itertools import product

import networkx as nx
import pytest
import torch

import pyro_rm
from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.energies.node_pairs import adjacency_matrix, num_pairs
from pyro_rm.energies.relational_graph import return_probabilities
from pyro_rm.graphs import encode_graphs

pytestmark = pytest.mark.usefixtures("float64")


def _graphs(directed=False):
    return [nx.gnp_random_graph(n, 0.5, seed=n, directed=directed) for n in (3, 6, 5, 4)]


def _vectors(matrices, directed):
    where = ~torch.eye(matrices.shape[-1], dtype=torch.bool)
    return matrices[:, where if directed else where.triu()]


def _shared(graph):
    """Neighbors that two nodes share, by loops over the nodes between them."""
    shared = torch.zeros(len(graph), len(graph))
    for middle in graph:
        degree = len(graph[middle])
        before = graph.predecessors(middle) if graph.is_directed() else graph[middle]
        for start, stop in product(before, graph[middle]):
            shared[start, stop] += (start != stop) / (degree + 1)
    return shared


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("num_walks", [0, 3])
def test_formula(directed, num_walks):
    """Layers written with the complement's matrix and loops over graphs."""
    energy = RelationalGraphEnergy(
        6, num_hidden=3, num_layers=2, num_walks=num_walks, directed=directed
    )
    batch = encode_graphs(_graphs(directed))
    actual = energy(batch.pairs, batch.num_nodes)
    for graph, value in zip(_graphs(directed), actual, strict=True):
        n = len(graph)
        matrix = torch.from_numpy(nx.to_numpy_array(graph))
        complement = 1 - matrix - torch.eye(n)
        relations = [matrix, complement]
        if directed:
            relations += [matrix.T, complement.T]
        h = torch.tensor([[1.0, n / 8]] * n)
        if num_walks:
            relations += [matrix * _shared(graph), complement * _shared(graph)]
            h = torch.cat([h, return_probabilities(matrix, num_walks)], 1)
        for layer, shift in zip(energy.layers, energy.shifts[0], strict=True):
            own, *parts = (h @ layer.weight.T).split(3, -1)
            for relation, part in zip(relations, parts, strict=True):
                own = own + 2 / n * relation @ part
            h = torch.nn.functional.silu(own + shift)
        torch.testing.assert_close(value, energy.readout(h).sum())


@pytest.mark.parametrize("directed", [False, True])
def test_order_of_nodes_does_not_matter(directed):
    energy = RelationalGraphEnergy(
        6, num_hidden=8, num_features=2, num_walks=3, num_levels=3, directed=directed
    )
    batch = encode_graphs(_graphs(directed))
    features, level = torch.randn(4, 6, 2), torch.tensor([0, 1, 2, 1])
    before = energy(batch.pairs, batch.num_nodes, features, level)
    for _ in range(20):
        matrices, moved = adjacency_matrix(batch.pairs, directed=directed), features.clone()
        for row, n in enumerate(batch.num_nodes.tolist()):
            order = torch.cat([torch.randperm(n), torch.arange(n, 6)])
            matrices[row] = matrices[row][order][:, order]
            moved[row] = features[row][order]
        after = energy(_vectors(matrices, directed), batch.num_nodes, moved, level)
        torch.testing.assert_close(after, before)


@pytest.mark.parametrize("num_walks", [0, 3])
def test_padding_does_not_matter(num_walks):
    energy = RelationalGraphEnergy(6, num_hidden=8, num_walks=num_walks)
    for graph in _graphs():
        tight, wide = encode_graphs([graph]), encode_graphs([graph], max_nodes=9)
        alone = energy.resized(len(graph))(tight.pairs)
        torch.testing.assert_close(energy(wide.pairs, wide.num_nodes), alone)
        wide.pairs[~wide.active] = 1.0
        torch.testing.assert_close(energy(wide.pairs, wide.num_nodes), alone)


def test_resized_shares_parameters():
    energy = RelationalGraphEnergy(6)
    small = energy.resized(3)
    assert small.state_space.num_sites == 3
    assert energy.state_space.num_sites == num_pairs(6)
    assert all(a is b for a, b in zip(energy.parameters(), small.parameters(), strict=True))


def test_padded_pairs_are_never_visited():
    """Estimates of a padded batch are those of each graph alone, sampled or not."""
    energy = RelationalGraphEnergy(6, num_hidden=8)
    batch = encode_graphs(_graphs())
    for proposal, num_neighbors in (("uniform", "all"), ("gradient", 15)):
        together = pyro_rm.estimate(
            energy,
            batch.pairs.masked_fill(~batch.active, torch.nan),
            context=batch.num_nodes,
            active=batch.active,
            num_neighbors=num_neighbors,
            proposal=proposal,
        )
        for graph, value in zip(_graphs(), together, strict=True):
            alone = energy.resized(len(graph))
            expected = pyro_rm.estimate(alone, encode_graphs([graph]).pairs, num_neighbors="all")
            torch.testing.assert_close(value, expected[0])


@pytest.mark.parametrize("directed", [False, True])
def test_return_probabilities(directed):
    graph = nx.gnp_random_graph(6, 0.4, seed=1, directed=directed)
    matrix = torch.from_numpy(nx.to_numpy_array(graph))
    walk = matrix / (1 + matrix.sum(-1, keepdim=True))
    powers = [torch.linalg.matrix_power(walk, k).diagonal() for k in (2, 3, 4, 5)]
    torch.testing.assert_close(return_probabilities(matrix, 4), torch.stack(powers, -1))


def test_walks_see_triangles():
    """Two regular graphs that convolutions cannot tell apart."""
    graphs = [nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))]
    x = encode_graphs(graphs).pairs
    blind, seeing = RelationalGraphEnergy(6), RelationalGraphEnergy(6, num_walks=2)
    torch.testing.assert_close(*blind(x))
    assert (seeing(x)[0] - seeing(x)[1]).abs() > 1e-6


@pytest.mark.parametrize("num_walks", [0, 3])
def test_differentiable_in_the_pairs(num_walks):
    energy = RelationalGraphEnergy(5, num_hidden=4, num_layers=2, num_walks=num_walks)
    x = torch.bernoulli(torch.full((3, 10), 0.5)).requires_grad_()
    assert torch.autograd.gradcheck(energy, (x,))


def test_wrong_context_and_size_are_refused():
    with pytest.raises(ValueError, match="max_nodes to be at least 2, but got 1"):
        RelationalGraphEnergy(1)
    with pytest.raises(ValueError, match="Expected 1 tensors of context after the number of nodes"):
        RelationalGraphEnergy(3, num_levels=2)(torch.zeros(3), *[torch.tensor(1)] * 3)
