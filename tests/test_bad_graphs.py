"""Graphs, numbers of nodes, points and couplings that do not fit: each cell is a clear error."""

import networkx as nx
import numpy as np
import pytest
import torch

import pyro_rm
from pyro_rm import datasets, energies, markov_steps, networks
from pyro_rm.distributions import Ising
from pyro_rm.graphs.metrics import has_dominating_node
from pyro_rm.state_space import StateSpace

PATH = nx.path_graph(4)
LOOP = nx.Graph([(0, 1), (1, 1)])
BITS = (torch.arange(80).view(20, 4) * 7 % 11 < 5).float()
NETWORK = networks.IsingNetwork(selection=None, ridge=0.1)

OF_GRAPHS = {
    "encode": pyro_rm.graphs.encode_graphs,
    "buckets": lambda graphs: pyro_rm.graphs.size_buckets(graphs, 2),
    "samples": lambda graphs: pyro_rm.graphs.graph_mmd(graphs, [PATH]),
    "reference": lambda graphs: pyro_rm.graphs.graph_mmd([PATH], graphs),
    "floor": lambda graphs: pyro_rm.graphs.graph_mmd_floor(graphs, [PATH], num_samples=2),
    "uniqueness": pyro_rm.graphs.uniqueness,
    "novelty": lambda graphs: pyro_rm.graphs.novelty(graphs, [PATH]),
    "training": lambda graphs: pyro_rm.graphs.novelty([PATH], graphs),
    "classes": lambda graphs: pyro_rm.graphs.class_log_likelihoods(
        energies.RandomGraphEnergy(7), graphs
    ),
    "dominated": pyro_rm.graphs.dominated_share,
}
OF_A_GRAPH = {
    "orbits": pyro_rm.graphs.orbit_counts,
    "dominating": has_dominating_node,
    "couplings": lambda graph: datasets.with_couplings(graph, 1.0),
    "matrix": datasets.coupling_matrix,
    "simulation": lambda graph: networks.simulate_ising(graph, 3, num_steps=1),
    "colors": markov_steps.ColoredGibbs.from_graph,
    "network": lambda graph: networks.IsingNetwork(graph=graph, ridge=0.1).fit(BITS),
}
NO_GRAPHS = {
    "a number": 3,
    "a matrix": np.eye(3),
    "text": "graph",
    "edges": [(0, 1)],
    "a multigraph": nx.MultiGraph([(0, 1), (0, 1)]),
    "a directed graph": nx.DiGraph([(0, 1)]),
    "a loop": LOOP,
}
DIRECTED_TOO = {"encode", "buckets"}


@pytest.mark.parametrize("call", OF_GRAPHS)
@pytest.mark.parametrize("bad", [*NO_GRAPHS, "nothing", "a graph", "none", "empty", "mixed"])
def test_lists_of_graphs(call, bad):
    graphs = {"nothing": None, "a graph": PATH, "none": [], "empty": [nx.Graph()]}
    graphs["mixed"] = [PATH, nx.DiGraph(PATH)]
    given = graphs[bad] if bad in graphs else [NO_GRAPHS[bad]]
    if bad == "a directed graph" and call in DIRECTED_TOO:
        OF_GRAPHS[call](given)
        return
    with pytest.raises((TypeError, ValueError), match="Expected"):
        OF_GRAPHS[call](given)


@pytest.mark.parametrize("call", OF_A_GRAPH)
@pytest.mark.parametrize("bad", NO_GRAPHS)
def test_graphs(call, bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        OF_A_GRAPH[call](NO_GRAPHS[bad])


def test_couplings_of_some_edges():
    with pytest.raises(ValueError, match="Expected a coupling for each of 3 edges, but got 2"):
        datasets.with_couplings(PATH, [1.0, 2.0])


SIZES = {
    "floats": torch.tensor([2.0, 3.0]),
    "booleans": torch.tensor([True, True]),
    "negative": torch.tensor([-1, 2]),
    "a list": [2, 3],
    "nothing": None,
    "complex": torch.tensor([2, 3], dtype=torch.complex64),
}


@pytest.mark.parametrize("sizes", [*SIZES.values(), torch.tensor([2, 5])], ids=[*SIZES, "large"])
def test_numbers_of_nodes(sizes):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        pyro_rm.graphs.active_pairs(sizes, 4)
    with pytest.raises((TypeError, ValueError), match="Expected"):
        pyro_rm.graphs.decode_graphs(torch.zeros(2, 6), sizes)


@pytest.mark.parametrize("sizes", [*SIZES.values(), torch.tensor(3), torch.tensor([[3]])])
def test_numbers_of_nodes_to_generate(sizes):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        pyro_rm.graphs.generate_graphs(energies.RandomGraphEnergy(4), sizes, progress=False)


@pytest.mark.parametrize("pairs", [
    torch.full((2, 6), torch.nan), torch.full((2, 6), 2.0), torch.zeros(2, 7), torch.zeros(6),
    torch.zeros(1, 2, 6), torch.zeros(3, 6), [[0] * 6] * 2, None,
])  # fmt: skip
def test_pairs(pairs):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        pyro_rm.graphs.decode_graphs(pairs, torch.tensor([2, 4]))


@pytest.mark.parametrize("form", [torch.long, torch.bool, torch.half, torch.bfloat16])
def test_pairs_of_any_type(form):
    batch = pyro_rm.graphs.encode_graphs([PATH, nx.cycle_graph(3)])
    padded = batch.pairs.masked_fill(~batch.active, 7.0 if form == torch.long else 0.0)
    for graph, edges in zip(
        pyro_rm.graphs.decode_graphs(padded.to(form), batch.num_nodes), (PATH, nx.cycle_graph(3)),
        strict=True,
    ):  # fmt: skip
        assert nx.utils.graphs_equal(graph, edges)
    (graph,) = pyro_rm.graphs.decode_graphs(torch.ones(1, 3, requires_grad=True), torch.tensor([3]))
    assert graph.number_of_edges() == 3


CODE = datasets.GrayCode(8, 2.0)


@pytest.mark.parametrize("points", [
    torch.full((3, 2), torch.nan), torch.full((3, 2), torch.inf), torch.zeros(3, 3),
    torch.tensor(1.0), torch.zeros(3, 2, dtype=torch.complex64), [[0.0, 0.0]], None,
])  # fmt: skip
def test_points(points):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        CODE.encode(points)


@pytest.mark.parametrize("bits", [
    torch.full((3, 8), torch.nan), torch.full((3, 8), 2.0), torch.zeros(3, 9), torch.tensor(1.0),
    torch.zeros(3, 8, dtype=torch.complex64), [[0.0] * 8], None,
])  # fmt: skip
def test_bits(bits):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        CODE.decode(bits)


SQUARE = torch.rand(9, 9)
OF_MATRICES = {
    "correction": networks.average_product_correction,
    "strengths": lambda matrix: networks.contact_precision(matrix, SQUARE),
    "error": lambda matrix: networks.negative_log_error(matrix, np.zeros((9, 9))),
    "support": lambda matrix: networks.support_f1(np.zeros((9, 9)), matrix),
    "norms": networks.coupling_norms,
    "gauge": lambda matrix: networks.zero_sum_gauge(matrix, torch.zeros(9, 2), StateSpace(9)),
    "codings": lambda matrix: networks.recode(
        matrix, torch.zeros(9), source=(0, 1), target=(-1, 1)
    ),
    "model": Ising,
}
MATRICES = {
    "narrow": torch.zeros(9, 8),
    "a row": torch.zeros(9),
    "a scalar": torch.tensor(1.0),
    "text": "couplings",
    "nothing": None,
    "complex": torch.zeros(9, 9, dtype=torch.complex64),
}


@pytest.mark.parametrize("call", OF_MATRICES)
@pytest.mark.parametrize("bad", MATRICES)
def test_matrices(call, bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        OF_MATRICES[call](MATRICES[bad])


@pytest.mark.parametrize("call", ["correction", "strengths", "error", "support", "model"])
def test_blank_matrices(call):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        OF_MATRICES[call](torch.full((9, 9), torch.nan))


def test_matrices_without_couplings():
    assert networks.average_product_correction(torch.zeros(3, 3)).abs().max() == 0
    assert networks.negative_log_error(np.eye(3), np.eye(3)) == float("inf")


@pytest.mark.parametrize("fit", [
    lambda weights: NETWORK.fit(BITS, sample_weight=weights),
    lambda weights: networks.PottsNetwork(num_categories=3, max_steps=1).fit(
        torch.arange(80).view(20, 4) * 7 % 11 % 3, sample_weight=weights
    ),
])  # fmt: skip
@pytest.mark.parametrize("weights", [
    -torch.ones(20), torch.zeros(20), torch.full((20,), torch.nan), torch.ones(3),
    torch.ones(20, 1), "x", ["x"] * 20,
])  # fmt: skip
def test_weights_of_rows(fit, weights):
    with pytest.raises(ValueError, match="Expected sample_weight"):
        fit(weights)
