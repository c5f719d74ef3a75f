"""Graphs with couplings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graph, check_real
from pyro_rm.energies.node_pairs import adjacency_matrix


def lattice(*sizes: int, coupling: float, periodic: bool = True) -> nx.Graph:
    r"""A square (cubic, ...) lattice with one coupling.

    :param sizes: Sites along each direction.
    :param coupling: :math:`J_{ij}` in :math:`\log p = \sum_{i<j} J_{ij} x_i x_j`: twice the
        :math:`\sigma` of a published :math:`\sigma x^\top A x`.
    :param periodic: Whether opposite borders are neighbors.
    :returns: A graph with the nodes 0, 1, ... and the edge attribute ``weight``.

    Example:

        >>> lattice(10, 10, coupling=0.2).number_of_edges()
        200
    """
    check_counts(**{f"size {number}": size for number, size in enumerate(sizes)})
    graph = nx.grid_graph(sizes, periodic=periodic)
    return with_couplings(nx.convert_node_labels_to_integers(graph), coupling)


def with_couplings(graph: nx.Graph, coupling: Any) -> nx.Graph:
    """A copy of a graph with one coupling for all edges, or one for each.

    :param graph: Any undirected graph.
    :param coupling: A number; a list, tuple, array or tensor of one for each edge, in the order
        of ``graph.edges``; or a dict of them by edge, as of ``nx.get_edge_attributes``.
    :returns: The same nodes and edges, with ``weight``.
    :raises TypeError: If it is not an undirected graph, or couplings are of another type.
    :raises ValueError: If there is another number of couplings than edges, one is not a finite
        number, or the graph has self-loops.

    Example:

        >>> graph = with_couplings(nx.path_graph(3), {(0, 1): 0.3, (2, 1): -0.3})
        >>> graph[1][2]["weight"]
        -0.3
    """
    check_graph(graph)
    edges = list(graph.edges)
    if isinstance(coupling, Mapping):
        given: Any = _by_edge(edges, coupling)
    elif isinstance(coupling, Tensor):
        given = coupling.detach().cpu().tolist()
    elif isinstance(coupling, np.ndarray):
        given = coupling.tolist()
    else:
        given = coupling
    if not isinstance(given, list | tuple | Real):
        raise TypeError(
            "Expected a coupling as a number, or as a list, array, tensor or dict of one for each "
            f"edge, but got {type(coupling).__name__}."
        )
    values = [given] * len(edges) if isinstance(given, Real) else given
    if len(values) != len(edges):
        raise ValueError(
            f"Expected a coupling for each of {len(edges)} edges, but got {len(values)}."
        )
    result = graph.copy()
    for edge, value in zip(edges, values, strict=True):
        result.edges[edge]["weight"] = _coupling(value, edge, "Give one for each edge.")
    return result


def coupling_matrix(source: nx.Graph | Tensor) -> Tensor:
    """Couplings as a symmetric matrix, in the order of nodes, ``(D, D)``.

    :param source: A graph whose edges all have ``weight``, or a vector over pairs of sites
        ``i < j`` in row-major order, ``batch_shape + (D * (D - 1) / 2,)``.
    :returns: Symmetric, zero on the diagonal, ``batch_shape + (D, D)``; differentiable in a
        vector.
    :raises TypeError: If it is neither an undirected graph nor a tensor of real numbers.
    :raises ValueError: If the graph has self-loops, or an edge without a finite number as its
        weight; or if no number of sites has so many pairs.

    Example:

        >>> coupling_matrix(lattice(3, coupling=0.5, periodic=False))
        tensor([[0.0000, 0.5000, 0.0000],
                [0.5000, 0.0000, 0.5000],
                [0.0000, 0.5000, 0.0000]])
        >>> coupling_matrix(torch.tensor([0.1, 0.2, 0.3]))
        tensor([[0.0000, 0.1000, 0.2000],
                [0.1000, 0.0000, 0.3000],
                [0.2000, 0.3000, 0.0000]])
    """
    if isinstance(source, Tensor):
        check_real(source, "couplings of pairs")
        if source.dim() == 0:
            raise ValueError("Expected couplings of pairs as a vector, but got a scalar.")
        return adjacency_matrix(source)
    check_graph(source)
    way_out = (
        "Give every edge one by with_couplings(graph, value), or by with_couplings(graph, "
        "nx.get_edge_attributes(graph, name)) if they have another name."
    )
    place = {node: row for row, node in enumerate(source)}
    matrix = torch.zeros(len(source), len(source))
    for first, second, data in source.edges(data=True):
        value = _coupling(data.get("weight"), (first, second), way_out)
        i, j = place[first], place[second]
        matrix[i, j] = matrix[j, i] = value
    return matrix


def _by_edge(edges: Sequence[Any], couplings: Mapping[Any, Any]) -> list[Any]:
    """Couplings in the order of edges, whichever end each key names first."""
    values = {frozenset(edge): value for edge, value in couplings.items()}
    unknown = [edge for edge in couplings if frozenset(edge) not in {frozenset(e) for e in edges}]
    missing = [edge for edge in edges if frozenset(edge) not in values]
    if unknown or missing or len(values) < len(couplings):
        raise ValueError(
            f"Expected one coupling for each of {len(edges)} edges, but got {len(couplings)}; "
            f"without one are {missing[:3]}, and not edges are {unknown[:3]}."
        )
    return [values[frozenset(edge)] for edge in edges]


def _coupling(value: Any, edge: Any, way_out: str) -> float:
    """A finite number, not a truth value."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        given = "none" if value is None else repr(value)
        raise ValueError(
            f"Expected a finite number as the coupling of edge {edge}, but got {given}. {way_out}"
        )
    return float(value)
