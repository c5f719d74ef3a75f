"""Graphs with couplings have the sites, edges and values that were asked for."""

import networkx as nx
import pytest
import torch

from pyro_rm.datasets import coupling_matrix, erdos_renyi, lattice, random_regular, spin_glass


def test_lattices():
    periodic, open_ = lattice(3, 4, coupling=0.2), lattice(3, 4, coupling=0.2, periodic=False)
    assert dict(periodic.degree) == dict.fromkeys(range(12), 4)
    assert open_.number_of_edges() == 3 * 3 + 2 * 4
    matrix = coupling_matrix(periodic)
    torch.testing.assert_close(matrix, matrix.mT)
    torch.testing.assert_close(matrix.sum(1), torch.full((12,), 0.8))
    assert lattice(3, 3, 3, coupling=1.0).number_of_edges() == 81


def test_random_graphs():
    assert set(dict(random_regular(20, 4, coupling=0.1).degree).values()) == {4}
    edges = erdos_renyi(400, 4.0, coupling=0.1).number_of_edges()
    assert abs(edges - 800) < 5 * 800**0.5  # five standard deviations


def test_random_graphs_follow_the_seed_of_torch():
    torch.manual_seed(1)
    first = erdos_renyi(30, 3.0, coupling=0.1)
    torch.manual_seed(1)
    assert nx.utils.graphs_equal(first, erdos_renyi(30, 3.0, coupling=0.1))


@pytest.mark.parametrize("gaussian", [False, True])
def test_spin_glasses_keep_names(gaussian):
    graph = nx.complete_graph(list("abcdefghijklmnopqrstuvwxyz"))
    glass = spin_glass(graph, scale=0.5, gaussian=gaussian)
    weights = torch.tensor([w for *_, w in glass.edges(data="weight")])
    assert list(glass.nodes) == list(graph.nodes)
    assert abs(weights.mean()) < 5 * 0.5 / 325**0.5
    assert (weights.abs() == 0.5).all() != gaussian
