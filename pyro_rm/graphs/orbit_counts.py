"""Orbits: in how many small induced subgraphs a node takes part, and in which role."""

from __future__ import annotations

from itertools import combinations, islice

import networkx as nx
import numpy as np

from pyro_rm.checks import check_graph

_NUM_ORBITS = 15
_CHUNK = 2**18
# Degrees within a connected induced subgraph on two to four nodes decide the orbits:
# sorted degrees -> {degree: orbit}, in the numbering of Przulj.
_ORBITS = {
    (1, 1): {1: 0},
    (1, 1, 2): {1: 1, 2: 2},
    (2, 2, 2): {2: 3},
    (1, 1, 2, 2): {1: 4, 2: 5},
    (1, 1, 1, 3): {1: 6, 3: 7},
    (2, 2, 2, 2): {2: 8},
    (1, 2, 2, 3): {1: 9, 2: 10, 3: 11},
    (2, 2, 3, 3): {2: 12, 3: 13},
    (3, 3, 3, 3): {3: 14},
}


def orbit_counts(graph: nx.Graph, *, use_package: bool | None = None) -> np.ndarray:
    """Counts of the 15 orbits of subgraphs on two to four nodes [1], for each node.

    :param graph: An undirected graph without self-loops; it may have no edges.
    :param use_package: Whether to count by the package ``orbit-count``, the extra
        ``graphs``; None: where it is installed.
    :returns: Integers of shape ``(nodes, 15)``, in the order of the graph's nodes.
    :raises TypeError: If it is no undirected graph.
    :raises ValueError: If it has self-loops.
    :raises ImportError: If the package was asked for and is not installed.

    Example:

        >>> orbit_counts(nx.path_graph(3))[:, :3]
        array([[1, 1, 0],
               [2, 0, 1],
               [1, 1, 0]])

    .. note:: Without the package all quadruples of nodes are visited: for small graphs.

    **References**

    [1] Natasa Przulj (2007) "Biological network comparison using graphlet degree
        distribution", Bioinformatics 23(2).
    """
    check_graph(graph)
    matrix = nx.to_numpy_array(graph, weight=None, dtype=np.int64)
    if use_package is not False and graph.number_of_edges() > 0:
        try:
            from orbit_count import node_orbit_counts
        except ImportError as error:
            if use_package:
                raise ImportError(
                    "Expected the package orbit-count. Install it by pip install pyro-rm[graphs]."
                ) from error
        else:
            numbered = nx.from_numpy_array(matrix)
            return np.asarray(node_orbit_counts(numbered), dtype=np.int64)
    return _count_by_enumeration(matrix)


def _count_by_enumeration(matrix: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(matrix), _NUM_ORBITS), dtype=np.int64)
    for size in (2, 3, 4):
        subsets = combinations(range(len(matrix)), size)
        while chunk := list(islice(subsets, _CHUNK)):
            nodes = np.array(chunk)
            degrees = matrix[nodes[:, :, None], nodes[:, None, :]].sum(-1)
            key = np.sort(degrees, 1)
            for pattern, orbit in _ORBITS.items():
                if len(pattern) != size:
                    continue
                found = (key == pattern).all(1)
                for degree, number in orbit.items():
                    members = nodes[found][degrees[found] == degree]
                    counts[:, number] += np.bincount(members, minlength=len(matrix))
    return counts
