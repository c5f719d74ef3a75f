"""Graph metrics against loops over pairs and subsets that share no code with them."""

import math
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import pyro_rm
from pyro_rm.graphs import (
    community_graphs,
    dominated_share,
    graph_mmd,
    graph_mmd_floor,
    orbit_counts,
)

# The connected graphs on two to four nodes, with the orbit of each node.
_GRAPHLETS = [
    (nx.path_graph(2), [0, 0]),
    (nx.path_graph(3), [1, 2, 1]),
    (nx.complete_graph(3), [3, 3, 3]),
    (nx.path_graph(4), [4, 5, 5, 4]),
    (nx.star_graph(3), [7, 6, 6, 6]),
    (nx.cycle_graph(4), [8, 8, 8, 8]),
    (nx.Graph([(0, 1), (1, 2), (1, 3), (2, 3)]), [9, 11, 10, 10]),
    (nx.Graph([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]), [13, 13, 12, 12]),
    (nx.complete_graph(4), [14, 14, 14, 14]),
]


def _brute_force_orbits(graph):
    counts = np.zeros((len(graph), 15), dtype=int)
    position = {node: row for row, node in enumerate(graph)}
    for size in (2, 3, 4):
        for nodes in combinations(graph, size):
            part = graph.subgraph(nodes)
            for graphlet, orbits in _GRAPHLETS:
                matcher = nx.isomorphism.GraphMatcher(part, graphlet)
                if len(graphlet) == size and matcher.is_isomorphic():
                    for node, image in matcher.mapping.items():
                        counts[position[node], orbits[image]] += 1
    return counts


def _graphs(count):
    return [
        nx.gnp_random_graph(4 + seed % 5, 0.2 + 0.06 * seed, seed=seed) for seed in range(count)
    ]


def test_orbit_counts():
    for graph in [*_graphs(8), nx.empty_graph(3), nx.empty_graph(1), nx.star_graph(5)]:
        expected = _brute_force_orbits(graph)
        np.testing.assert_array_equal(orbit_counts(graph, use_package=False), expected)


@pytest.mark.parametrize("use_package", [None, False, True])
@pytest.mark.parametrize("isolated", [0, 1, 3000])
def test_isolated_nodes_take_part_in_nothing(use_package, isolated):
    if use_package:
        pytest.importorskip("orbit_count")
    assert orbit_counts(nx.empty_graph(isolated), use_package=use_package).sum() == 0
    graph = nx.disjoint_union(nx.complete_graph(4), nx.empty_graph(isolated))
    counts = orbit_counts(graph, use_package=use_package)
    assert counts[:4].tolist() == [[3, 0, 0, 3] + [0] * 10 + [1]] * 4
    assert counts[4:].sum() == 0


@pytest.mark.parametrize("degree", [2, 300])
def test_orbits_of_large_sparse_graphs(degree):
    """Of many stars: what is counted grows with them, not with the fourth power of the nodes."""
    graph = nx.disjoint_union_all([nx.star_graph(degree)] * (600 // degree))
    counts = orbit_counts(graph, use_package=False)
    assert (counts[0, [0, 2, 7]] == [degree, math.comb(degree, 2), math.comb(degree, 3)]).all()
    assert (counts[1, [0, 1, 6]] == [1, degree - 1, math.comb(degree - 1, 2)]).all()
    assert counts[:, [3, 4, 5, *range(8, 15)]].sum() == 0


@pytest.mark.parametrize("graph", [
    nx.empty_graph(3000), nx.disjoint_union(nx.path_graph(2), nx.empty_graph(3000)),
    nx.from_edgelist([(2 * k, 2 * k + 1) for k in range(1500)]),
    nx.disjoint_union(nx.cycle_graph(3), nx.empty_graph(3000)),
], ids=["no edge", "one edge", "pairs", "a triangle"])  # fmt: skip
def test_nodes_without_edges_take_no_time(graph):
    """3000 nodes have 3e12 quadruples: to visit them would not end."""
    counts = orbit_counts(graph, use_package=False)
    degrees = [degree for _, degree in graph.degree]
    assert counts[:, 0].tolist() == degrees
    assert counts[:, 3].sum() == 3 * (sum(nx.triangles(graph).values()) > 0)
    assert counts[:, 4:].sum() == 0


def test_orbit_counts_by_the_package():
    pytest.importorskip("orbit_count")
    mixed = nx.relabel_nodes(nx.barbell_graph(4, 1), {0: "1", 5: "x"})
    for graph in [*_graphs(8), nx.empty_graph(3), mixed, *community_graphs(2)]:
        by_package = orbit_counts(graph, use_package=True)
        np.testing.assert_array_equal(by_package, orbit_counts(graph, use_package=False))


def test_orbit_counts_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "orbit_count", None)
    assert orbit_counts(nx.path_graph(2))[:, 0].tolist() == [1, 1]
    with pytest.raises(ImportError, match=r"pip install pyro-rm\[graphs\]"):
        orbit_counts(nx.path_graph(2), use_package=True)


def _brute_force_mmd(first, second, kernel):
    def total(graphs, others):
        values = [kernel(a, b) for a in graphs for b in others]
        return math.fsum(values) / len(values)

    return total(first, first) + total(second, second) - 2 * total(first, second)


def _degree(graph):
    degrees = [graph.degree[node] for node in graph]
    return [degrees.count(d) / len(degrees) for d in range(30)]


def _clustering(graph):
    values = []
    for node in graph:
        around = list(graph[node])
        links = sum(graph.has_edge(u, v) for u, v in combinations(around, 2))
        possible = math.comb(len(around), 2)
        values.append(links / possible if possible else 0.0)
    # the literature's bins start at the floats k * 0.01: 0.7 lies below the 70th
    bins = [max(k for k in range(100) if k * 0.01 <= value) for value in values]
    return [bins.count(b) / len(bins) for b in range(100)]


def _orbit(graph):
    return _brute_force_orbits(graph).mean(0)


def _earth_mover(a, b):
    support = range(len(a))
    return wasserstein_distance(support, support, a, b)


def _total_variation(a, b):
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 2


def _kernel(summary, distance, width):
    table = {}

    def kernel(a, b):
        for graph in (a, b):
            if id(graph) not in table:
                table[id(graph)] = summary(graph)
        return math.exp(-(distance(table[id(a)], table[id(b)]) ** 2) / (2 * width**2))

    return kernel


@pytest.mark.parametrize("convention", ["emd", "tv"])
def test_mmd_equals_brute_force(convention):
    graphs = _graphs(20)
    first, second = graphs[:12], graphs[12:]
    if convention == "emd":
        euclidean = math.dist
        distances = _earth_mover, lambda a, b: _earth_mover(a, b) / 100, euclidean
    else:
        distances = (_total_variation,) * 3
    kernels = [
        _kernel(summary, distance, width)
        for summary, distance, width in zip(
            (_degree, _clustering, _orbit), distances, (1, 0.1, 30), strict=True
        )
    ]
    expected = [_brute_force_mmd(first, second, kernel) for kernel in kernels]
    actual = graph_mmd(first, second, kernel=convention)
    assert list(actual.values()) == pytest.approx([*expected, sum(expected) / 3], abs=1e-9)


def test_floors_of_ego_small(real_data):
    """The floors that the data's description states, to their printed digits."""
    from pyro_rm.graphs import ego_small

    train, test = ego_small(real_data / "graphs" / "citeseer_edges.csv.gz")
    emd, tv = graph_mmd(train, test), graph_mmd(train, test, kernel="tv")
    assert [round(value, 4) for value in emd.values()] == [0.0142, 0.0273, 0.0044, 0.0153]
    assert [round(value, 4) for value in tv.values()] == [0.0037, 0.0227, 0.0047, 0.0104]
    assert dominated_share(train + test) == 1.0
    floor = graph_mmd_floor(train, test, num_samples=1024)
    assert abs(floor["average"] - 0.016) < 0.004


def test_graphs_without_edges_and_single_nodes():
    assert graph_mmd([nx.empty_graph(3)], [nx.empty_graph(1)])["average"] == 0
    assert dominated_share([nx.empty_graph(1), nx.empty_graph(2)]) == 0.5


@pytest.mark.parametrize("graphs", [[], [nx.empty_graph(0)]])
def test_nothing_to_compare(graphs):
    with pytest.raises(ValueError, match=r"at least one (graph|node), but"):
        graph_mmd(graphs, [nx.path_graph(2)])


def test_unknown_kernel():
    with pytest.raises(ValueError, match="'emd' or 'tv', but got 'rbf'"):
        graph_mmd([nx.path_graph(2)], [nx.path_graph(2)], kernel="rbf")


def test_orbit_counts_are_found_where_they_were():
    with pytest.warns(DeprecationWarning, match=r"now pyro_rm\.graphs\.orbit_counts"):
        moved = pyro_rm.evaluation.orbit_counts
    assert moved is pyro_rm.graphs.orbit_counts
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pyro_rm.evaluation.nothing
