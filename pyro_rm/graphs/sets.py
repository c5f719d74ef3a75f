"""Sets of small graphs that graph generators are compared on."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.datasets import read_csv_table

_EGO_SMALL = 200
_EGO_SMALL_SIZES = range(4, 19)


def community_graphs(
    num_graphs: int = 100,
    *,
    sizes: tuple[int, ...] = (12, 14, 16, 18, 20),
    edge_probability: float = 0.7,
    bridge_share: float = 0.05,
) -> list[nx.Graph]:
    r"""Graphs of two dense communities with a few bridges, in the manner of [1].

    Each community is an Erdos-Renyi graph on half of the nodes; about
    ``bridge_share * n`` edges, at least one, connect them. Seeded by torch.

    :param num_graphs: Number of graphs.
    :param sizes: Even numbers of nodes to draw from.
    :param edge_probability: Density within a community.
    :param bridge_share: Edges between the communities for each node.
    :returns: The graphs.
    :raises ValueError: If an option is out of range.

    Example:

        >>> graph = community_graphs(1, sizes=(12,))[0]
        >>> len(graph)
        12

    **References**

    [1] Jiaxuan You, Rex Ying, Xiang Ren, William Hamilton, Jure Leskovec (2018) "GraphRNN:
        generating realistic graphs with deep auto-regressive models", ICML.
    """
    check_counts(num_graphs=num_graphs)
    if len(sizes) == 0 or any(size < 2 or size % 2 for size in sizes):
        raise ValueError(f"Expected sizes to be even numbers of nodes, but got {sizes}.")
    if not 0 <= edge_probability <= 1 or not 0 <= bridge_share <= 1:
        raise ValueError(
            f"Expected edge_probability and bridge_share in [0, 1], but got {edge_probability} "
            f"and {bridge_share}."
        )
    generator = np.random.default_rng(int(torch.randint(2**31, ())))
    graphs = []
    for _ in range(num_graphs):
        half = int(generator.choice(sizes)) // 2
        sides = [nx.gnp_random_graph(half, edge_probability, generator) for _ in range(2)]
        graph = nx.disjoint_union(*sides)
        for _ in range(max(1, round(bridge_share * 2 * half))):
            start, stop = generator.integers(half, size=2).tolist()
            graph.add_edge(start, half + stop)
        graphs.append(graph)
    return graphs


def ego_small(edges: str | Path) -> tuple[list[nx.Graph], list[nx.Graph]]:
    """The Ego-small set [1, 2]: one-hop neighborhoods of papers in the Citeseer network [3].

    The first 200 ego graphs with 4 to 18 nodes, in the order of nodes, of the largest
    component; the first fifth is the test set, as in [2].

    :param edges: Path of the edges, a CSV file (compressed or not) with a header and two
        columns of node numbers.
    :returns: 160 training and 40 test graphs.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If it is not such a table, or the network has fewer than 200 such graphs.

    .. note:: The tests run it on the Citeseer network itself, where that is at hand.

    **References**

    [1] Jiaxuan You, Rex Ying, Xiang Ren, William Hamilton, Jure Leskovec (2018) "GraphRNN:
        generating realistic graphs with deep auto-regressive models", ICML.
    [2] Chenhao Niu, Yang Song, Jiaming Song, Shengjia Zhao, Aditya Grover, Stefano Ermon
        (2020) "Permutation invariant graph generation via score-based generative modeling",
        AISTATS.
    [3] Prithviraj Sen, Galileo Namata, Mustafa Bilgic, Lise Getoor, Brian Gallagher, Tina
        Eliassi-Rad (2008) "Collective classification in network data", AI Magazine 29(3).
    """
    network = nx.Graph(_edges(Path(edges)).tolist())
    network.remove_edges_from(list(nx.selfloop_edges(network)))
    component = network.subgraph(max(nx.connected_components(network), key=len))
    egos: list[nx.Graph] = []
    for node in sorted(component):
        if component.degree[node] + 1 in _EGO_SMALL_SIZES:
            ego = component.subgraph([node, *component[node]])
            egos.append(nx.convert_node_labels_to_integers(ego))
        if len(egos) == _EGO_SMALL:
            return egos[_EGO_SMALL // 5 :], egos[: _EGO_SMALL // 5]
    raise ValueError(
        f"Expected a network with {_EGO_SMALL} ego graphs of 4 to 18 nodes, but {edges} has "
        f"{len(egos)}."
    )


def _edges(path: Path) -> Tensor:
    """Pairs of node numbers, at least one."""
    table = read_csv_table(path).values
    if table.shape[1] != 2 or not (table == table.round()).all():
        raise ValueError(
            f"Expected a header and rows of two node numbers in {path}, but got blanks, fractions "
            f"or {table.shape[1]} columns."
        )
    return table.long()
