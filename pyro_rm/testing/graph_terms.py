"""Checks of terms of graph models."""

from __future__ import annotations

import networkx as nx
import numpy as np

from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import KINDS, Nodes


def check_graph_term(term: GraphTerm, graph: nx.Graph | None = None) -> None:
    """Compare a term's change statistics with differences of its values, on all small graphs.

    :param term: The term.
    :param graph: Nodes with the attributes that it asks for, at most five if undirected or
        bipartite and four if directed; None: without attributes, of each kind that it is for.
    :raises AssertionError: If a shape or a value is wrong.

    Example:

        >>> from pyro_rm.graphs import graph_term
        >>> check_graph_term(graph_term("gwesp(0.5)"))
    """
    unknown = set(term.kinds) - set(KINDS)
    assert not unknown, f"Expected kinds among {KINDS}, but got {sorted(unknown)}."
    graphs = [small_graph(kind) for kind in term.kinds] if graph is None else [graph]
    for small in graphs:
        _check_on(term, Nodes.of(small))


def small_graph(kind: str) -> nx.Graph:
    """Nodes without attributes, five or if directed four, of a kind.

    :param kind: ``"undirected"``, ``"directed"`` or ``"bipartite"``.
    :returns: A graph without edges.

    Example:

        >>> len(small_graph("directed"))
        4
    """
    if kind == "bipartite":
        return nx.complete_bipartite_graph(2, 3)
    return nx.empty_graph(
        4 if kind == "directed" else 5, nx.DiGraph if kind == "directed" else None
    )


def all_graphs(nodes: Nodes) -> tuple[EdgeSets, list[tuple[int, int]]]:
    """Every graph on some nodes, as copies, and its pairs: bit ``d`` of a copy is pair ``d``.

    :param nodes: A few nodes.
    :returns: The copies, and the pairs.
    """
    size = range(len(nodes))
    pairs = [(a, b) for a in size for b in size if (a != b if nodes.directed else a < b)]
    if nodes.kind == "bipartite":
        pairs = [(a, b) for a, b in pairs if nodes.side[a] != nodes.side[b]]
    copies, ends = np.arange(2 ** len(pairs)), np.array(pairs)
    there, which = np.nonzero(copies[:, None] >> np.arange(len(pairs)) & 1)
    i, j = (ends[which] + there[:, None] * len(nodes)).T
    return EdgeSets(nodes, i, j, len(copies)), pairs


def _check_on(term: GraphTerm, nodes: Nodes) -> None:
    graphs, pairs = all_graphs(nodes)
    labels = term.labels(nodes)
    values = _column(term.value(graphs), graphs.num_copies, labels, "values")
    starts = np.arange(graphs.num_copies)
    for number, (first, second) in enumerate(pairs):
        at = starts * len(nodes)
        change = term.change(Pairs(graphs, at + first, at + second))
        change = _column(change, graphs.num_copies, labels, "changes")
        expected = values[starts | (1 << number)] - values[starts & ~(1 << number)]
        error = np.abs(change - expected).max()
        assert error < 1e-9 * (1 + np.abs(expected).max()), (
            f"Expected the change that an edge between nodes {first} and {second} makes to be the "
            f"difference of values, but {type(term).__name__} is off by {error:g} on some "
            f"{nodes.kind} graph."
        )


def _column(array: np.ndarray, size: int, labels: list[str], what: str) -> np.ndarray:
    shape = (size,) if labels == [""] else (size, len(labels))
    assert np.shape(array) == shape, f"Expected {what} of shape {shape}, but got {np.shape(array)}."
    return np.asarray(array)
