"""Terms that are sums over nodes of a function of their degree."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from pyro_rm.checks import check_counts
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Array


class DegreeTerm(GraphTerm):
    r"""A sum :math:`\sum_v f(d_v)`, which an edge changes by :math:`f(d + 1) - f(d)` at its ends.

    ``counted`` says which degrees: ``"all"``, ``"out"``, ``"in"``, or the part of a bipartite
    graph whose nodes count, ``0`` or ``1``.
    """

    counted: ClassVar[str | int] = "all"

    @abstractmethod
    def weight(self, degree: Array) -> Array:
        """The function of a degree."""

    def change(self, pairs: Pairs) -> Array:
        """What an edge adds at its ends."""
        graph, total = pairs.graph, np.zeros(len(pairs))
        for ends, here in ((pairs.i, "out"), (pairs.j, "in")):
            if self.counted in ("out", "in") and self.counted != here:
                continue
            degree = self._degree(graph, ends)
            step = _steps(self, 1 << int(degree.max(initial=0)).bit_length())
            added = step[degree - pairs.there]
            if isinstance(self.counted, int):
                added = added * (graph.tiled(graph.nodes.side)[ends] == self.counted)
            total += added
        return total

    def value(self, graph: EdgeSets) -> Array:
        """Sums over the nodes of each copy."""
        every = np.arange(len(graph.out.degree))
        weight = self.weight(self._degree(graph, every).astype(float))
        if isinstance(self.counted, int):
            weight = weight * (graph.tiled(graph.nodes.side) == self.counted)
        return weight.reshape(graph.num_copies, -1).sum(1)

    def _degree(self, graph: EdgeSets, nodes: Array) -> Array:
        if self.counted == "in":
            return graph.into.degree[nodes]
        if self.counted == "all" and graph.directed:
            return graph.out.degree[nodes] + graph.into.degree[nodes]
        return graph.out.degree[nodes]


@lru_cache(maxsize=256)
def _steps(term: DegreeTerm, most: int) -> Array:
    return np.diff(term.weight(np.arange(most + 2.0)))


@dataclass(frozen=True)
class Stars(DegreeTerm):
    """Sets of ``k`` edges that share a node; ``kstar(1)`` are twice the edges."""

    k: int
    kinds: ClassVar[tuple[str, ...]] = ("undirected", "bipartite")

    def __post_init__(self) -> None:
        check_counts(k=self.k)

    def weight(self, degree: Array) -> Array:
        """Binomial coefficients."""
        product = np.ones_like(degree)
        for step in range(self.k):
            product = product * (degree - step) / (step + 1)
        return np.where(degree < self.k, 0.0, product)


class OutStars(Stars):
    """Sets of ``k`` edges from the same node."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    counted: ClassVar[str | int] = "out"


class InStars(Stars):
    """Sets of ``k`` edges to the same node."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    counted: ClassVar[str | int] = "in"


class FirstPartStars(Stars):
    """Sets of ``k`` edges that share a node of part 0."""

    kinds: ClassVar[tuple[str, ...]] = ("bipartite",)
    counted: ClassVar[str | int] = 0


class SecondPartStars(Stars):
    """Sets of ``k`` edges that share a node of part 1."""

    kinds: ClassVar[tuple[str, ...]] = ("bipartite",)
    counted: ClassVar[str | int] = 1


@dataclass(frozen=True)
class WeightedDegree(DegreeTerm):
    r"""Geometrically weighted degrees, :math:`e^\alpha \sum_v (1 - (1 - e^{-\alpha})^{d_v})`."""

    decay: float = 0.5
    kinds: ClassVar[tuple[str, ...]] = ("undirected", "bipartite")

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def weight(self, degree: Array) -> Array:
        """Each further edge of a node adds less."""
        return geometric_weight(self.decay, degree)


class WeightedOutDegree(WeightedDegree):
    """The same of numbers of edges from a node."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    counted: ClassVar[str | int] = "out"


class WeightedInDegree(WeightedDegree):
    """The same of numbers of edges to a node."""

    kinds: ClassVar[tuple[str, ...]] = ("directed",)
    counted: ClassVar[str | int] = "in"


class FirstPartWeightedDegree(WeightedDegree):
    """The same of nodes of part 0."""

    kinds: ClassVar[tuple[str, ...]] = ("bipartite",)
    counted: ClassVar[str | int] = 0


class SecondPartWeightedDegree(WeightedDegree):
    """The same of nodes of part 1."""

    kinds: ClassVar[tuple[str, ...]] = ("bipartite",)
    counted: ClassVar[str | int] = 1


@dataclass(frozen=True)
class NodesOfDegree(DegreeTerm):
    """The number of nodes with so many edges."""

    k: int
    kinds: ClassVar[tuple[str, ...]] = ("undirected", "bipartite")

    def __post_init__(self) -> None:
        check_counts(0, k=self.k)

    def weight(self, degree: Array) -> Array:
        """One if the degree is that."""
        return 1.0 * (degree == self.k)


@dataclass(frozen=True)
class Isolates(DegreeTerm):
    """The number of nodes without edges."""

    def weight(self, degree: Array) -> Array:
        """One if there is no edge."""
        return 1.0 * (degree == 0)


def check_decay(decay: float) -> None:
    """Refuse decays that are not positive numbers.

    :param decay: What was given.
    :raises ValueError: If it is not one.
    """
    if not isinstance(decay, int | float) or not 0 <= decay < math.inf:
        raise ValueError(f"Expected a decay of 0 or more, but got {decay!r}.")


def geometric_weight(decay: float, count: Array) -> Array:
    r"""The weight :math:`e^\alpha (1 - (1 - e^{-\alpha})^c)` of a count :math:`c`."""
    ratio = -math.expm1(-decay)
    return math.exp(decay) * (1 - ratio**count)
