"""Graphs as binary vectors over node pairs, padded to a common size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graphs, check_real, check_sizes
from pyro_rm.energies.node_pairs import num_nodes_of, num_pairs, pair_ends


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Graphs of different sizes in one batch.

    :param pairs: 1 where a pair of nodes is connected, ``(B, D)``. Undirected graphs have a
        site for each pair ``i < j``, directed ones for each ordered pair, in row-major
        order; pairs of nodes that a graph does not have are 0.
    :param num_nodes: Nodes of each graph, ``(B,)``.
    :param max_nodes: Nodes of the padding.
    :param directed: Whether pairs are ordered.
    :param features: Features of nodes, ``(B, max_nodes, F)``, or None.

    Example:

        >>> batch = GraphBatch(torch.ones(1, 6), torch.tensor([3]), max_nodes=4)
        >>> batch.active.sum()
        tensor(3)
    """

    pairs: Tensor
    num_nodes: Tensor
    max_nodes: int
    _: KW_ONLY
    directed: bool = False
    features: Tensor | None = None

    def __len__(self) -> int:
        return self.pairs.shape[0]

    @property
    def active(self) -> Tensor:
        """Which pairs exist, ``(B, D)``: what estimators and samplers take as ``active``."""
        return active_pairs(self.num_nodes, self.max_nodes, directed=self.directed)

    def densities(self, strength: float = 1.0) -> Tensor:
        """Edge densities by number of nodes, shrunk to the density of all graphs; not 0 or 1.

        :param strength: Graphs' worth of pairs at the overall density that each number of
            nodes is given; without it, rare sizes rest on a single graph.
        :returns: Shape ``(max_nodes + 1,)``.
        """
        possible = self.active.sum(-1).to(self.pairs.dtype)
        zeros = self.pairs.new_zeros(self.max_nodes + 1)
        edges = zeros.index_add(0, self.num_nodes, self.pairs.sum(-1))
        pairs = zeros.index_add(0, self.num_nodes, possible)
        nodes = torch.arange(self.max_nodes + 1, device=self.pairs.device)
        prior = strength * nodes * (nodes - 1) / (1 if self.directed else 2) + 1e-9
        half = 0.5 / possible.sum()  # a pair, where all are joined or none is
        overall = (self.pairs.sum() / possible.sum()).clamp(half, 1 - half)
        return (edges + prior * overall) / (pairs + prior)


def active_pairs(num_nodes: Tensor, max_nodes: int, *, directed: bool = False) -> Tensor:
    """Which node pairs graphs of given sizes have.

    :param num_nodes: Nodes of each graph, ``batch_shape``.
    :param max_nodes: Nodes of the padding.
    :param directed: Whether pairs are ordered.
    :returns: Booleans, ``batch_shape + (D,)``.
    :raises TypeError: If the numbers of nodes are not integers.
    :raises ValueError: If one is negative, or above ``max_nodes``.

    Example:

        >>> active_pairs(torch.tensor([2, 3]), 3)
        tensor([[ True, False, False],
                [ True,  True,  True]])
    """
    check_counts(max_nodes=max_nodes)
    check_sizes(num_nodes, max_nodes)
    ends = pair_ends(
        num_pairs(max_nodes, directed=directed), directed=directed, device=num_nodes.device
    )
    return torch.maximum(*ends) < num_nodes[..., None]


def encode_graphs(
    graphs: Sequence[nx.Graph],
    *,
    max_nodes: int | None = None,
    node_features: str | None = None,
) -> GraphBatch:
    """Turn graphs into padded vectors over node pairs; nodes keep the order of each graph.

    Each edge is a one: weights are not read.

    :param graphs: Graphs of one kind, directed or not, without self-loops.
    :param max_nodes: Nodes of the padding, those of the largest graph by default.
    :param node_features: Name of a node attribute, a number or a vector, to take along.
    :returns: The batch; :func:`decode_graphs` is the inverse.
    :raises TypeError: If a graph is a multigraph, or directed and undirected ones are mixed.
    :raises ValueError: If there is no graph, or a graph has no nodes, self-loops, more than
        ``max_nodes`` nodes, or a node whose features are missing, not finite, or of another
        length than the others'.

    Example:

        >>> batch = encode_graphs([nx.path_graph(2), nx.path_graph(3)])
        >>> batch.pairs
        tensor([[1., 0., 0.],
                [1., 0., 1.]])
        >>> batch.num_nodes
        tensor([2, 3])
    """
    directed = _directed(graphs)
    check_graphs(graphs, directed=directed)
    largest = max(len(graph) for graph in graphs)
    max_nodes = largest if max_nodes is None else max_nodes
    check_counts(max_nodes=max_nodes)
    if largest > max_nodes:
        raise ValueError(
            f"Expected graphs of at most max_nodes={max_nodes} nodes, but got one of {largest}. "
            "Raise max_nodes."
        )
    num_nodes = torch.tensor([len(graph) for graph in graphs])
    active = active_pairs(num_nodes, max_nodes, directed=directed)
    pairs = torch.zeros(active.shape)
    for row, exists, graph in zip(pairs, active, graphs, strict=True):
        adjacency = torch.from_numpy(nx.to_numpy_array(graph, weight=None)).to(pairs)
        own = num_pairs(len(graph), directed=directed)
        row[exists] = adjacency[pair_ends(own, directed=directed)]
    features = None
    if node_features is not None:
        features = _features(graphs, max_nodes, node_features)
    return GraphBatch(pairs, num_nodes, max_nodes, directed=directed, features=features)


def decode_graphs(pairs: Tensor, num_nodes: Tensor, *, directed: bool = False) -> list[nx.Graph]:
    """Turn padded vectors over node pairs into graphs; padding is not read.

    :param pairs: 1 where a pair is connected, ``(B, D)``.
    :param num_nodes: Nodes of each graph, ``(B,)``.
    :param directed: Whether pairs are ordered.
    :returns: Graphs on nodes 0, 1, ...
    :raises TypeError: If they are not tensors of numbers and integers.
    :raises ValueError: If no number of nodes has ``D`` pairs, a graph is larger, or a pair is
        neither 0 nor 1.

    Example:

        >>> (graph,) = decode_graphs(torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([3]))
        >>> sorted(graph.edges)
        [(0, 1), (1, 2)]
    """
    check_real(pairs, "pairs")
    if pairs.dim() != 2:
        raise ValueError(f"Expected pairs of shape (B, D), but got {tuple(pairs.shape)}.")
    max_nodes = num_nodes_of(pairs.shape[-1], directed=directed)
    check_sizes(num_nodes, max_nodes)
    if num_nodes.shape != pairs.shape[:1]:
        raise ValueError(
            f"Expected a number of nodes for each of {len(pairs)} graphs, but got shape "
            f"{tuple(num_nodes.shape)}."
        )
    rows, counts = pairs.detach().cpu(), num_nodes.cpu()
    active = active_pairs(counts, max_nodes, directed=directed)
    if not ((rows == 0) | (rows == 1))[active].all():
        raise ValueError("Expected 0 or 1 for each pair, but got other values.")
    ends = torch.stack(pair_ends(pairs.shape[-1], directed=directed), -1)
    graphs = []
    for connected, count in zip((rows == 1) & active, counts.tolist(), strict=True):
        graph = nx.empty_graph(count, create_using=nx.DiGraph if directed else nx.Graph)
        graph.add_edges_from(ends[connected].tolist())
        graphs.append(graph)
    return graphs


def size_buckets(graphs: Sequence[nx.Graph], num_buckets: int) -> list[GraphBatch]:
    """Batches of graphs of similar size, each with little padding.

    :param graphs: As for :func:`encode_graphs`.
    :param num_buckets: Number of batches, of equal size up to one graph.
    :returns: The batches, by increasing size; fewer if there are fewer graphs.
    :raises TypeError: As for :func:`encode_graphs`.
    :raises ValueError: As for :func:`encode_graphs`.

    Example:

        >>> [b.max_nodes for b in size_buckets([nx.path_graph(n) for n in (9, 2, 8, 3)], 2)]
        [3, 9]
    """
    return [encode_graphs(some) for some in of_similar_size(graphs, num_buckets)]


def of_similar_size(graphs: Sequence[nx.Graph], num_buckets: int) -> list[list[nx.Graph]]:
    """Graphs by increasing size, cut into lists of equal length up to one.

    Example:

        >>> [[len(graph) for graph in some] for some in of_similar_size([nx.path_graph(3)], 2)]
        [[3]]
    """
    check_counts(num_buckets=num_buckets)
    check_graphs(graphs, directed=_directed(graphs))
    ordered = sorted(graphs, key=len)
    bounds = np.linspace(0, len(ordered), min(num_buckets, len(ordered)) + 1).round().astype(int)
    return [ordered[a:b] for a, b in pairwise(bounds.tolist())]


def _directed(graphs: Any) -> bool:
    """Whether the first graph, if there is one, is directed."""
    first = graphs[0] if isinstance(graphs, Sequence) and len(graphs) > 0 else None
    return isinstance(first, nx.DiGraph)


def _vector(value: Any) -> Tensor | None:
    """A finite number or a vector of them; None if it is anything else."""
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except ValueError:  # lists of different lengths
        return None
    if array.dtype.kind not in "biuf" or array.ndim > 1 or array.size == 0:
        return None
    vector = torch.from_numpy(array.astype(float).reshape(-1))
    return vector if bool(vector.isfinite().all()) else None


def _features(graphs: Sequence[nx.Graph], max_nodes: int, name: str) -> Tensor:
    """Features of nodes, ``(B, max_nodes, F)``, zero for padding."""
    widths: set[int] = set()
    rows = []
    for index, graph in enumerate(graphs):
        own = []
        for node, value in graph.nodes(data=name):
            vector = _vector(value)
            if vector is None:
                raise ValueError(
                    f"Expected every node to have the attribute {name!r}, a finite number or a "
                    f"vector of them, but got {value!r} for node {node!r} of graph {index}."
                )
            widths.add(len(vector))
            if len(widths) > 1:
                raise ValueError(
                    f"Expected {name!r} of one length at every node, but node {node!r} of graph "
                    f"{index} has {len(vector)}, and others {min(widths - {len(vector)})}."
                )
            own.append(vector)
        rows.append(torch.stack(own))
    features = torch.zeros(len(graphs), max_nodes, max(widths))
    for index, row in enumerate(rows):
        features[index, : len(row)] = row
    return features
