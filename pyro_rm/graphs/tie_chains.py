"""Markov chains over the edges of a network, many at once."""

from __future__ import annotations

import numpy as np
import torch

from pyro_rm.graphs.dyads import Dyads
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.nodes import Array
from pyro_rm.graphs.terms import Terms

_AHEAD = 64  # steps whose random numbers are drawn at once


class TieChains:
    r"""Chains of graphs, one for each copy, that follow :math:`p(x) \propto e^{\theta^\top s(x)}`.

    A step of each chain proposes to remove one of its edges, or to change one of all active
    pairs, with probability one half each ("tie, no tie" [1]), by the rule of Metropolis and
    Hastings. In sparse graphs this moves much faster than to change any pair.

    :param terms: The terms.
    :param graph: Where chains start; changed in place.
    :param dyads: The active pairs.
    :param coefficients: :math:`\theta`, ``(K,)``; may be set between runs.

    .. note:: A step costs the change statistics of one pair for each chain. Randomness is
        seeded by torch's.

    **References**

    [1] Martina Morris, Mark Handcock, David Hunter (2008) "Specification of exponential-family
        random graph models: terms and computational aspects", Journal of Statistical
        Software 24(4).
    """

    def __init__(self, terms: Terms, graph: EdgeSets, dyads: Dyads, coefficients: Array) -> None:
        self.terms, self.graph, self.dyads = terms, graph, dyads
        self.coefficients = coefficients
        self.statistics = terms.value(graph)
        self._random = np.random.default_rng(int(torch.randint(2**62, ())))
        self._starts = np.arange(graph.num_copies) * graph.num_nodes
        self._every = np.arange(graph.num_copies)
        self._list_edges()

    def _list_edges(self) -> None:
        """Codes of active edges in rows, one for each copy."""
        size = self.graph.num_nodes
        i, j = self.graph.edges()
        copy, i, j = self.graph.copy_of(i), i % size, j % size
        inside = self.dyads.mask[i, j]
        copy, codes = copy[inside], (i * size + j)[inside]
        self.num_edges = np.bincount(copy, minlength=self.graph.num_copies)
        self._codes = np.zeros((self.graph.num_copies, int(self.num_edges.max()) + 64), dtype=int)
        starts = np.cumsum(self.num_edges) - self.num_edges
        order = np.argsort(copy, kind="stable")
        self._codes[copy[order], np.arange(len(copy)) - starts[copy[order]]] = codes[order]

    def run(self, num_steps: int) -> TieChains:
        """Move all chains.

        :param num_steps: Steps of each.
        :returns: Themselves.
        """
        for start in range(0, num_steps, _AHEAD):
            shape = (min(_AHEAD, num_steps - start), len(self._every))
            uniform = self._random.random((3, *shape))
            pairs = self.dyads.draw(self._random, shape)
            log_uniform = np.log(uniform[2])
            for row in range(shape[0]):
                self._step(uniform[0, row], uniform[1, row], log_uniform[row],
                           pairs[0][row], pairs[1][row])  # fmt: skip
        return self

    def sample(self, num_draws: int, num_steps: int) -> Array:
        """Statistics of all chains after each of some runs.

        :param num_draws: Runs.
        :param num_steps: Steps of each.
        :returns: Shape ``(draws, copies, K)``.
        """
        return np.stack([self.run(num_steps).statistics.copy() for _ in range(num_draws)])

    def _step(self, kind: Array, which: Array, threshold: Array, i: Array, j: Array) -> None:
        count, size = self.num_edges, self.graph.num_nodes
        tie = (kind < 0.5) & (count > 0)
        slot = (which * count).astype(int)
        first, second = np.divmod(self._codes[self._every, slot], size)
        i, j = np.where(tie, first, i), np.where(tie, second, j)
        pairs = Pairs(self.graph, i + self._starts, j + self._starts)
        sign = np.where(pairs.there, -1, 1)
        change = self.terms.change(pairs) * sign[:, None]
        ratio = change @ self.coefficients + sign * self._log_odds(count - pairs.there)
        moved = np.flatnonzero(threshold < ratio)
        if len(moved):
            there = pairs.there[moved]
            self.graph.toggle(pairs.i[moved], pairs.j[moved], there)
            self.statistics[moved] += change[moved]
            self._relist(moved[there], moved[~there], i * size + j, np.where(tie, slot, -1))

    def _log_odds(self, fewer: Array) -> Array:
        """Log of the chance to propose a removal over that of the addition that it undoes."""
        total = self.dyads.count
        return np.log((total / (fewer + 1) + 1) / np.where(fewer == 0, 2.0, 1.0))

    def _relist(self, removed: Array, added: Array, codes: Array, slot: Array) -> None:
        if len(removed):
            place = slot[removed]
            searched = np.flatnonzero(place < 0)
            if len(searched):
                rows = removed[searched]
                place[searched] = (self._codes[rows] == codes[rows, None]).argmax(1)
            last = self.num_edges[removed] - 1
            self._codes[removed, place] = self._codes[removed, last]
            self.num_edges[removed] = last
        if len(added):
            place = self.num_edges[added]
            if int(place.max()) >= self._codes.shape[1]:
                self._codes = np.pad(self._codes, ((0, 0), (0, self._codes.shape[1])))
            self._codes[added, place] = codes[added]
            self.num_edges[added] += 1
