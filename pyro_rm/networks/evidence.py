"""Is there an edge, is there none, or can the data not tell: Bayes factors of a fitted network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from math import isfinite, log
from typing import Any

import networkx as nx
import numpy as np

from pyro_rm.checks import check_counts
from pyro_rm.networks.contrasts import of_numbers
from pyro_rm.networks.edge_priors import EdgePrior
from pyro_rm.networks.plots import plot_evidence
from pyro_rm.networks.spike_and_slab import (
    MAX_ENUMERATED,
    CouplingPosterior,
    enumerate_structures,
    sample_structures,
)
from pyro_rm.networks.table_kinds import frame

COLUMNS = ["source", "target", "probability", "bayes_factor", "coupling", "lower", "upper"]
DEFAULT_SLAB = 1.6  # of a log odds ratio: 0.4 for couplings of spins


@dataclass(frozen=True, eq=False)
class EdgeEvidence:
    r"""Evidence for and against each edge of a network, from its estimates and their covariance.

    The posterior of a pseudolikelihood overstates the evidence: its curvature is not the precision
    of its estimate [1, 2, 3]. The estimate itself is nearly normal about the couplings, with the
    sandwich covariance :math:`V`, and that is the likelihood here,
    :math:`\hat J \sim N(J, V)`, with a coupling either zero or :math:`N(0, \tau^2)`. Where cells
    were blank, :math:`V` has Louis' correction. A coupling that is a matrix, as between nominal
    columns, has several coordinates, which are zero or :math:`N(0, \tau^2)` together.

    :param names: Names of the sites.
    :param edges: Pairs of sites, ``(E, 2)``.
    :param estimate: Estimated couplings, ``(E,)``, or their coordinates, ``(P,)``; NaN where there
        is none: so is its evidence.
    :param covariance: Their covariance, ``(P, P)``.
    :param owners: The edge of each coordinate, ``(P,)``, in order; None: each edge has one.
    :param slab_scale: :math:`\tau`, the standard deviation of couplings that are there.
    :param prior: The prior on edges, or the probability of each.
    :param level: Nominal level of the intervals.
    :param num_sweeps: Gibbs sweeps that count, a fifth as many before them; edges are at most 12
        and blocks known: none, as all structures are summed over.
    :param random_state: Seed of the sweeps.
    :raises ValueError: If an option is out of range, or the covariance is not positive definite.

    Example:

        >>> evidence = EdgeEvidence(
        ...     ["a", "b", "c"], [[0, 1], [0, 2]], [0.5, 0.0], 0.01 * np.eye(2), slab_scale=0.4
        ... )
        >>> evidence.verdicts()
        ['present', 'undecided']
        >>> evidence.probabilities.round(3)
        array([1.   , 0.195])

    .. note:: A sweep costs a few operations an edge, and :math:`E^2` an edge that changes. It is as
        good as the normal approximation: where pairs of answers are rare, it is not.

    **References**

    [1] Julien Stoehr, Nial Friel (2015) "Calibration of conditional composite likelihood for
        Bayesian inference on Gibbs random fields", AISTATS. arXiv:1502.01997.

    [2] Lampros Bouranis, Nial Friel, Florian Maire (2017) "Bayesian model selection for
        exponential random graph models via adjusted pseudolikelihoods", arXiv:1706.06344.

    [3] Giuseppe Arena, Maarten Marsman (2026) "Bayesian inference for discrete Markov random fields
        through coordinate rescaling", arXiv:2601.17205.
    """

    names: Sequence[Any]
    edges: Any
    estimate: Any
    covariance: Any
    _: KW_ONLY
    slab_scale: float
    owners: Any = None
    prior: EdgePrior | float = 0.5
    level: float = 0.9
    num_sweeps: int = 500
    random_state: int | None = 0

    def __post_init__(self) -> None:
        EdgePrior.of(self.prior)
        if not 0 < self.level < 1:
            raise ValueError(f"Expected a level between 0 and 1, but got {self.level}.")
        if not (self.slab_scale > 0 and isfinite(self.slab_scale)):
            raise ValueError(f"Expected a positive slab_scale, but got {self.slab_scale}.")
        check_counts(num_sweeps=self.num_sweeps)
        if np.linalg.eigvalsh(self._problem[1]).min(initial=1.0) <= 0:
            raise ValueError(
                "Expected a positive definite covariance, but got a singular one. Fit fewer pairs, "
                "as by graph=, or more rows than couplings and fields."
            )

    @cached_property
    def _owners(self) -> Any:
        """The edge of each coordinate."""
        return np.arange(len(self.edges)) if self.owners is None else np.asarray(self.owners)

    @cached_property
    def _known(self) -> Any:
        """Which edges have an estimate."""
        absent = ~np.isfinite(np.asarray(self.estimate, dtype=np.float64))
        return np.bincount(self._owners, absent, minlength=len(self.edges)) == 0

    @property
    def _problem(self) -> tuple[Any, Any]:
        """Estimates and covariance of the edges that have them."""
        known = self._known[self._owners]
        covariance = np.asarray(self.covariance, dtype=np.float64)[known][:, known]
        return np.asarray(self.estimate, dtype=np.float64)[known], covariance

    def _of_all(self, values: Any) -> Any:
        """Values of the known edges beside NaN of the others."""
        result = np.full(len(self._known), np.nan)
        result[self._known] = values
        return result

    def _of_numbers(self, values: Any) -> Any:
        """Values of coordinates of the known edges, of edges with a single one; NaN of others."""
        owners = self._owners[self._known[self._owners]]
        return of_numbers(values, owners, len(self._known))

    @cached_property
    def posterior(self) -> CouplingPosterior:
        """Couplings of the edges that have an estimate, as a mixture over structures."""
        prior, edges = EdgePrior.of(self.prior), np.asarray(self.edges).reshape(-1, 2)[self._known]
        owners = (np.cumsum(self._known) - 1)[self._owners[self._known[self._owners]]]
        problem = (*self._problem, self.slab_scale, prior, edges, len(self.names), owners)
        if len(edges) <= MAX_ENUMERATED and not isinstance(prior.blocks, int):
            return enumerate_structures(*problem)
        return sample_structures(
            *problem,
            num_sweeps=self.num_sweeps,
            burn_in=self.num_sweeps // 5,
            random_state=self.random_state,
        )

    @property
    def probabilities(self) -> Any:
        """Posterior probability of each edge, ``(E,)``."""
        return self._of_all(self.posterior.probabilities())

    @property
    def bayes_factors(self) -> Any:
        """Bayes factor for each edge, ``(E,)``; one over it is that against the edge."""
        prior = EdgePrior.of(self.prior).marginal
        with np.errstate(over="ignore"):
            factors = np.exp(self.posterior.log_posterior_odds() - log(prior / (1 - prior)))
        return self._of_all(factors)

    @property
    def table(self) -> Any:
        """A ``pandas.DataFrame``, a row an edge.

        Its columns are ``source`` and ``target``; ``probability`` of the edge; ``bayes_factor`` for
        it; and ``coupling``, ``lower`` and ``upper``, the mean over structures, zeros included, and
        the ends of the central interval: NaN where a coupling is a matrix.
        """
        return frame("pandas", COLUMNS, [[row[name] for row in self._rows()] for name in COLUMNS])

    def verdicts(self, threshold: float = 10.0) -> list[str]:
        """``"present"``, ``"absent"`` or ``"undecided"`` of each edge.

        :param threshold: The Bayes factor, for or against, from which the data decide.
        :raises ValueError: If it is not above 1.
        """
        if not threshold > 1:
            raise ValueError(f"Expected a threshold above 1, but got {threshold}.")
        factors = self.bayes_factors
        present, absent = factors > threshold, factors < 1 / threshold
        words = np.select([present, absent], ["present", "absent"], "undecided")
        return [str(word) for word in words]

    def structures(self, num_structures: int = 10) -> list[tuple[nx.Graph, float]]:
        """The most probable networks with their posterior probabilities.

        :param num_structures: How many at most.
        :returns: Graphs on the names, most probable first; of more than 12 edges probabilities are
            shares of the sweeps.
        """
        check_counts(num_structures=num_structures)
        found = []
        for included, probability in self.posterior.most_probable(num_structures):
            graph = nx.Graph()
            graph.add_nodes_from(self.names)
            chosen = np.asarray(self.edges).reshape(-1, 2)[self._known][included]
            graph.add_edges_from((self.names[a], self.names[b]) for a, b in chosen)
            found.append((graph, probability))
        return found

    def sensitivity(
        self,
        slab_scales: Sequence[float] | None = None,
        priors: Sequence[EdgePrior | float] | None = None,
    ) -> Any:
        """How evidence depends on what was assumed.

        :param slab_scales: Slab scales; None: half, once and twice that of this evidence.
        :param priors: Priors on edges; None: that of this evidence.
        :returns: A ``pandas.DataFrame``, a row an edge, slab scale and prior, with the columns
            of :attr:`table` and ``slab_scale`` and ``prior``, the number of it.
        """
        scales = (
            [c * self.slab_scale for c in (0.5, 1.0, 2.0)] if slab_scales is None else slab_scales
        )
        rows = []
        for number, prior in enumerate([self.prior] if priors is None else priors):
            for scale in scales:
                other = replace(self, slab_scale=scale, prior=prior)
                rows += [row | {"slab_scale": scale, "prior": number} for row in other._rows()]
        columns = [*COLUMNS, "slab_scale", "prior"]
        return frame("pandas", columns, [[row[name] for row in rows] for name in columns])

    def plot(self, axis: Any = None, *, threshold: float = 10.0, labels: bool = True) -> Any:
        """Draw the evidence; see :func:`~pyro_rm.networks.plots.plot_evidence`.

        :param axis: A matplotlib axis; None: the current one.
        :param threshold: The Bayes factor, for or against, from which the data decide.
        :param labels: Whether to write the names of the nodes.
        :returns: The axis.
        """
        graph = nx.Graph()
        graph.add_nodes_from(self.names)
        for row, verdict in zip(self._rows(), self.verdicts(threshold), strict=True):
            graph.add_edge(row["source"], row["target"], weight=row["coupling"], evidence=verdict)
        return plot_evidence(graph, axis, labels=labels)

    def _rows(self) -> list[dict[str, Any]]:
        posterior = self.posterior
        columns = (
            [self.names[a] for a, _ in self.edges],
            [self.names[b] for _, b in self.edges],
            self.probabilities.tolist(),
            self.bayes_factors.tolist(),
            self._of_numbers(posterior.averages()).tolist(),
            self._of_numbers(posterior.quantiles(0.5 - self.level / 2)).tolist(),
            self._of_numbers(posterior.quantiles(0.5 + self.level / 2)).tolist(),
        )
        return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
