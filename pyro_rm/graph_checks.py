"""Graphs that are handed over: simple ones of networkx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx


def check_graph(graph: Any, name: str = "the graph", *, directed: bool = False) -> None:
    """Refuse what is no simple graph.

    :param graph: What was given.
    :param name: What messages call it.
    :param directed: Whether it must be directed, or must not.
    :raises TypeError: If it is no graph, a multigraph, or of the other kind.
    :raises ValueError: If it has self-loops.

    Example:

        >>> check_graph(nx.path_graph(3))
        >>> check_graph([(0, 1)])
        Traceback (most recent call last):
            ...
        TypeError: Expected the graph as a networkx.Graph, but got list.
    """
    if not isinstance(graph, nx.Graph):
        raise TypeError(f"Expected {name} as a networkx.Graph, but got {type(graph).__name__}.")
    if graph.is_multigraph():
        raise TypeError(
            f"Expected graphs without parallel edges, but {name} is a {type(graph).__name__}. "
            "Merge them by nx.Graph(graph) or nx.DiGraph(graph)."
        )
    if graph.is_directed() != directed:
        kinds = ("a directed", "an undirected") if directed else ("an undirected", "a directed")
        raise TypeError(f"Expected {kinds[0]} graph, but {name} is {kinds[1]} one.")
    if nx.number_of_selfloops(graph) > 0:
        raise ValueError(
            f"Expected graphs without self-loops, but {name} has some. Remove them by "
            "graph.remove_edges_from(list(nx.selfloop_edges(graph)))."
        )


def check_graphs(graphs: Any, *, directed: bool = False) -> None:
    """Refuse what is no list of simple graphs with nodes, at least one.

    :param graphs: What was given.
    :param directed: Whether they must be directed, or must not.
    :raises TypeError: If it is no list, or as :func:`check_graph`.
    :raises ValueError: If there is no graph, or one without nodes, or as :func:`check_graph`.

    Example:

        >>> check_graphs([])
        Traceback (most recent call last):
            ...
        ValueError: Expected at least one graph, but got none.
    """
    if not isinstance(graphs, Sequence) or isinstance(graphs, str):
        raise TypeError(f"Expected a list of graphs, but got {type(graphs).__name__}.")
    if len(graphs) == 0:
        raise ValueError("Expected at least one graph, but got none.")
    for index, graph in enumerate(graphs):
        check_graph(graph, f"graph {index}", directed=directed)
        if len(graph) == 0:
            raise ValueError(f"Expected graphs with at least one node, but graph {index} is empty.")
