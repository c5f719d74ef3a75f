"""Orbits: in how many small induced subgraphs a node takes part, and in which role."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import comb

import networkx as nx
import numpy as np

from pyro_rm.checks import check_graph
from pyro_rm.constants import constant

_NUM_ORBITS = 15
# The connected graphs on two to four nodes, with the orbit of each node in Przulj's numbering.
_GRAPHLETS = (
    ([(0, 1)], (0, 0)),
    ([(0, 1), (1, 2)], (1, 2, 1)),
    ([(0, 1), (1, 2), (2, 0)], (3, 3, 3)),
    ([(0, 1), (1, 2), (2, 3)], (4, 5, 5, 4)),
    ([(0, 1), (0, 2), (0, 3)], (7, 6, 6, 6)),
    ([(0, 1), (1, 2), (2, 3), (3, 0)], (8, 8, 8, 8)),
    ([(0, 1), (1, 2), (2, 3), (3, 1)], (9, 11, 10, 10)),
    ([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)], (13, 12, 13, 12)),
    (list(combinations(range(4), 2)), (14, 14, 14, 14)),
)


def orbit_counts(graph: nx.Graph, *, use_package: bool | None = None) -> np.ndarray:
    """Counts of the 15 orbits of subgraphs on two to four nodes [1], for each node.

    :param graph: An undirected graph without self-loops; it may have no edges.
    :param use_package: Whether to count by the package ``orbit-count``, the extra
        ``graphs``; None: where it is installed.
    :returns: Integers of shape ``(nodes, 15)``, in the order of the graph's nodes.
    :raises TypeError: If it is not an undirected graph.
    :raises ValueError: If it has self-loops.
    :raises ImportError: If the package was asked for and is not installed.

    Example:

        >>> orbit_counts(nx.path_graph(3))[:, :3]
        array([[1, 1, 0],
               [2, 0, 1],
               [1, 1, 0]])

    .. note:: Without the package, the time grows with the number of triangles times the degree:
        for sparse graphs.

    **References**

    [1] Natasa Przulj (2007) "Biological network comparison using graphlet degree
        distribution", Bioinformatics 23(2).
    """
    check_graph(graph)
    if graph.number_of_edges() == 0:
        return np.zeros((len(graph), _NUM_ORBITS), dtype=np.int64)
    place = {node: row for row, node in enumerate(graph)}
    neighbors = [{place[other] for other in graph[node]} for node in graph]
    if use_package is not False:
        try:
            from orbit_count import node_orbit_counts
        except ImportError as error:
            if use_package:
                raise ImportError(
                    "Expected the package orbit-count. Install it by pip install pyro-rm[graphs]."
                ) from error
        else:
            numbered = nx.empty_graph(len(graph))
            numbered.add_edges_from((place[a], place[b]) for a, b in graph.edges)
            return np.asarray(node_orbit_counts(numbered), dtype=np.int64)
    return _subgraph_counts(neighbors) @ _induced()


@constant
def _induced() -> np.ndarray:
    """What turns counts of subgraphs into counts of induced ones, ``(15, 15)``."""
    roles = np.zeros((_NUM_ORBITS, _NUM_ORBITS))
    for edges, orbits in _GRAPHLETS:
        graph = nx.Graph(edges)
        counts = _subgraph_counts([set(graph[node]) for node in sorted(graph)])
        same_size = [o for e, own in _GRAPHLETS for o in own if len(own) == len(orbits)]
        for orbit, row in zip(orbits, counts, strict=True):
            roles[orbit, same_size] = row[same_size]
    return np.rint(np.linalg.inv(roles)).astype(np.int64)


def _subgraph_counts(neighbors: list[set[int]]) -> np.ndarray:
    """Counts of orbits of subgraphs that need not be induced, ``(nodes, 15)``.

    Sums over nodes, paths of two edges and triangles, of which there are as many as there are.
    """
    degree = [len(own) for own in neighbors]
    shared = [{j: own & neighbors[j] for j in own} for own in neighbors]
    triangles = [sum(map(len, row.values())) // 2 for row in shared]
    counts = np.zeros((len(neighbors), _NUM_ORBITS), dtype=np.int64)
    further = [sum(degree[j] - 1 for j in own) for own in neighbors]
    for i, own in enumerate(neighbors):
        d, t = degree[i], triangles[i]
        ways = Counter(k for j in own for k in neighbors[j] if k != i)
        corners = [(j, k) for j, both in shared[i].items() for k in both]  # each triangle twice
        counts[i] = (
            d,
            further[i], comb(d, 2), t,
            sum(further[j] for j in own) - d * (d - 1) - 2 * t, (d - 1) * further[i] - 2 * t,
            sum(comb(degree[j] - 1, 2) for j in own), comb(d, 3),
            sum(comb(number, 2) for number in ways.values()),
            sum(triangles[j] - len(shared[i][j]) for j in own),
            sum(degree[j] - 2 for j, _ in corners), t * (d - 2),
            sum(len(shared[j][k]) - 1 for j, k in corners) // 2,
            sum(comb(len(both), 2) for both in shared[i].values()),
            sum(len(neighbors[k] & shared[i][j]) for j, k in corners) // 6,
        )  # fmt: skip
    return counts
