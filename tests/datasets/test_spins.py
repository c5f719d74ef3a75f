"""Graphs with couplings have the sites, edges and values that were asked for."""

import networkx as nx
import numpy as np
import pytest
import torch

from pyro_rm.datasets import coupling_matrix, lattice, with_couplings


def test_lattices():
    periodic, open_ = lattice(3, 4, coupling=0.2), lattice(3, 4, coupling=0.2, periodic=False)
    assert dict(periodic.degree) == dict.fromkeys(range(12), 4)
    assert open_.number_of_edges() == 3 * 3 + 2 * 4
    matrix = coupling_matrix(periodic)
    torch.testing.assert_close(matrix, matrix.mT)
    torch.testing.assert_close(matrix.sum(1), torch.full((12,), 0.8))
    assert lattice(3, 3, 3, coupling=1.0).number_of_edges() == 81


@pytest.mark.parametrize("weight", [
    None, float("nan"), float("inf"), "0.3", True, 1j, [0.3], {"a": 1}, torch.ones(1), object(),
    np.array("0.3"),
])  # fmt: skip
def test_edges_without_a_number_are_named(weight):
    graph = nx.Graph([("a", "b", {"weight": 0.3}), ("b", "c", {"weight": weight})])
    with pytest.raises(ValueError, match=r"edge \('b', 'c'\), .*with_couplings\(graph, value\)"):
        coupling_matrix(graph)


@pytest.mark.parametrize("data", [{}, {"coupling": 0.3}, {"Weight": 0.3}])
def test_edges_without_a_weight_are_named(data):
    graph = nx.Graph([(0, 1, {"weight": 0.3}), (1, 2, data)])
    with pytest.raises(ValueError, match=r"coupling of edge \(1, 2\), but got none"):
        coupling_matrix(graph)
    named = with_couplings(
        graph, {(0, 1): 0.3, **nx.get_edge_attributes(graph, "coupling")} | {(1, 2): 0.5}
    )
    assert coupling_matrix(named)[1, 2] == 0.5


@pytest.mark.parametrize("weight", [1, 0.0, -2.5, np.float32(0.5), np.int64(3), torch.tensor(0.5)])
def test_numbers_of_any_type_are_couplings(weight):
    graph = nx.Graph([(1, 0, {"weight": weight})])
    assert coupling_matrix(graph).tolist() == [[0, float(weight)], [float(weight), 0]]
    assert coupling_matrix(with_couplings(graph, weight)).equal(coupling_matrix(graph))


@pytest.mark.parametrize("couplings", [
    [0.1, 0.2], (0.1, 0.2), np.array([0.1, 0.2]), torch.tensor([0.1, 0.2], dtype=torch.float64),
    {(0, 1): 0.1, (1, 2): 0.2}, {(2, 1): 0.2, (1, 0): 0.1},
])  # fmt: skip
def test_one_coupling_for_each_edge(couplings):
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, "x", "color")
    result = with_couplings(graph, couplings)
    assert list(result.edges(data="weight")) == [(0, 1, 0.1), (1, 2, 0.2)]
    assert nx.get_node_attributes(result, "color") == dict.fromkeys(range(3), "x")
    assert graph.edges[0, 1] == {}


@pytest.mark.parametrize("couplings", [
    [0.1], [0.1, 0.2, 0.3], [0.1, None], [0.1, "0.2"], [0.1, float("nan")], np.eye(2), np.eye(3),
    "0.1", None, {0.1, 0.2}, torch.ones(2, 1), {(0, 1): 0.1}, {(0, 1): 0.1, (0, 2): 0.2},
    {(0, 1): 0.1, (1, 0): 0.2}, {(0, 1): 0.1, (1, 2): None}, iter([0.1, 0.2]), True, float("nan"),
])  # fmt: skip
def test_couplings_that_fit_no_edges(couplings):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        with_couplings(nx.path_graph(3), couplings)


def test_matrix_of_pairs():
    pairs = torch.arange(1.0, 13.0, dtype=torch.float64).view(2, 6).requires_grad_()
    matrix = coupling_matrix(pairs)
    assert matrix.equal(matrix.mT)
    first, second = torch.triu_indices(4, 4, 1)
    assert matrix[:, first, second].equal(pairs)
    assert matrix.diagonal(dim1=-2, dim2=-1).abs().sum() == 0
    matrix.sum().backward()
    assert (pairs.grad == 2).all()
    assert torch.func.vmap(coupling_matrix)(pairs.detach()).equal(matrix)


@pytest.mark.parametrize("pairs", [
    torch.ones(4), torch.tensor(1.0), torch.ones(3, dtype=torch.complex64), [0.1, 0.2, 0.3],
])  # fmt: skip
def test_vectors_that_are_not_of_pairs(pairs):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        coupling_matrix(pairs)
