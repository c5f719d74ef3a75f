"""Exponential-family random graph models of one network: the front door."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import networkx as nx
import numpy as np

from pyro_rm.checks import check_counts
from pyro_rm.graphs import goodness_of_fit
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.monte_carlo_likelihood import maximum_likelihood
from pyro_rm.graphs.nodes import Array
from pyro_rm.graphs.observed_network import ObservedNetwork
from pyro_rm.graphs.pseudolikelihood import ChangeTable, maximum_pseudolikelihood
from pyro_rm.graphs.simulated_errors import bootstrap_covariance, godambe_covariance
from pyro_rm.graphs.tie_chains import TieChains

_METHODS = ("likelihood", "pseudolikelihood")
_ERRORS = ("godambe", "bootstrap", "naive")
_BREEDING = (
    "Models in which edges only breed edges, such as triangles or stars without weights, often "
    "have no useful estimate (degeneracy): gwesp and gwdegree were made for that."
)
_NUM_CHAINS = 100


class RandomGraphModel:
    r"""An exponential-family random graph model (ERGM, p*) of one network [1].

    :math:`p(x) \propto e^{\theta^\top s(x)}` over graphs on the same nodes, with statistics by
    the names of :data:`~pyro_rm.graphs.GRAPH_TERMS`: undirected, directed, or bipartite (where
    nodes have the attribute ``bipartite``, 0 or 1, as networkx has it).

    The pseudolikelihood [2] is maximized first, a logistic regression. Unless all terms depend
    on the nodes alone, where it is the likelihood, chains then find the maximum of the
    likelihood, and say whether they did. Standard errors of a maximum pseudolikelihood come from
    simulated networks: the naive ones of the regression take pairs for independent.

    :param terms: Texts such as ``"gwesp(0.5)"``, or :class:`~pyro_rm.graphs.GraphTerm`.
    :param method: ``"likelihood"``, or ``"pseudolikelihood"`` for large networks.
    :param standard_errors: Of a maximum pseudolikelihood: ``"godambe"``, ``"bootstrap"`` (a fit
        to each simulated network), or ``"naive"``, which simulates nothing.
    :param offsets: Further terms, and their known coefficients.
    :param num_simulations: Networks to simulate for standard errors.
    :param tolerance: Largest error of simulation, in standard errors, of a converged estimate.
    :param max_rounds: Bound on the rounds of simulation in which the likelihood is maximized.
    :raises TypeError: If terms are not a list.
    :raises ValueError: If an option is none of those above.

    Fitted attributes: ``labels_``, ``coefficients_``, ``standard_errors_``, ``covariance_``;
    ``pseudolikelihood_coefficients_`` and ``naive_standard_errors_`` of the regression;
    ``monte_carlo_errors_``, the part of the error that longer chains would remove, and
    ``converged_``; ``ratios_``, simulated minus observed statistics in standard deviations,
    NaN where nothing was simulated; ``degenerate_``, whether one is above 3, or many simulated
    networks have less than half or more than twice the edges.

    Example:

        >>> graph = nx.florentine_families_graph()
        >>> model = RandomGraphModel(["edges", "kstar(2)"], method="pseudolikelihood")
        >>> model = model.fit(graph)
        >>> [label for label in model.labels_]
        ['edges', 'kstar(2)']

    .. note:: The regression costs the change statistics of all pairs; simulation those of one
        pair a step. Randomness is torch's: seed it by :func:`torch.manual_seed`.

    **References**

    [1] Stanley Wasserman, Philippa Pattison (1996) "Logit models and logistic regressions
        for social networks: I. An introduction to Markov graphs and p*", Psychometrika 61(3).
    [2] David Strauss, Michael Ikeda (1990) "Pseudolikelihood estimation for social
        networks", Journal of the American Statistical Association 85(409).
    """

    def __init__(
        self,
        terms: Sequence[str | GraphTerm],
        *,
        method: str = "likelihood",
        standard_errors: str = "godambe",
        offsets: Mapping[str, float] | None = None,
        num_simulations: int = 100,
        tolerance: float = 0.05,
        max_rounds: int = 40,
    ) -> None:
        if method not in _METHODS:
            raise ValueError(f"Expected method to be one of {_METHODS}, but got {method!r}.")
        if standard_errors not in _ERRORS:
            raise ValueError(
                f"Expected standard_errors to be one of {_ERRORS}, but got {standard_errors!r}."
            )
        if isinstance(terms, str) or not isinstance(terms, Sequence):
            raise TypeError(f"Expected a list of terms, but got {terms!r}. Write [{terms!r}].")
        check_counts(2, num_simulations=num_simulations)
        check_counts(2, max_rounds=max_rounds)
        self.terms = terms
        self.method = method
        self.standard_errors = standard_errors
        self.offsets = offsets
        self.num_simulations = num_simulations
        self.tolerance = tolerance
        self.max_rounds = max_rounds

    def fit(self, graph: nx.Graph, *, active: Any = None, missing: Any = None) -> RandomGraphModel:
        """Estimate coefficients.

        :param graph: The network. Pairs of nodes of which an attribute is missing are held fixed.
        :param active: Pairs that may be connected or not; the others are held fixed: booleans,
            ``(n, n)`` in the order of nodes, or a term of which they have another value than 0,
            such as ``"nodematch('school')"`` for edges within schools. None: all pairs.
        :param missing: Pairs of nodes of which it is not known whether they are connected. The
            likelihood sums over them; the pseudolikelihood leaves them out, and takes them as the
            graph has them in what other pairs would change.
        :returns: The fitted model.
        :raises TypeError: If it is not a graph without parallel edges.
        :raises ValueError: If terms do not fit the graph or are collinear, attributes are missing
            at all nodes or of the wrong kind, or the estimate does not exist, each named.
        """
        network = ObservedNetwork(graph, self.terms, self.offsets, active, missing)
        self._network, self.labels_ = network, network.labels
        table = ChangeTable(network.terms, network.edges, network.counted, network.known)
        estimate, found = maximum_pseudolikelihood(table, self.labels_)
        del table
        self.coefficients_ = self.pseudolikelihood_coefficients_ = estimate
        self.covariance_ = np.linalg.inv(found.information)
        self.naive_standard_errors_ = np.sqrt(np.diag(self.covariance_))
        self.monte_carlo_errors_ = np.zeros(len(estimate))
        self.ratios_ = np.full(len(estimate), np.nan)
        self.converged_, self.degenerate_ = True, False
        if network.terms.dyadic:  # pairs are independent: the regression is the likelihood
            pass
        elif self.method == "likelihood":
            self._maximize_likelihood()
        elif self.standard_errors != "naive":
            self._simulate_errors(found.information)
        self.standard_errors_ = np.sqrt(np.maximum(np.diag(self.covariance_), 0))
        return self

    def _maximize_likelihood(self) -> None:
        network, start = self._network, self.coefficients_
        fills = None
        if network.missing is not None:
            fills = network.chains(_NUM_CHAINS, start, network.missing)
        fit = maximum_likelihood(
            lambda: network.chains(_NUM_CHAINS, start), fills,
            learned=network.learned, observed=network.statistics(),
            num_steps=4 * network.renewing, tolerance=self.tolerance, max_rounds=self.max_rounds,
        )  # fmt: skip
        self.coefficients_, self.covariance_ = fit.coefficients, fit.covariance
        self.monte_carlo_errors_, self.converged_ = fit.monte_carlo_errors, fit.converged
        self.ratios_ = fit.ratios
        if not fit.converged:
            warnings.warn(
                f"{fit.shortfall(network.named(fit.ratios, 0.1))} {_BREEDING}", stacklevel=3
            )
        self._judge(fit.chains.num_edges)

    def _simulate_errors(self, information: Array) -> None:
        network, estimate = self._network, self.coefficients_
        statistics, counts = [], []

        def tables() -> Iterator[ChangeTable]:
            steps = 3 * network.renewing
            for chains, copy in network.simulations(self.num_simulations, estimate, steps):
                statistics.append(chains.statistics[copy].copy())
                counts.append(int(chains.num_edges[copy]))
                yield ChangeTable(network.terms, chains.graph, network.counted, network.known, copy)

        if self.standard_errors == "godambe":
            self.covariance_ = godambe_covariance(tables(), estimate, information)
        else:
            self.covariance_, without = bootstrap_covariance(tables(), estimate, self.labels_)
            if without:
                warnings.warn(
                    f"{without} of {self.num_simulations} simulated networks have no finite "
                    "estimate, and are left out of the bootstrap.",
                    stacklevel=3,
                )
        gaps = (np.stack(statistics) - network.statistics())[:, network.learned]
        self.ratios_ = gaps.mean(0) / np.maximum(gaps.std(0), 1e-12)
        self._judge(np.array(counts))

    def _judge(self, counts: Array) -> None:
        far = self._network.far_from(counts, self.ratios_)
        self.degenerate_ = bool(far)
        if far:
            warnings.warn(
                f"Networks simulated at the estimate are far from the observed one ({far}): the "
                "model does not describe it, and standard errors mean little. Take other terms, or "
                f"method='likelihood' if it was not. {_BREEDING}",
                stacklevel=4,
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "standard_errors_"):
            raise ValueError("Expected a fitted RandomGraphModel, but it has seen no network.")

    def summary(self, *, level: float = 0.95) -> Any:
        """The estimates as a data frame.

        :param level: Nominal level of the intervals, between 0 and 1.
        :returns: A ``pandas.DataFrame`` with columns ``term``, ``estimate``,
            ``standard_error``, ``lower``, ``upper``, ``monte_carlo_error``,
            ``pseudolikelihood`` and ``naive_standard_error``.
        :raises ImportError: If there is no pandas.
        :raises ValueError: If the level is out of range.
        """
        self._check_fitted()
        if not 0 < level < 1:
            raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "Expected pandas for a summary; install it by pip install 'pyro-rm[examples]'."
            ) from error
        wide = NormalDist().inv_cdf(0.5 + level / 2) * self.standard_errors_
        return pandas.DataFrame(
            {
                "term": self.labels_,
                "estimate": self.coefficients_,
                "standard_error": self.standard_errors_,
                "lower": self.coefficients_ - wide,
                "upper": self.coefficients_ + wide,
                "monte_carlo_error": self.monte_carlo_errors_,
                "pseudolikelihood": self.pseudolikelihood_coefficients_,
                "naive_standard_error": self.naive_standard_errors_,
            }
        )

    def simulate(self, n: int = 1, *, num_steps: int | None = None) -> list[nx.Graph]:
        """Networks of the fitted model, by chains that start at the observed one.

        :param n: How many, each from a chain of its own as far as memory allows.
        :param num_steps: Steps of a chain for each; None: so many that they renew most edges
            five times.
        :returns: Graphs with the nodes and node attributes of the observed one.
        """
        return [
            goodness_of_fit.to_networkx(chains.graph, copy)
            for chains, copy in self._simulations(n, num_steps)
        ]

    def _simulations(self, n: int, num_steps: int | None) -> Iterator[tuple[TieChains, int]]:
        self._check_fitted()
        check_counts(0, n=n)
        length = 5 * self._network.renewing if num_steps is None else num_steps
        check_counts(0, num_steps=length)
        return self._network.simulations(n, self.coefficients_, length)

    def goodness_of_fit(self, *, num_simulations: int = 100) -> dict[str, Array]:
        """Degrees, shared partners and distances of the network beside simulated ones [1].

        :param num_simulations: Networks to simulate.
        :returns: By name, rows of shares: observed, and the 2.5, 50 and 97.5 % quantiles of
            simulated ones. Entry 0 of ``"geodesic distance"`` are pairs without a path.

        **References**

        [1] David Hunter, Steven Goodreau, Mark Handcock (2008) "Goodness of fit of social
            network models", Journal of the American Statistical Association 103(481).
        """
        check_counts(num_simulations=num_simulations)
        simulated = [
            goodness_of_fit.summary_of(chains.graph, copy)
            for chains, copy in self._simulations(num_simulations, None)
        ]
        return goodness_of_fit.table(goodness_of_fit.summary_of(self._network.edges, 0), simulated)

    def plot_goodness_of_fit(
        self,
        axes: Any = None,
        *,
        num_simulations: int = 100,
        tables: dict[str, Array] | None = None,
    ) -> Any:
        """Draw :meth:`goodness_of_fit`: observed shares over bands of simulated ones.

        :param axes: Matplotlib axes, one for each distribution; None: new ones.
        :param num_simulations: Networks to simulate.
        :param tables: What :meth:`goodness_of_fit` returned; None: it is called.
        :returns: The axes.
        """
        if tables is None:
            tables = self.goodness_of_fit(num_simulations=num_simulations)
        return goodness_of_fit.plot(tables, axes)

    def __repr__(self) -> str:
        return f"RandomGraphModel({list(self.terms)!r})"
