"""Nodes of one network: their order, their kind of edges, and their attributes as arrays."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np

from pyro_rm.checks import check_graph

Array = np.ndarray[Any, Any]
KINDS = ("undirected", "directed", "bipartite")


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of a network, without its edges.

    :param names: The nodes, in the order of the graph.
    :param kind: ``"undirected"``, ``"directed"`` or ``"bipartite"``.
    :param columns: Values of each node attribute, None where a node has none.
    :param covariates: Attributes of the graph itself, such as matrices over pairs.
    """

    names: list[Hashable]
    kind: str
    columns: dict[str, list[Any]]
    covariates: dict[str, Any]

    @staticmethod
    def of(graph: nx.Graph) -> Nodes:
        """The nodes of a graph; bipartite if each has ``bipartite`` 0 or 1 and edges respect it.

        :param graph: A graph without self-loops or parallel edges, with two nodes or more.
        :returns: The nodes.
        :raises TypeError: If it is not such a graph.
        :raises ValueError: If it has self-loops, or too few nodes.
        """
        check_graph(graph, directed=isinstance(graph, nx.DiGraph))
        if len(graph) < 2:
            raise ValueError(f"Expected a graph of at least two nodes, but got {len(graph)}.")
        names = list(graph)
        keys = dict.fromkeys(key for _, data in graph.nodes(data=True) for key in data)
        columns = {key: [graph.nodes[node].get(key) for node in names] for key in keys}
        kind = "directed" if graph.is_directed() else "undirected"
        side = dict(graph.nodes(data="bipartite"))
        if kind == "undirected" and set(side.values()) == {0, 1}:
            inside = [(a, b) for a, b in graph.edges if side[a] == side[b]]
            kind = "undirected" if inside else "bipartite"
        return Nodes(names, kind, columns, dict(graph.graph))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def directed(self) -> bool:
        """Whether edges are."""
        return self.kind == "directed"

    @cached_property
    def index(self) -> dict[Hashable, int]:
        """Number of each node."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def _known(self) -> dict[Any, Any]:
        return {}

    def numbers(self, name: str) -> Array:
        """An attribute as numbers, ``(n,)``; NaN where it is missing.

        :raises ValueError: If no node has it, or one has something else than a number.
        """
        if name not in self._known:
            self._known[name] = self._numbers(name)
        found: Array = self._known[name]
        return found

    def _numbers(self, name: str) -> Array:
        result = np.full(len(self), np.nan)
        for row, value in enumerate(self._column(name)):
            if _is_missing(value):
                continue
            if not isinstance(value, bool | int | float | np.number | np.bool_) or not np.isfinite(
                float(value)
            ):
                raise ValueError(
                    f"Expected numbers as attribute {name!r}, but got {value!r} for node "
                    f"{self.names[row]!r}. For categories take nodefactor, nodematch or nodemix."
                )
            result[row] = float(value)
        return result

    def categories(self, name: str) -> tuple[Array, list[Any]]:
        """An attribute as codes, ``(n,)`` floats, and the sorted levels; NaN where missing.

        :raises ValueError: If no node has it, or values of several types cannot be sorted.
        """
        key = (name, "categories")
        if key not in self._known:
            column = self._column(name)
            try:
                levels = sorted({value for value in column if not _is_missing(value)})
            except TypeError as error:
                kinds = sorted({type(v).__name__ for v in column if not _is_missing(v)})
                raise ValueError(
                    f"Expected attribute {name!r} of one type at every node, but got "
                    f"{' and '.join(kinds)}. Convert them to text or to numbers."
                ) from error
            code = {level: number for number, level in enumerate(levels)}
            codes = np.array([np.nan if _is_missing(v) else code[v] for v in column])
            self._known[key] = codes, levels
        found: tuple[Array, list[Any]] = self._known[key]
        return found

    def _column(self, name: str) -> list[Any]:
        column = self.columns.get(name, [])
        if all(_is_missing(value) for value in column):
            raise ValueError(
                f"Expected nodes with the attribute {name!r}, but none has it. They have "
                f"{sorted(map(str, self.columns))}. Set it by networkx.set_node_attributes."
            )
        return column

    def matrix(self, name: str) -> Array:
        """A covariate of pairs, ``(n, n)``, from an array or a graph in ``graph.graph[name]``.

        :raises ValueError: If there is none, or it is not of that shape.
        """
        key = (name, "matrix")
        if key not in self._known:
            given = self.covariates.get(name)
            if isinstance(given, nx.Graph):
                given = nx.to_numpy_array(given, nodelist=self.names)
            try:
                array = np.asarray(given, dtype=float)
            except (TypeError, ValueError):
                array = np.empty(0)
            if array.shape != (len(self), len(self)):
                raise ValueError(
                    f"Expected graph.graph[{name!r}] as a matrix of numbers of shape "
                    f"{(len(self), len(self))}, or as a graph on the same nodes, but got "
                    f"{type(given).__name__} of shape {array.shape}."
                )
            if not self.directed and not np.array_equal(array, array.T, equal_nan=True):
                raise ValueError(f"Expected a symmetric matrix {name!r} for an undirected graph.")
            self._known[key] = array
        found: Array = self._known[key]
        return found

    @cached_property
    def side(self) -> Array:
        """The part that each node belongs to, 0 or 1, in a bipartite graph; else zeros."""
        zeros = np.zeros(len(self), dtype=int)
        return np.asarray(self.columns["bipartite"]) if self.kind == "bipartite" else zeros


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
