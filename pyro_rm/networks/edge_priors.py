"""What is believed of the edges of a network before its data: how many there are, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import lgamma, log
from typing import Any

import numpy as np

from pyro_rm.checks import check_counts


@dataclass(frozen=True)
class EdgePrior:
    r"""A prior on which edges are there: Bernoulli, beta-Bernoulli or with blocks of sites.

    * ``EdgePrior(0.3)``: each edge is there with probability 0.3, whatever the others are.
    * ``EdgePrior(beta=(1, 1))``: with a probability :math:`\pi \sim \text{Beta}(a, b)` that all
      edges share and the data inform.
    * ``EdgePrior(beta=(1, 1), blocks=["a", "a", "b"])``: each pair of blocks has such a
      probability of its own, as where the items of a questionnaire belong to scales.
    * ``EdgePrior(beta=(1, 1), blocks=3)``: the same, with at most three blocks that are inferred:
      a stochastic block model [1] with a uniform prior on the shares of blocks.

    :param probability: :math:`\pi`, between 0 and 1; None if it has a prior.
    :param beta: :math:`a` and :math:`b`, positive; None for a fixed probability.
    :param blocks: One label for each site, the largest number of blocks to infer, or None.
    :raises ValueError: If an option is out of range, or both or neither of the first two are given.

    Example:

        >>> EdgePrior(beta=(1, 3), blocks=2).marginal
        0.25

    .. note:: Closed form; inferred blocks cost :math:`D^2` operations a block and sweep.

    **References**

    [1] Nikola Sekulovski et al. (2026) "A stochastic block prior for clustering in graphical
        models", Psychological Methods.
    """

    probability: float | None = None
    _: KW_ONLY
    beta: tuple[float, float] | None = None
    blocks: Sequence[Any] | int | None = None

    def __post_init__(self) -> None:
        if (self.probability is None) == (self.beta is None):
            raise ValueError(
                "Expected either a probability or beta, but got "
                f"{'both' if self.beta else 'neither'}. Say EdgePrior(0.5) or "
                "EdgePrior(beta=(1, 1))."
            )
        if self.probability is not None and not 0 < self.probability < 1:
            raise ValueError(f"Expected a probability between 0 and 1, but got {self.probability}.")
        if self.beta is not None and not min(self.beta) > 0:
            raise ValueError(f"Expected beta as two positive numbers, but got {self.beta}.")
        if self.blocks is not None and self.beta is None:
            raise ValueError("Expected beta beside blocks, but got a probability.")
        if isinstance(self.blocks, int):
            check_counts(2, blocks=self.blocks)

    @classmethod
    def of(cls, prior: float | EdgePrior) -> EdgePrior:
        """A prior, or the Bernoulli one of a number."""
        return prior if isinstance(prior, EdgePrior) else cls(prior)

    @property
    def marginal(self) -> float:
        """The probability of one edge, the others unknown."""
        if self.beta is None:
            assert self.probability is not None
            return self.probability
        return self.beta[0] / sum(self.beta)

    def state(self, edges: Any, num_sites: int) -> EdgePriorState:
        """What a sampler needs of it, for given edges, ``(E, 2)``."""
        return EdgePriorState(self, edges, num_sites)

    def log_probability(self, structures: Any, edges: Any, num_sites: int) -> Any:
        """Log probabilities of structures, ``(S,)``, with fixed blocks.

        :param structures: Booleans, ``(S, E)``.
        :param edges: Pairs of sites, ``(E, 2)``.
        :param num_sites: The number of sites.
        """
        if self.beta is None:
            count, odds = structures.sum(1), log(self.marginal) - log(1 - self.marginal)
            return count * odds + structures.shape[1] * log(1 - self.marginal)
        groups = self.state(edges, num_sites).groups
        result = np.zeros(len(structures))
        for group in np.unique(groups):
            inside = structures[:, groups == group]
            present, size = inside.sum(1), inside.shape[1]
            table = np.array([_log_beta_binomial(n, size - n, self.beta) for n in range(size + 1)])
            result += table[present]
        return result


class EdgePriorState:
    """A prior on given edges, with the blocks and the counts of edges that a sampler has.

    :param prior: The prior.
    :param edges: Pairs of sites, ``(E, 2)``.
    :param num_sites: The number of sites.
    """

    def __init__(self, prior: EdgePrior, edges: Any, num_sites: int) -> None:
        self.prior, self.edges, self.num_sites = prior, np.asarray(edges), num_sites
        blocks = prior.blocks
        if blocks is None or isinstance(blocks, int):
            self.labels = np.zeros(num_sites, dtype=int)
            self.num_blocks = blocks or 1
        else:
            if len(blocks) != num_sites:
                raise ValueError(f"Expected a block for {num_sites} sites, but got {len(blocks)}.")
            self.labels = np.unique(np.array(blocks, dtype=str), return_inverse=True)[1]
            self.num_blocks = int(self.labels.max()) + 1
        self.matrix = np.zeros((num_sites, num_sites))
        self._exists = self.matrix.copy()
        first, second = self.edges.T
        self._exists[first, second] = self._exists[second, first] = 1
        self._regroup()

    @property
    def groups(self) -> Any:
        """The number of the pair of blocks of each edge, ``(E,)``."""
        pairs = np.sort(self.labels[self.edges], axis=1)
        return pairs[:, 0] * self.num_blocks + pairs[:, 1]

    def log_odds(self, edge: int, included: bool) -> float:
        """Log odds of an edge, given all others; ``included`` says what it is now."""
        beta = self.prior.beta
        if beta is None:
            return log(self.prior.marginal) - log(1 - self.prior.marginal)
        group = self._groups[edge]
        present = self._present[group] - included
        absent = self._sizes[group] - 1 - present
        return log(beta[0] + present) - log(beta[1] + absent)

    def set(self, edge: int, included: bool) -> None:
        """Remember that an edge is there, or is not."""
        first, second = self.edges[edge]
        self._present[self._groups[edge]] += 1 if included else -1
        self.matrix[first, second] = self.matrix[second, first] = included

    def move_blocks(self, rng: np.random.Generator) -> None:
        """A Gibbs sweep over the blocks of sites, if these are to be inferred."""
        if not isinstance(self.prior.blocks, int):
            return
        assert self.prior.beta is not None
        for site in range(self.num_sites):
            chances = [self._log_chance(site, label) for label in range(self.num_blocks)]
            odds = np.exp(np.array(chances) - max(chances))
            self.labels[site] = rng.choice(self.num_blocks, p=odds / odds.sum())
        self._regroup()

    def _log_chance(self, site: int, label: int) -> float:
        """Log probability of a block for a site, given those of the others, up to a constant."""
        assert self.prior.beta is not None
        others = np.arange(self.num_sites) != site
        own = self.labels[others]
        result = log(1 + (own == label).sum())  # shares of blocks are uniform on the simplex
        for block in range(self.num_blocks):
            sides = [own == block, own == label]
            present, size = (
                _between(m[np.ix_(others, others)], sides[0], sides[1], block == label)
                for m in (self.matrix, self._exists)
            )
            new = self.matrix[site, others][sides[0]].sum()
            more = self._exists[site, others][sides[0]].sum()
            after = _log_beta_binomial(present + new, size + more - present - new, self.prior.beta)
            result += after - _log_beta_binomial(present, size - present, self.prior.beta)
        return result

    def _regroup(self) -> None:
        self._groups = self.groups
        count = self.num_blocks**2
        first, second = self.edges.T
        self._present = np.bincount(self._groups, self.matrix[first, second], minlength=count)
        self._sizes = np.bincount(self._groups, minlength=count)


def _between(matrix: Any, rows: Any, columns: Any, within: bool) -> float:
    """The number of pairs between two blocks, or within one."""
    return float(matrix[np.ix_(rows, columns)].sum()) / (2 if within else 1)


def _log_beta_binomial(present: float, absent: float, beta: tuple[float, float]) -> float:
    """Log probability of one sequence of so many successes and failures."""
    a, b = beta
    ends = lgamma(a + b) - lgamma(a) - lgamma(b)
    return ends + lgamma(a + present) + lgamma(b + absent) - lgamma(a + b + present + absent)
