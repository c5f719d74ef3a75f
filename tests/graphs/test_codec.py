"""Graphs survive the way to vectors and back; what cannot be a vector is refused."""

import networkx as nx
import numpy as np
import pytest
import torch

from pyro_rm.energies.node_pairs import adjacency_matrix, pair_ends
from pyro_rm.graphs import active_pairs, decode_graphs, encode_graphs, size_buckets


def _with_places(places):
    graph = nx.empty_graph(len(places))
    nx.set_node_attributes(graph, dict(enumerate(places)), "place")
    return graph


def _random_graphs(directed):
    sizes = (1, 2, 5, 7, 4)
    return [nx.gnp_random_graph(n, 0.4, seed=n, directed=directed) for n in sizes]


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("max_nodes", [None, 9])
def test_round_trip(directed, max_nodes):
    graphs = _random_graphs(directed)
    batch = encode_graphs(graphs, max_nodes=max_nodes)
    back = decode_graphs(batch.pairs, batch.num_nodes, directed=directed)
    assert all(nx.utils.graphs_equal(a, b) for a, b in zip(graphs, back, strict=True))
    assert (batch.pairs[~batch.active] == 0).all()
    pairs = torch.tensor([n * (n - 1) // (1 if directed else 2) for n in map(len, graphs)])
    assert (batch.active.sum(-1) == pairs).all()


@pytest.mark.parametrize("directed", [False, True])
def test_vectors_are_the_adjacency_matrices(directed):
    graphs = _random_graphs(directed)
    batch = encode_graphs(graphs)
    matrices = adjacency_matrix(batch.pairs, directed=directed)
    for graph, matrix in zip(graphs, matrices, strict=True):
        expected = torch.zeros(7, 7)
        for i, j in graph.edges:
            expected[i, j] = 1
            if not directed:
                expected[j, i] = 1
        torch.testing.assert_close(matrix, expected)


def test_order_of_nodes_and_features():
    graph = nx.Graph([("c", "a"), ("a", "b")])
    nx.set_node_attributes(graph, {"a": [1, 2], "b": [3, 4], "c": [5, 6]}, "place")
    batch = encode_graphs([graph], max_nodes=4, node_features="place")
    assert batch.pairs.tolist() == [[1, 0, 0, 1, 0, 0]]
    assert batch.features.tolist() == [[[5, 6], [1, 2], [3, 4], [0, 0]]]


def test_densities_shrink_to_the_mean():
    batch = encode_graphs([nx.complete_graph(3), nx.empty_graph(3), nx.complete_graph(4)])
    exact = batch.densities(strength=0)
    torch.testing.assert_close(exact[3:], torch.tensor([0.5, 1.0]))
    assert exact[4] > batch.densities()[4] > 9 / 12
    assert batch.densities(strength=1e9)[3].item() == pytest.approx(9 / 12)


@pytest.mark.parametrize(
    ("graphs", "error", "message"),
    [
        ([], ValueError, "at least one graph, but got none"),
        ([nx.empty_graph(0)], ValueError, "at least one node, but graph 0 is empty"),
        ([nx.path_graph(5)], ValueError, "at most max_nodes=4 nodes, but got one of 5"),
        ([nx.Graph([(0, 0), (0, 1)])], ValueError, "without self-loops, but graph 0"),
        ([nx.MultiGraph([(0, 1), (0, 1)])], TypeError, "graph 0 is a MultiGraph"),
        ([nx.path_graph(2), nx.DiGraph([(0, 1)])], TypeError, "graph 1 is a directed one"),
    ],
)
def test_refused(graphs, error, message):
    with pytest.raises(error, match=message):
        encode_graphs(graphs, max_nodes=4)


@pytest.mark.parametrize(
    "bad", [None, float("nan"), float("inf"), "1", "text", [], [[1, 2]], [1, [2]], [1, None], 1j]
)
def test_features_that_are_not_numbers_are_refused(bad):
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: 1.0, 1: bad, 2: 1.0}, "place")
    with pytest.raises(ValueError, match=r"attribute 'place', a finite .* node 1 of graph 1"):
        encode_graphs([_with_places([1.0]), graph], node_features="place")


@pytest.mark.parametrize("places", [
    [[[1, 2], [3, 4, 5]]], [[1, [2, 3]]], [[[1, 2]], [[1, 2, 3]]], [[[1, 2]], [3]],
    [[[1]], [[1, 2]]],
])  # fmt: skip
def test_features_of_unequal_length_are_refused(places):
    with pytest.raises(ValueError, match=r"'place' of one length at every node, but node \d of"):
        encode_graphs([_with_places(own) for own in places], node_features="place")


@pytest.mark.parametrize(
    "place",
    [2, 2.0, True, np.float32(2), np.array([2, 3]), torch.ones(2, requires_grad=True), (1,)],
)
def test_features_may_be_numbers_arrays_or_tensors(place):
    features = encode_graphs([_with_places([place, place])], node_features="place").features
    assert features.tolist() == [[np.atleast_1d(torch.as_tensor(place).tolist()).tolist()] * 2]


def test_missing_features_are_refused():
    with pytest.raises(ValueError, match=r"attribute 'weight', .* got None for node 0 of graph 0"):
        encode_graphs([nx.path_graph(2)], node_features="weight")


def test_wrong_numbers_of_pairs_are_refused():
    with pytest.raises(ValueError, match=r"unordered pairs of some number .* got 4 sites"):
        decode_graphs(torch.zeros(1, 4), torch.tensor([2]))
    with pytest.raises(ValueError, match="at most 3 nodes, but got 4"):
        decode_graphs(torch.zeros(1, 3), torch.tensor([4]))
    with pytest.raises(ValueError, match=r"n \(n - 1\) / 2, but got 4 sites"):
        adjacency_matrix(torch.zeros(4))


@pytest.mark.parametrize("directed", [False, True])
def test_ends_are_where_the_matrix_has_the_pair(directed):
    pairs = torch.arange(1.0, 13.0 if directed else 7.0)
    matrix = adjacency_matrix(pairs, directed=directed)
    assert matrix[pair_ends(len(pairs), directed=directed)].equal(pairs)
    assert matrix.equal(matrix.mT) != directed


def test_active_pairs_broadcast():
    assert active_pairs(torch.tensor([[1], [3]]), 4).sum(-1).tolist() == [[0], [3]]


def test_size_buckets_partition():
    graphs = [nx.gnp_random_graph(n, 0.5, seed=n) for n in (7, 2, 5, 9, 3, 4, 8)]
    buckets = size_buckets(graphs, 3)
    assert {len(bucket) for bucket in buckets} <= {2, 3}
    assert torch.cat([bucket.num_nodes for bucket in buckets]).tolist() == [2, 3, 4, 5, 7, 8, 9]
    assert [bucket.max_nodes for bucket in buckets] == [int(b.num_nodes.max()) for b in buckets]
    assert len(size_buckets(graphs[:2], 5)) == 2
