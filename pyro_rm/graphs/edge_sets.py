"""Edges of several copies of one network, as lists of neighbors that change one at a time."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np

from pyro_rm.graphs.nodes import Array, Nodes


class EdgeSets:
    """Edge sets on copies of the same nodes: the disjoint union of so many graphs.

    Node ``v`` of copy ``c`` has number ``c * n + v``, so that what is computed for pairs of one
    graph is computed for pairs of many at once. Lists of neighbors make this take time in
    proportion to degrees; a bit for each pair says whether it is connected.

    :param nodes: The nodes.
    :param i: First nodes of the edges of all copies, ``(E,)``.
    :param j: Second nodes; each edge once.
    :param num_copies: How many.
    """

    def __init__(self, nodes: Nodes, i: Array, j: Array, num_copies: int = 1) -> None:
        self.nodes = nodes
        self.num_nodes = len(nodes)
        self.num_copies = num_copies
        self.directed = nodes.directed
        total = num_copies * self.num_nodes
        self.connected = np.zeros((total, self.num_nodes), dtype=bool)
        self.out = _Lists(total)
        self.into = _Lists(total) if self.directed else self.out
        self._tiled: dict[Any, Array] = {}
        self._connect(i, j, True)
        if self.directed:
            self.out.fill(i, j)
            self.into.fill(j, i)
        else:
            self.out.fill(np.concatenate((i, j)), np.concatenate((j, i)))

    @staticmethod
    def of(graph: nx.Graph, nodes: Nodes, num_copies: int = 1) -> EdgeSets:
        """Copies of a graph.

        :param graph: The graph.
        :param nodes: Its nodes.
        :param num_copies: How many.
        """
        ends = np.array([(nodes.index[a], nodes.index[b]) for a, b in graph.edges], dtype=int)
        i, j = ends.reshape(-1, 2).T
        starts = np.repeat(np.arange(num_copies) * len(nodes), len(i))
        return EdgeSets(
            nodes, np.tile(i, num_copies) + starts, np.tile(j, num_copies) + starts, num_copies
        )

    def has(self, i: Array, j: Array) -> Array:
        """Whether edges from ``i`` to ``j`` are there."""
        found: Array = self.connected[i, j % self.num_nodes]
        return found

    def tiled(self, column: Array) -> Array:
        """A column of the nodes, for all copies; remembered, so columns must not change."""
        found = self._tiled.get(id(column))
        if found is None:
            found = self._tiled[id(column)] = np.tile(column, self.num_copies)
            self._tiled[id(column), "kept"] = column  # so that its id stays its own
        return found

    def edges(self) -> tuple[Array, Array]:
        """Both ends of all edges; the smaller one first if they are undirected."""
        i, j = self.out.pairs(np.arange(len(self.out.degree)))
        if self.directed:
            return i, j
        return i[i < j], j[i < j]

    def copy_of(self, i: Array) -> Array:
        """The copy that nodes belong to."""
        return i // self.num_nodes

    def sums(self, i: Array, values: Array) -> Array:
        """Sums of values that belong to nodes ``i``, by copy: ``(copies,)`` or ``(copies, K)``."""
        copy = self.copy_of(i)
        if values.ndim == 1:
            return np.bincount(copy, values, self.num_copies)
        columns = [np.bincount(copy, column, self.num_copies) for column in values.T]
        return np.stack(columns, -1)

    def toggle(self, i: Array, j: Array, there: Array) -> None:
        """Remove edges that are there, and add those that are not; at most one in each copy."""
        self._connect(i, j, ~there)
        for change, which in ((self._add, ~there), (self._remove, there)):
            if which.any():
                change(i[which], j[which])

    def _add(self, i: Array, j: Array) -> None:
        self.out.append(i, j)
        self.into.append(j, i)

    def _remove(self, i: Array, j: Array) -> None:
        self.out.remove(i, j)
        self.into.remove(j, i)

    def _connect(self, i: Array, j: Array, value: Any) -> None:
        self.connected[i, j % self.num_nodes] = value
        if not self.directed:
            self.connected[j, i % self.num_nodes] = value

    def between(self, i: Array, j: Array) -> tuple[Array, Array]:
        """Nodes k of paths from ``i`` over k to ``j``: rows of ``i`` and ``j``, and the k."""
        if not self.directed:
            swap = self.out.degree[i] > self.out.degree[j]
            i, j = np.where(swap, j, i), np.where(swap, i, j)
        rows, k = self.out.entries(i)
        found = self.has(k, j[rows])
        return rows[found], k[found]

    def common_successors(self, i: Array, j: Array) -> tuple[Array, Array]:
        """Nodes k to which there are edges from both."""
        rows, k = self.out.entries(i)
        found = self.has(j[rows], k)
        return rows[found], k[found]

    def common_predecessors(self, i: Array, j: Array) -> tuple[Array, Array]:
        """Nodes k from which there are edges to both."""
        rows, k = self.into.entries(i)
        found = self.has(k, j[rows])
        return rows[found], k[found]

    def num_between(self, i: Array, j: Array) -> Array:
        """Number of paths of two edges from ``i`` to ``j``."""
        return np.bincount(self.between(i, j)[0], minlength=len(i))


class Pairs:
    """Pairs of nodes at which change statistics are asked for, and what several of these need.

    :param graph: The edge sets.
    :param i: First nodes, ``(m,)``.
    :param j: Second nodes, of the same copies.
    """

    def __init__(self, graph: EdgeSets, i: Array, j: Array) -> None:
        self.graph, self.i, self.j = graph, i, j
        self.there = graph.has(i, j)

    def __len__(self) -> int:
        return len(self.i)

    @cached_property
    def between(self) -> tuple[Array, Array]:
        """See :meth:`EdgeSets.between`."""
        return self.graph.between(self.i, self.j)

    @cached_property
    def common_successors(self) -> tuple[Array, Array]:
        """See :meth:`EdgeSets.common_successors`."""
        if not self.graph.directed:
            return self.between
        return self.graph.common_successors(self.i, self.j)

    @cached_property
    def common_predecessors(self) -> tuple[Array, Array]:
        """See :meth:`EdgeSets.common_predecessors`."""
        if not self.graph.directed:
            return self.between
        return self.graph.common_predecessors(self.i, self.j)

    def counted(self, found: tuple[Array, Array], values: Array | None = None) -> Array:
        """How many nodes were found for each pair, or the sum of values of these."""
        return np.bincount(found[0], values, len(self))


class _Lists:
    """Lists of neighbors in the rows of a table, in no order."""

    def __init__(self, num_rows: int) -> None:
        self.degree = np.zeros(num_rows, dtype=int)
        self.table = np.zeros((num_rows, 0), dtype=np.int32)

    def fill(self, rows: Array, values: Array) -> None:
        self.degree += np.bincount(rows, minlength=len(self.degree))
        self._widen(int(self.degree.max(initial=0)) + 1)
        order = np.argsort(rows, kind="stable")
        starts = np.cumsum(self.degree) - self.degree
        rows = rows[order]
        self.table[rows, np.arange(len(rows)) - starts[rows]] = values[order]

    def _widen(self, width: int) -> None:
        if width > self.table.shape[1]:
            more = 2 * width + 4 - self.table.shape[1]
            self.table = np.pad(self.table, ((0, 0), (0, more)))

    def append(self, rows: Array, values: Array) -> None:
        place = self.degree[rows]
        self._widen(int(place.max()) + 1)
        self.table[rows, place] = values
        self.degree[rows] += 1

    def remove(self, rows: Array, values: Array) -> None:
        place = (self.table[rows] == values[:, None]).argmax(1)  # what is left over comes later
        last = self.degree[rows] - 1
        self.table[rows, place] = self.table[rows, last]
        self.degree[rows] = last

    def entries(self, i: Array) -> tuple[Array, Array]:
        """All entries of rows ``i``: positions in ``i``, and the entries."""
        counts = self.degree[i]
        ends = np.cumsum(counts)
        rows = np.repeat(np.arange(len(i)), counts)
        columns = np.arange(len(rows)) - np.repeat(ends - counts, counts)
        return rows, self.table[i[rows], columns]

    def pairs(self, i: Array) -> tuple[Array, Array]:
        """The same, with the entries of ``i`` in the place of their positions."""
        rows, values = self.entries(i)
        return i[rows], values
