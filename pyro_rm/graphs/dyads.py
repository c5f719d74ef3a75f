"""Pairs of nodes that may be connected: what counts, and what chains move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Array, Nodes
from pyro_rm.graphs.terms import Terms

_CHUNK = 1 << 18


class Dyads:
    """The active pairs of a network; unordered ones have the smaller node first.

    :param nodes: The nodes.
    :param mask: Booleans, ``(n, n)``, of which the upper triangle counts if undirected; None:
        all pairs.
    """

    def __init__(self, nodes: Nodes, mask: Array | None = None) -> None:
        self.nodes = nodes
        self.size = len(nodes)
        if mask is None and nodes.kind == "bipartite":
            mask = nodes.side[:, None] != nodes.side
        self._flat: Array | None = None
        if mask is not None:
            mask = mask & ~np.eye(self.size, dtype=bool)
            self._flat = np.flatnonzero(mask if nodes.directed else np.triu(mask))

    @property
    def count(self) -> int:
        """How many there are."""
        if self._flat is not None:
            return len(self._flat)
        ordered = self.size * (self.size - 1)
        return ordered if self.nodes.directed else ordered // 2

    @property
    def mask(self) -> Array:
        """Booleans, ``(n, n)``; of the upper triangle if undirected."""
        result = np.zeros((self.size, self.size), dtype=bool)
        for i, j in self.chunks():
            result[i, j] = True
        return result

    def chunks(self) -> Iterator[tuple[Array, Array]]:
        """Both nodes of all pairs, some at a time."""
        if self._flat is not None:
            for start in range(0, len(self._flat), _CHUNK):
                i, j = np.divmod(self._flat[start : start + _CHUNK], self.size)
                yield i, j
            return
        height = max(1, _CHUNK // self.size)
        columns = np.arange(self.size)
        for start in range(0, self.size, height):
            rows = columns[start : start + height, None]
            inside = rows != columns if self.nodes.directed else rows < columns
            i, j = np.nonzero(inside)
            if len(i):
                yield i + start, j

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Pairs drawn uniformly."""
        if self._flat is not None:
            i, j = np.divmod(self._flat[random.integers(len(self._flat), size=shape)], self.size)
            return i, j
        i = random.integers(self.size, size=shape)
        j = random.integers(self.size - 1, size=shape)
        j += j >= i
        return (i, j) if self.nodes.directed else (np.minimum(i, j), np.maximum(i, j))

    def restricted(self, mask: Array) -> Dyads:
        """Those that another mask has, too."""
        return Dyads(self.nodes, self.mask & mask)


def as_mask(active: Any, graph: EdgeSets) -> Array | None:
    """Which pairs may change, as a matrix.

    :param active: Booleans, ``(n, n)``; or a term, by name or itself, that depends on the nodes
        alone: pairs of which it has another value than 0. None: all pairs.
    :param graph: The network, one copy.
    :returns: Shape ``(n, n)``, or None.
    :raises ValueError: If it is none of these, or not symmetric for unordered pairs.
    """
    if active is None:
        return None
    nodes = graph.nodes
    if isinstance(active, str | GraphTerm):
        return _pairs_of(Terms([active], nodes), graph)
    mask = np.asarray(active)
    if mask.shape != (len(nodes), len(nodes)) or mask.dtype != bool:
        raise ValueError(
            f"Expected active as booleans of shape {(len(nodes), len(nodes))}, in the order of "
            f"the nodes, or as a term, but got {mask.dtype} of shape {mask.shape}."
        )
    if not nodes.directed and not np.array_equal(mask, mask.T):
        raise ValueError("Expected a symmetric matrix active for an undirected graph.")
    return mask


def _pairs_of(terms: Terms, graph: EdgeSets) -> Array:
    if not terms.dyadic:
        raise ValueError(
            f"Expected active as a term of the nodes alone, but {terms.labels[0]} depends on other "
            "edges."
        )
    mask = np.zeros((graph.num_nodes, graph.num_nodes), dtype=bool)
    for i, j in Dyads(graph.nodes).chunks():
        mask[i, j] = terms.change(Pairs(graph, i, j)).any(1)
    return mask if graph.directed else mask | mask.T


def active_dyads(terms: Terms, graph: EdgeSets, mask: Array | None) -> Dyads:
    """Pairs that may change, and of which all attributes are known.

    :param terms: The terms, which say what is known.
    :param graph: The network, one copy.
    :param mask: Booleans, ``(n, n)``; None: all pairs.
    :returns: The pairs.
    :raises ValueError: If no pair is left.
    """
    dyads = Dyads(terms.nodes)
    if mask is not None:
        dyads = dyads.restricted(mask)
    known = [terms.known(Pairs(graph, i, j)) for i, j in dyads.chunks()]
    if not all(each.all() for each in known):
        mask = np.zeros((graph.num_nodes, graph.num_nodes), dtype=bool)
        for (i, j), each in zip(dyads.chunks(), known, strict=True):
            mask[i[each], j[each]] = True
        dyads = Dyads(terms.nodes, mask)
    if dyads.count == 0:
        raise ValueError(
            "Expected active pairs of nodes with known attributes, but there are none."
        )
    return dyads
