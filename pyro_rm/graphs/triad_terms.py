"""Terms of triads: triangles, and shared partners of two nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyro_rm.graphs.degree_terms import check_decay, geometric_weight
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Array


@dataclass(frozen=True)
class Mutual(GraphTerm):
    """Pairs of nodes with edges in both directions."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)

    def change(self, pairs: Pairs) -> Array:
        """One where the reverse edge is there."""
        return 1.0 * pairs.graph.has(pairs.j, pairs.i)

    def value(self, graph: EdgeSets) -> Array:
        """Half the number of edges whose reverse is there."""
        i, j = graph.edges()
        return graph.sums(i, graph.has(j, i) / 2)


@dataclass(frozen=True)
class Triangles(GraphTerm):
    """Triangles; in directed graphs transitive and cyclic triples together."""

    kinds: ClassVar[tuple[str, ...]] = ("undirected", "directed")

    def change(self, pairs: Pairs) -> Array:
        """Nodes that are connected to both ends."""
        if not pairs.graph.directed:
            return pairs.counted(pairs.between)
        return TransitiveTriples().change(pairs) + CyclicTriples().change(pairs)

    def value(self, graph: EdgeSets) -> Array:
        """Each triangle is at three edges."""
        if graph.directed:
            return TransitiveTriples().value(graph) + CyclicTriples().value(graph)
        return TransitiveTriples().value(graph) / 3


@dataclass(frozen=True)
class TransitiveTriples(GraphTerm):
    """Edges from i over k to j, and from i to j."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)

    def change(self, pairs: Pairs) -> Array:
        """The edge may be any of the three."""
        found = (pairs.between, pairs.common_successors, pairs.common_predecessors)
        return sum((pairs.counted(each) for each in found), np.zeros(len(pairs)))

    def value(self, graph: EdgeSets) -> Array:
        """Two-paths beside each edge."""
        i, j = graph.edges()
        return graph.sums(i, graph.num_between(i, j))


@dataclass(frozen=True)
class CyclicTriples(GraphTerm):
    """Edges from i over j to k and back to i."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)

    def change(self, pairs: Pairs) -> Array:
        """Ways back."""
        return pairs.counted(pairs.graph.between(pairs.j, pairs.i))

    def value(self, graph: EdgeSets) -> Array:
        """Each cycle is at three edges."""
        i, j = graph.edges()
        return graph.sums(i, graph.num_between(j, i) / 3)


@dataclass(frozen=True)
class EdgewisePartners(GraphTerm):
    r"""Geometrically weighted shared partners of connected nodes.

    :math:`e^\alpha \sum_{ij: x_{ij} = 1} (1 - (1 - e^{-\alpha})^{p_{ij}})` with the number
    :math:`p_{ij}` of paths of two edges from i to j; each further partner adds less. In
    directed graphs paths are outgoing (``OTP``).
    """

    decay: float = 0.5
    kinds: ClassVar[tuple[str, ...]] = ("undirected", "directed")

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def change(self, pairs: Pairs) -> Array:
        """The edge itself, and the edges of which it becomes part of a two-path."""
        i, j = pairs.i, pairs.j
        total = geometric_weight(self.decay, pairs.counted(pairs.between))
        rows, k = pairs.common_successors  # i - j - k beside i - k
        total += pairs.counted((rows, k), self._added(pairs, rows, i[rows], k))
        rows, k = pairs.common_predecessors  # k - i - j beside k - j
        return total + pairs.counted((rows, k), self._added(pairs, rows, k, j[rows]))

    def _added(self, pairs: Pairs, rows: Array, first: Array, second: Array) -> Array:
        others = pairs.graph.num_between(first, second) - pairs.there[rows]
        return (-math.expm1(-self.decay)) ** others

    def value(self, graph: EdgeSets) -> Array:
        """Sums over edges."""
        i, j = graph.edges()
        return graph.sums(i, geometric_weight(self.decay, graph.num_between(i, j)))


class DyadwisePartners(EdgewisePartners):
    """Geometrically weighted shared partners of any two nodes, connected or not."""

    kinds: ClassVar[tuple[str, ...]] = ("undirected", "directed", "bipartite")

    def change(self, pairs: Pairs) -> Array:
        """All pairs between which the edge becomes part of a two-path."""
        graph, i, j = pairs.graph, pairs.i, pairs.j
        rows, k = graph.out.entries(j)  # i - j - k
        rows, k = rows[k != i[rows]], k[k != i[rows]]
        total = pairs.counted((rows, k), self._added(pairs, rows, i[rows], k))
        rows, k = graph.into.entries(i)  # k - i - j
        rows, k = rows[k != j[rows]], k[k != j[rows]]
        return total + pairs.counted((rows, k), self._added(pairs, rows, k, j[rows]))

    def value(self, graph: EdgeSets) -> Array:
        """Sums over pairs that have partners."""
        first, middle = graph.edges()
        if not graph.directed:
            first, middle = np.concatenate((first, middle)), np.concatenate((middle, first))
        rows, last = graph.out.entries(middle)
        first = first[rows]
        proper = first != last if graph.directed else first < last
        size = graph.num_nodes
        keys, partners = np.unique(first[proper] * size + last[proper] % size, return_counts=True)
        return graph.sums(keys // size, geometric_weight(self.decay, partners))
