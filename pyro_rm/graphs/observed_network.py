"""The network that a graph model is fitted to, and chains that start at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np

from pyro_rm.graphs.dyads import Dyads, active_dyads, as_mask
from pyro_rm.graphs.edge_sets import EdgeSets
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Array, Nodes
from pyro_rm.graphs.terms import Terms
from pyro_rm.graphs.tie_chains import TieChains

_FAR = 3.0  # standard deviations from which simulated statistics are far from the observed
_BITS = 1 << 28  # pairs of all chains together
_FEWEST = 20  # chains, however large the network is


class ObservedNetwork:
    """A network with the terms of a model, its active pairs and those that are missing.

    :param graph: The network.
    :param terms: Terms whose coefficients are learned.
    :param offsets: Further terms, and their coefficients.
    :param active: See :meth:`~pyro_rm.graphs.RandomGraphModel.fit`.
    :param missing: Pairs of nodes, or None.
    :raises ValueError: As the fit does.

    ``num_edges`` counts edges of active pairs.
    """

    def __init__(
        self,
        graph: nx.Graph,
        terms: Sequence[str | GraphTerm],
        offsets: Mapping[str, float] | None,
        active: Any,
        missing: Any,
    ) -> None:
        nodes, offsets = Nodes.of(graph), dict(offsets or {})
        self.terms = Terms([*terms, *offsets], nodes)
        self.labels = Terms(terms, nodes).labels
        if len(self.terms) != len(self.labels) + len(offsets):
            raise ValueError("Expected offsets of one statistic each, but got one of several.")
        self.known = np.array([*[np.nan] * len(self.labels), *offsets.values()], dtype=float)
        self.edges = EdgeSets.of(graph, nodes)
        self.dyads = active_dyads(self.terms, self.edges, as_mask(active, self.edges))
        i, j = self.edges.edges()
        self.num_edges = int(self.dyads.mask[i, j].sum())
        self.missing: Dyads | None = None
        self.counted = self.dyads
        if missing is not None and len(missing):
            hidden = _hidden(nodes, missing)
            self.missing = self.dyads.restricted(hidden)
            self.counted = self.dyads.restricted(~hidden)

    @property
    def learned(self) -> Array:
        """Which coefficients are, ``(K,)``."""
        return np.isnan(self.known)

    @property
    def renewing(self) -> int:
        """Steps of a chain that renew most edges."""
        return 4 * self.num_edges + 100

    def statistics(self) -> Array:
        """The observed ones, ``(K,)``."""
        found: Array = self.terms.value(self.edges)[0]
        return found

    def chains(self, wanted: int, coefficients: Array, dyads: Dyads | None = None) -> TieChains:
        """Chains that start at the network, as many as memory allows.

        :param wanted: How many.
        :param coefficients: Those that are learned.
        :param dyads: Pairs that they move; None: the active ones.
        """
        dyads = self.dyads if dyads is None else dyads
        size = len(dyads.nodes)
        copies = max(2, min(wanted, max(_FEWEST, _BITS // size**2)))
        i, j = self.edges.edges()
        starts = np.repeat(np.arange(copies) * size, len(i))
        graph = EdgeSets(
            dyads.nodes, np.tile(i, copies) + starts, np.tile(j, copies) + starts, copies
        )
        point = self.known.copy()
        point[self.learned] = coefficients
        return TieChains(self.terms, graph, dyads, point)

    def simulations(
        self, wanted: int, coefficients: Array, num_steps: int
    ) -> Iterator[tuple[TieChains, int]]:
        """Simulated networks, as chains and a number of a copy, while the chains stand there.

        :param wanted: How many.
        :param coefficients: Those that are learned.
        :param num_steps: Steps of a chain before each.
        """
        chains = self.chains(wanted, coefficients)
        copies = chains.graph.num_copies
        for start in range(0, wanted, copies):
            chains.run(num_steps)
            for copy in range(min(wanted - start, copies)):
                yield chains, copy

    def named(self, ratios: Array, least: float) -> str:
        """Statistics whose ratios are large, in words; empty if there are none."""
        return ", ".join(
            f"{label}: {ratio:+.1f} standard deviations"
            for label, ratio in zip(self.labels, ratios, strict=True)
            if abs(ratio) > least
        )

    def far_from(self, counts: Array, ratios: Array) -> str:
        """In what simulated networks are far from this one, in words; empty if they are not.

        They also are if more than a quarter of them have less than half or more than twice the
        edges: averages of networks of two kinds can be right, and no network is like them.

        :param counts: Active edges of simulated networks, ``(N,)``.
        :param ratios: Differences of statistics in standard deviations, ``(K,)``.
        """
        other = (counts < self.num_edges / 2) | (counts > 2 * self.num_edges)
        other &= np.abs(counts - self.num_edges) > 4 * self.num_edges**0.5
        if other.mean() > 0.25:
            low, high = np.quantile(counts, (0.1, 0.9)).astype(int)
            return f"{low} to {high} edges instead of {self.num_edges}"
        return self.named(ratios, _FAR)


def _hidden(nodes: Nodes, missing: Any) -> Array:
    hidden = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for first, second in missing:
        if first not in nodes.index or second not in nodes.index:
            raise ValueError(f"Expected missing pairs of nodes, but got {(first, second)!r}.")
        hidden[nodes.index[first], nodes.index[second]] = True
    return hidden if nodes.directed else hidden | hidden.T
