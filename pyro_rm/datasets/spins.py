"""Graphs with couplings: lattices, random graphs and spin glasses."""

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


def random_regular(num_sites: int, degree: int, *, coupling: float) -> nx.Graph:
    """A random graph in which all sites have the same number of neighbors, by the algorithm of [1].

    :param num_sites: Number of sites.
    :param degree: Neighbors a site.
    :param coupling: See :func:`lattice`.
    :returns: As :func:`lattice`.
    :raises ValueError: If there is no such graph.

    **References**

    [1] Angelika Steger, Nicholas Wormald (1999) "Generating random regular graphs quickly",
        Combinatorics, Probability and Computing 8(4).
    """
    check_counts(num_sites=num_sites, degree=degree)
    if degree >= num_sites or degree * num_sites % 2:
        raise ValueError(
            f"Expected degree below num_sites with an even product, but got {degree} and "
            f"{num_sites}: no such graph exists."
        )
    return with_couplings(nx.random_regular_graph(degree, num_sites, seed=_seed()), coupling)


def erdos_renyi(num_sites: int, mean_degree: float, *, coupling: float) -> nx.Graph:
    """A random graph in which each pair is connected with the same probability, independently [1].

    :param num_sites: Number of sites.
    :param mean_degree: Expected neighbors a site.
    :param coupling: See :func:`lattice`.
    :returns: As :func:`lattice`.
    :raises ValueError: If there are fewer than two sites, or the degree is out of range.

    **References**

    [1] Edgar Gilbert (1959) "Random graphs", The Annals of Mathematical Statistics 30(4).
    """
    check_counts(2, num_sites=num_sites)
    if not 0 <= mean_degree <= num_sites - 1:
        raise ValueError(
            f"Expected mean_degree from 0 to num_sites - 1 = {num_sites - 1}, but got "
            f"{mean_degree}."
        )
    graph = nx.fast_gnp_random_graph(num_sites, mean_degree / (num_sites - 1), seed=_seed())
    return with_couplings(graph, coupling)


def spin_glass(graph: nx.Graph, *, scale: float, gaussian: bool = False) -> nx.Graph:
    """Random couplings on any graph: Edwards-Anderson on lattices [1],
    Sherrington-Kirkpatrick on complete graphs [2].

    :param graph: Any undirected graph; its nodes keep their names.
    :param scale: Size of the couplings.
    :param gaussian: Normal couplings with this standard deviation, instead of either sign.
    :returns: A copy with the edge attribute ``weight``.
    :raises TypeError: If it is not a graph, directed, or a multigraph.
    :raises ValueError: If it has self-loops.

    Example:

        >>> glass = spin_glass(nx.path_graph(["a", "b", "c"]), scale=0.5)
        >>> abs(glass["a"]["b"]["weight"])
        0.5

    **References**

    [1] Samuel Edwards, Philip Anderson (1975) "Theory of spin glasses", Journal of Physics F:
        Metal Physics 5(5).

    [2] David Sherrington, Scott Kirkpatrick (1975) "Solvable model of a spin-glass", Physical
        Review Letters 35(26).
    """
    check_graph(graph)
    count = graph.number_of_edges()
    draws = torch.randn(count) if gaussian else 2.0 * torch.randint(2, (count,)) - 1
    return with_couplings(graph, (scale * draws).tolist())


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


def _seed() -> int:
    """A seed from torch's generator, for generators that are not torch's."""
    return int(torch.randint(2**31 - 1, ()))
