"""Terms that depend on the two nodes of an edge alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import ClassVar

import numpy as np

from pyro_rm.graphs.edge_sets import Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Array, Nodes


class DyadicTerm(GraphTerm):
    """A term whose change depends on the two nodes alone."""

    dyadic = True


@dataclass(frozen=True)
class Edges(DyadicTerm):
    """The number of edges."""

    def change(self, pairs: Pairs) -> Array:
        """One."""
        return np.ones(len(pairs))


@dataclass(frozen=True)
class AttributeTerm(DyadicTerm):
    """A term of an attribute of the nodes."""

    attribute: str

    def _numbers(self, pairs: Pairs) -> tuple[Array, Array]:
        column = pairs.graph.tiled(pairs.graph.nodes.numbers(self.attribute))
        return column[pairs.i], column[pairs.j]

    def _codes(self, pairs: Pairs) -> tuple[Array, Array]:
        column = pairs.graph.tiled(pairs.graph.nodes.categories(self.attribute)[0])
        return column[pairs.i], column[pairs.j]


class NodeCovariate(AttributeTerm):
    """The attribute, summed over both ends of each edge."""

    def labels(self, nodes: Nodes) -> list[str]:
        """One; reads the attribute, to refuse what is not numbers."""
        nodes.numbers(self.attribute)
        return [""]

    def change(self, pairs: Pairs) -> Array:
        """The sum at both ends."""
        first, second = self._numbers(pairs)
        return first + second


class SenderCovariate(NodeCovariate):
    """The attribute of the node that an edge comes from."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)

    def change(self, pairs: Pairs) -> Array:
        """At the first end."""
        return self._numbers(pairs)[0]


class ReceiverCovariate(NodeCovariate):
    """The attribute of the node that an edge goes to."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)

    def change(self, pairs: Pairs) -> Array:
        """At the second end."""
        return self._numbers(pairs)[1]


class PartCovariate(NodeCovariate):
    """The attribute of the end in part 0; the other part needs none."""

    kinds: ClassVar[tuple[str, ...]] = ("bipartite",)
    part: ClassVar[int] = 0

    def change(self, pairs: Pairs) -> Array:
        """At the end in that part."""
        side = pairs.graph.tiled(pairs.graph.nodes.side)
        return np.where(side[pairs.i] == self.part, *self._numbers(pairs))


class SecondPartCovariate(PartCovariate):
    """The attribute of the end in part 1; the other part needs none."""

    part = 1


@dataclass(frozen=True)
class AbsoluteDifference(AttributeTerm):
    """The absolute difference of the attribute at both ends, to a power."""

    power: float = 1.0

    labels = NodeCovariate.labels

    def change(self, pairs: Pairs) -> Array:
        """The difference."""
        first, second = self._numbers(pairs)
        return np.abs(first - second) ** self.power


@dataclass(frozen=True)
class NodeMatch(AttributeTerm):
    """Edges whose ends have the same attribute; with ``diff=True`` for each level of it."""

    diff: bool = False

    def labels(self, nodes: Nodes) -> list[str]:
        """The levels, if they are told apart."""
        levels = nodes.categories(self.attribute)[1]
        return [str(level) for level in levels] if self.diff else [""]

    def change(self, pairs: Pairs) -> Array:
        """One where both ends agree."""
        first, second = self._codes(pairs)
        missing = 0 * (first + second)
        if not self.diff:
            return (first == second) + missing
        levels = np.arange(len(self.labels(pairs.graph.nodes)))
        both = (first[:, None] == levels) & (second[:, None] == levels)
        return both + missing[:, None]


@dataclass(frozen=True)
class NodeFactor(AttributeTerm):
    """Ends of edges at each level of the attribute but the first one."""

    ends: ClassVar[tuple[int, ...]] = (0, 1)

    def labels(self, nodes: Nodes) -> list[str]:
        """The levels but the first."""
        levels = [str(level) for level in nodes.categories(self.attribute)[1][1:]]
        if not levels:
            raise ValueError(
                f"Expected an attribute {self.attribute!r} of two levels or more, but all nodes "
                "have the same."
            )
        return levels

    def change(self, pairs: Pairs) -> Array:
        """How many ends are at that level."""
        levels = 1 + np.arange(len(self.labels(pairs.graph.nodes)))
        codes = self._codes(pairs)
        ends = np.stack([codes[end] for end in self.ends])
        return (ends[:, :, None] == levels).sum(0) + 0 * ends.sum(0)[:, None]


class SenderFactor(NodeFactor):
    """Edges from nodes at each level but the first."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    ends = (0,)


class ReceiverFactor(NodeFactor):
    """Edges to nodes at each level but the first."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    ends = (1,)


@dataclass(frozen=True)
class NodeMix(AttributeTerm):
    """Edges between each two levels of the attribute; the first level with itself is left out."""

    def labels(self, nodes: Nodes) -> list[str]:
        """Pairs of levels."""
        levels = nodes.categories(self.attribute)[1]
        return [f"{levels[a]}-{levels[b]}" for a, b in self._cells(nodes)]

    def _cells(self, nodes: Nodes) -> list[tuple[int, int]]:
        count = range(len(nodes.categories(self.attribute)[1]))
        if nodes.directed:
            return list(product(count, count))[1:]
        return list(combinations_with_replacement(count, 2))[1:]

    def change(self, pairs: Pairs) -> Array:
        """One in the cell of the two ends."""
        first, second = self._codes(pairs)
        missing = 0 * (first + second)
        if not pairs.graph.directed:
            first, second = np.minimum(first, second), np.maximum(first, second)
        cells = np.array(self._cells(pairs.graph.nodes)).reshape(-1, 2)
        inside = (first[:, None] == cells[:, 0]) & (second[:, None] == cells[:, 1])
        return inside + missing[:, None]


@dataclass(frozen=True)
class EdgeCovariate(AttributeTerm):
    """A covariate of pairs: a matrix, or a graph with weights, in ``graph.graph[attribute]``."""

    def labels(self, nodes: Nodes) -> list[str]:
        """One; reads the matrix, to refuse what is not one."""
        nodes.matrix(self.attribute)
        return [""]

    def change(self, pairs: Pairs) -> Array:
        """The entry of the pair."""
        size = pairs.graph.num_nodes
        return pairs.graph.nodes.matrix(self.attribute)[pairs.i % size, pairs.j % size]


@dataclass(frozen=True)
class Sender(DyadicTerm):
    """Edges from each node but the first."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    end: ClassVar[int] = 0

    def labels(self, nodes: Nodes) -> list[str]:
        """The nodes but the first."""
        return [str(name) for name in nodes.names[1:]]

    def change(self, pairs: Pairs) -> Array:
        """One at that node."""
        size = pairs.graph.num_nodes
        ends = (pairs.i, pairs.j)[self.end] % size
        return 1.0 * (ends[:, None] == np.arange(1, size))


class Receiver(Sender):
    """Edges to each node but the first."""

    end = 1
