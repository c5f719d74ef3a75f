"""Terms of graph models as an energy, for Pyro programs and chains."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from pyro_rm.energies.node_pairs import num_pairs, pair_ends
from pyro_rm.energies.sums import Summable
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Nodes
from pyro_rm.graphs.terms import Terms
from pyro_rm.state_space import StateSpace


class GraphEnergy(Summable, nn.Module):
    r"""Terms by name as an energy of node pairs, :math:`E(x) = -\theta^\top s(x)`.

    What :class:`~pyro_rm.graphs.RandomGraphModel` fits, for programs of one's own: priors on
    the coefficients, networks that share them. The data are vectors over node pairs, as of
    :func:`~pyro_rm.graphs.encode_graphs`; the nodes and their attributes are those of one graph.

    :param graph: Nodes with their attributes; edges are not read, but that they tell whether
        the graph is bipartite.
    :param terms: Texts such as ``"gwesp(0.5)"``, or :class:`~pyro_rm.graphs.GraphTerm`.
    :raises TypeError: If it is not a graph without parallel edges.
    :raises ValueError: If terms do not fit the graph.

    ``coefficients`` start at zero; ``labels`` are their names, and ``active`` is False at pairs
    of the same part of a bipartite graph.

    Example:

        >>> graph = nx.path_graph(4)
        >>> energy = GraphEnergy(graph, ["edges", "triangle"])
        >>> energy.statistics(torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0]))
        tensor([4., 1.])

    .. note:: All gaps cost the change statistics of all pairs, on the host, and are remembered
        for the data that came last. Derivatives in the data are those of the multilinear
        extension, so that to first order gaps are exact.
    """

    def __init__(self, graph: nx.Graph, terms: Sequence[str | GraphTerm]) -> None:
        super().__init__()
        nodes = Nodes.of(graph)
        sites = num_pairs(len(nodes), directed=nodes.directed)
        self.state_space = StateSpace(sites)
        self.directed = nodes.directed
        self.terms = Terms(terms, nodes)
        self.labels = self.terms.labels
        self.coefficients = nn.Parameter(torch.zeros(len(self.labels)))
        first, second = pair_ends(sites, directed=nodes.directed)
        self._ends = first.numpy(), second.numpy()
        side = torch.from_numpy(nodes.side)
        self.active: Tensor | None = None
        if nodes.kind == "bipartite":
            self.active = side[first] != side[second]
        self._latest: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        values = self.statistics(x)
        if x.requires_grad:
            change = self.change_statistics(x)
            values = values + ((x - x.detach())[..., None, :] @ change).squeeze(-2)
        return -(values @ self.coefficients)

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps of all flips, ``batch_shape + (D,)``."""
        return (1 - 2 * x) * (self.change_statistics(x) @ self.coefficients)

    def statistics(self, x: Tensor) -> Tensor:
        """Statistics of graphs, ``batch_shape + (K,)``.

        :param x: Graphs, ``batch_shape + (D,)``.
        """
        return self._known(x)[0].to(self.coefficients).reshape(*x.shape[:-1], len(self.labels))

    def change_statistics(self, x: Tensor) -> Tensor:
        """What each pair's edge adds to the statistics, ``batch_shape + (D, K)``.

        :param x: Graphs, ``batch_shape + (D,)``.
        """
        return self._known(x)[1].to(self.coefficients).reshape(*x.shape, len(self.labels))

    def _known(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.is_meta:  # shapes alone: there is nothing to count
            names = len(self.labels)
            return x.new_zeros(*x.shape[:-1], names), x.new_zeros(*x.shape, names)
        rows = (x.detach().reshape(-1, x.shape[-1]) > 0.5).cpu()
        if self._latest is None or not torch.equal(self._latest[0], rows):
            self._latest = (rows, *self._computed(rows))
        return self._latest[1], self._latest[2]

    def _computed(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self._ends
        copy, site = (index.numpy() for index in rows.nonzero(as_tuple=True))
        size, starts = len(self.terms.nodes), np.arange(len(rows))[:, None] * len(self.terms.nodes)
        graph = EdgeSets(
            self.terms.nodes, first[site] + copy * size, second[site] + copy * size, len(rows)
        )
        pairs = Pairs(graph, (first + starts).reshape(-1), (second + starts).reshape(-1))
        return torch.from_numpy(self.terms.value(graph)), torch.from_numpy(self.terms.change(pairs))
