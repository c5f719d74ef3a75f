"""Graphs with couplings: lattices, random graphs and spin glasses."""

from __future__ import annotations

from typing import Any

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graph


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
    """A random graph in which all sites have as many neighbors, by the algorithm of [1].

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
    """A random graph in which each pair is connected alike, independently [1].

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
    :raises TypeError: If it is no graph, directed, or a multigraph.
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
    """A copy of a graph with one coupling for all edges, or one for each in their order.

    :param graph: Any undirected graph.
    :param coupling: A number, or a list of one for each edge.
    :returns: The same nodes and edges, with ``weight``.
    :raises TypeError: If it is no graph, directed, or a multigraph.
    :raises ValueError: If there is another number of couplings than edges, or self-loops.
    """
    check_graph(graph)
    result = nx.Graph()
    result.add_nodes_from(graph.nodes)
    values = coupling if isinstance(coupling, list) else [coupling] * graph.number_of_edges()
    if len(values) != graph.number_of_edges():
        raise ValueError(
            f"Expected a coupling for each of {graph.number_of_edges()} edges, but got "
            f"{len(values)}."
        )
    for (first, second), value in zip(graph.edges(), values, strict=True):
        result.add_edge(first, second, weight=float(value))
    return result


def coupling_matrix(graph: nx.Graph) -> Tensor:
    """The couplings of a graph as a symmetric matrix, in the order of its nodes, ``(D, D)``.

    :param graph: A graph whose edges have ``weight``.
    :returns: Symmetric, zero on the diagonal.
    :raises TypeError: If it is no graph, directed, or a multigraph.
    :raises ValueError: If it has self-loops.

    Example:

        >>> coupling_matrix(lattice(3, coupling=0.5, periodic=False))
        tensor([[0.0000, 0.5000, 0.0000],
                [0.5000, 0.0000, 0.5000],
                [0.0000, 0.5000, 0.0000]])
    """
    check_graph(graph)
    return torch.tensor(nx.to_numpy_array(graph), dtype=torch.get_default_dtype())


def _seed() -> int:
    """A seed from torch's generator, for generators that are not torch's."""
    return int(torch.randint(2**31 - 1, ()))
