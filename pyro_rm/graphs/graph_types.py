"""Categories of nodes and types of edges, as sites beside those of plain graphs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import torch
from networkx.algorithms.isomorphism import (
    GraphMatcher,
    categorical_edge_match,
    categorical_node_match,
)
from torch import Tensor

from pyro_rm.energies.node_pairs import num_nodes_of, num_pairs, pair_ends
from pyro_rm.graphs.codec import active_pairs, decode_graphs, encode_graphs
from pyro_rm.state_space import StateSpace

Shares = tuple[tuple[Any, float], ...]


@dataclass(frozen=True)
class GraphTypes:
    """Which categories nodes and edges have, and how graphs with them become data.

    A datum has a site for each pair of nodes, 0 for no edge and 1, 2, ... for the types of
    edges, and then, where nodes have categories, one for each node, 0, 1, ... Without attributes
    this is the code of plain graphs.

    :param node_attribute: Name of the attribute that holds a node's category; None: no categories.
    :param edge_attribute: Name of the attribute that holds an edge's type; None: a single type.
    :param nodes: The categories of nodes and their shares.
    :param edges: The types of edges and their shares.

    Example:

        >>> graph = nx.Graph([(0, 1, {"bond": "single"}), (1, 2, {"bond": "double"})])
        >>> types = GraphTypes.fit([graph], edge_attribute="bond")
        >>> types.encode([graph])  # in the order of the alphabet: double is 1, single 2
        tensor([[2., 0., 1.]])
    """

    node_attribute: str | None = None
    edge_attribute: str | None = None
    nodes: Shares = ()
    edges: Shares = ((None, 1.0),)

    @classmethod
    def fit(
        cls,
        graphs: Sequence[nx.Graph],
        *,
        node_attribute: str | None = None,
        edge_attribute: str | None = None,
    ) -> GraphTypes:
        """The categories that graphs have, in the order of the alphabet.

        :param graphs: Graphs.
        :param node_attribute: As of the class.
        :param edge_attribute: As of the class.
        :raises ValueError: If an attribute is missing or cannot be hashed, all nodes have the same
            category, or there is no edge.
        """
        nodes, edges = cls.nodes, cls.edges
        if node_attribute is not None:
            nodes = _shares(graphs, node_attribute, edges=False)
            if len(nodes) < 2:
                raise ValueError(
                    f"Expected two or more categories in {node_attribute!r}, but every node has "
                    f"{nodes[0][0]!r}. Leave node_attribute out."
                )
        if edge_attribute is not None:
            edges = _shares(graphs, edge_attribute, edges=True)
            if not edges:
                raise ValueError(
                    f"Expected edges with {edge_attribute!r}, but no graph has an edge. Leave "
                    "edge_attribute out."
                )
        return cls(node_attribute, edge_attribute, nodes, edges)

    def state_dict(self) -> dict[str, str]:
        """The categories in words, for checkpoints."""
        nodes, edges = ([key for key, _ in shares] for shares in (self.nodes, self.edges))
        return {"nodes": f"{self.node_attribute} of {nodes}",
                "edges": f"{self.edge_attribute} of {edges}"}  # fmt: skip

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Refuse a checkpoint of graphs with other categories.

        :raises ValueError: If they differ.
        """
        for what, own in self.state_dict().items():
            if state[what] != own:
                raise ValueError(
                    f"Expected a checkpoint of graphs with the same categories of {what}, {own}, "
                    f"but it has {state[what]}. Give another path."
                )

    def space(self, max_nodes: int, *, directed: bool = False) -> StateSpace:
        """The space of graphs of so many nodes."""
        categories = (1 + len(self.edges),) * num_pairs(max_nodes, directed=directed)
        if self.nodes:
            categories += (len(self.nodes),) * max_nodes
        return StateSpace(len(categories), categories)

    def num_nodes_of(self, sites: int, *, directed: bool = False) -> int:
        """How many nodes have so many sites."""
        if not self.nodes:
            return num_nodes_of(sites, directed=directed)
        return math.isqrt(sites) if directed else num_nodes_of(sites) - 1

    def active(self, num_nodes: Tensor, max_nodes: int, *, directed: bool = False) -> Tensor:
        """Which sites graphs of given sizes have, ``batch_shape + (D,)``."""
        pairs = active_pairs(num_nodes, max_nodes, directed=directed)
        if not self.nodes:
            return pairs
        exists = torch.arange(max_nodes, device=num_nodes.device) < num_nodes[..., None]
        return torch.cat([pairs, exists], -1)

    def encode(self, graphs: Sequence[nx.Graph]) -> Tensor:
        """Turn graphs of one kind into data, padded to the largest, ``(B, D)``.

        :raises ValueError: If an attribute is missing, or a category was not among those learned.
        """
        batch = encode_graphs(graphs)
        shape = (len(graphs), batch.max_nodes, batch.max_nodes)
        positions = [{node: k for k, node in enumerate(graph)} for graph in graphs]
        sites = [batch.pairs]
        if self.edge_attribute is not None:
            matrix = np.zeros(shape, dtype=np.float32)
            for row, ends, value in _values(graphs, self.edge_attribute, edges=True):
                start, stop = (positions[row][node] for node in ends)
                matrix[row, start, stop] = 1 + _code(self.edges, value, self.edge_attribute)
            if not batch.directed:
                matrix = matrix + matrix.swapaxes(1, 2)
            first, second = pair_ends(batch.pairs.shape[-1], directed=batch.directed)
            sites = [torch.from_numpy(matrix).to(batch.pairs)[:, first, second]]
        if self.node_attribute is not None:
            categories = np.zeros(shape[:2], dtype=np.float32)
            for row, (node,), value in _values(graphs, self.node_attribute, edges=False):
                code = _code(self.nodes, value, self.node_attribute)
                categories[row, positions[row][node]] = code
            sites.append(torch.from_numpy(categories).to(batch.pairs))
        return torch.cat(sites, -1)

    def decode(self, value: Tensor, num_nodes: Tensor, *, directed: bool = False) -> list[nx.Graph]:
        """Turn data into graphs on nodes 0, 1, ..., with the attributes."""
        max_nodes = self.num_nodes_of(value.shape[-1], directed=directed)
        count = num_pairs(max_nodes, directed=directed)
        pairs, categories = value.cpu().long().tensor_split([count], -1)
        graphs = decode_graphs((pairs != 0).double(), num_nodes, directed=directed)
        ends = torch.stack(pair_ends(count, directed=directed), -1).tolist()
        for graph, row, own in zip(graphs, pairs.tolist(), categories.tolist(), strict=True):
            if self.edge_attribute is not None:
                for (start, stop), code in zip(ends, row, strict=True):
                    if graph.has_edge(start, stop):
                        graph.edges[start, stop][self.edge_attribute] = self.edges[code - 1][0]
            if self.node_attribute is not None:
                for node in graph:
                    graph.nodes[node][self.node_attribute] = self.nodes[own[node]][0]
        return graphs

    def background(self, densities: Tensor, max_nodes: int, *, directed: bool = False) -> Tensor:
        """Independent edges and categories, as frequent as in the data.

        :param densities: Edge densities, ``batch_shape``.
        :param max_nodes: Nodes of the padding.
        :param directed: Whether pairs are ordered.
        :returns: Probabilities of all categories, ``batch_shape + (D, K_max)``; where there are
            two at every site, of the second, ``batch_shape + (D,)``.
        """
        space = self.space(max_nodes, directed=directed)
        density = densities[..., None]
        edges = densities.new_tensor([share for _, share in self.edges])
        nodes = densities.new_tensor([share for _, share in self.nodes])
        width, pairs = space.max_categories, num_pairs(max_nodes, directed=directed)
        pair = torch.cat([1 - density, density * edges], -1)
        table = _padded(pair, width)[..., None, :].expand(*densities.shape, pairs, width)
        if self.nodes:
            own = _padded(nodes, width).expand(*densities.shape, max_nodes, width)
            table = torch.cat([table, own], -2)
        return table[..., 1] if space.is_binary else table

    def log_numberings(self, graphs: Sequence[nx.Graph]) -> Tensor:
        """Logarithms of how many different graphs the numberings of each make, ``(N,)``."""
        same: dict[str, Any] = {}
        if self.node_attribute is not None:
            same["node_match"] = categorical_node_match(self.node_attribute, None)
        if self.edge_attribute is not None:
            same["edge_match"] = categorical_edge_match(self.edge_attribute, None)
        symmetries = [
            sum(1 for _ in GraphMatcher(graph, graph, **same).isomorphisms_iter())
            for graph in graphs
        ]
        orders = torch.tensor([float(math.factorial(len(graph))) for graph in graphs])
        return (orders / torch.tensor(symmetries)).log()


def _padded(table: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(table, (0, width - table.shape[-1]))


def _shares(graphs: Sequence[nx.Graph], name: str, *, edges: bool) -> Shares:
    """Categories in the order of the alphabet, and their shares."""
    counts = Counter(value for *_, value in _values(graphs, name, edges=edges))
    return tuple((key, counts[key] / counts.total()) for key in sorted(counts, key=str))


def _values(
    graphs: Sequence[nx.Graph], name: str, *, edges: bool
) -> Iterator[tuple[int, list[Any], Any]]:
    """The graph, the node or the two ends, and the category of each node or edge."""
    for row, graph in enumerate(graphs):
        for *place, value in (graph.edges if edges else graph.nodes)(data=name):
            if value is None or not isinstance(value, Hashable) or value != value:
                where = f"edge {tuple(place)!r}" if edges else f"node {place[0]!r}"
                raise ValueError(
                    f"Expected every {'edge' if edges else 'node'} to have the attribute {name!r}, "
                    f"a category, but got {value!r} for {where} of graph {row}. Fill it, such as "
                    "by 'unknown'."
                )
            yield row, place, value


def _code(shares: Shares, value: Any, name: str) -> int:
    known = [category for category, _ in shares]
    if value not in known:
        raise ValueError(
            f"Expected {name!r} to be one of {known}, as in the graphs fitted, but got {value!r}."
        )
    return known.index(value)
