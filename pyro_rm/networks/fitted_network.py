"""What a fitted network answers: scores, probabilities, fills, draws, tables and pictures."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.estimators import Estimator
from pyro_rm.evaluation import FitCheck, check_fit
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.networks.columns import row_weights
from pyro_rm.networks.imputation import cell_probabilities, filled
from pyro_rm.networks.intervals import couplings_of
from pyro_rm.networks.observations import data_objectives
from pyro_rm.networks.pairwise_models import PairwiseModel, sweep_of
from pyro_rm.networks.plots import plot_intervals, plot_network
from pyro_rm.networks.randomness import seeded
from pyro_rm.networks.sample_rates import rates_warning
from pyro_rm.networks.saving import Saved
from pyro_rm.networks.table_kinds import completed, frame, kind_of, labeled, labels_of
from pyro_rm.networks.words import Labels

_ROWS_AT_ONCE = 1024


class FittedNetwork(Saved):
    """The part of a network that needs a fit, and none of the data that it was fitted to."""

    objective: Any
    generative: bool
    num_fills: int
    random_state: Any
    categories_: Any
    fields_: Any
    field_standard_errors_: Any
    kind_: str
    patterns_: Any
    pattern_shares_: Any
    profiles_: list[Any]
    labels_: list[list[Any]] | None
    words_: Labels | None = None
    rates_: Any
    effective_size_: float

    @abstractmethod
    def _read_like(self, X: Any) -> Tensor:
        """New rows as values of the fitted model, ``(N, D)``, NaN where blank."""

    def _estimator(self) -> Estimator:
        return Estimator(self.objective, num_neighbors="all")

    @property
    def _model(self) -> PairwiseModel:
        self._check_fitted()
        return PairwiseModel(self.energy_, torch.as_tensor(self.edges_))

    @property
    def _columns(self) -> list[Any]:
        return self.feature_names_in_.tolist()

    @property
    def _fixed_state(self) -> int:
        """What is said of a fitted network is the same each time."""
        return self.random_state if isinstance(self.random_state, int) else 0

    def _codes(self, values: Tensor) -> Tensor:
        """Values as numbers of categories."""
        low, high = self.energy_.state_space.states
        return (values - low) / (high - low)

    def score_samples(self, X: Any) -> Any:
        """Minus the objective of each row: higher is better.

        :param X: Data with the fitted columns; blanks count in no term and are averaged out.
        :returns: The log pseudolikelihood of each row under the default objective, ``(N,)``; 0,
            a sum of no terms, where a row is blank throughout.
        """
        return self._scores(self._model, self._read_like(X))[0]

    def _scores(self, model: PairwiseModel, values: Tensor) -> tuple[Any, Any]:
        """Scores of rows, and which of them have answers, ``(N,)`` each."""
        answered = ~values.isnan().all(1)
        result = np.zeros(len(values))

        def scores(part: Tensor) -> Tensor:
            observations = filled(model, part, self.num_fills)
            return -data_objectives(model.energy, observations, self._estimator())

        if answered.any():
            result[answered.numpy()] = self._by_parts(scores, values[answered])
        return result, answered.numpy()

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> float:
        """The mean of ``score_samples`` over rows that have answers, the others left out.

        :param X: Data with the columns that the network was fitted to.
        :param y: Ignored.
        :param sample_weight: Weights of the rows, ``(N,)``.
        :returns: The mean log pseudolikelihood of a row under the default objective.
        :raises ValueError: If nothing is answered, or weights are not such numbers.
        """
        scores, shares = self._scores(self._model, self._read_like(X))
        weights = row_weights(sample_weight, len(scores), X)
        shares = shares if weights is None else shares * weights.numpy()
        if not shares.any():
            raise ValueError("Expected rows with answers, but all cells that count are blank.")
        return float(np.average(scores, weights=shares))

    def predict_proba(self, X: Any, site: Any = None) -> Any:
        """Probabilities of a column's categories, given the others; blanks are averaged out.

        :param X: Data with the columns that the network was fitted to.
        :param site: Name of the column, whose own cells are not looked at; None: each column in
            turn.
        :returns: Shape ``(N, K)``, in the order of ``categories_``, or of the column's ``labels_``
            where it is of text; ``(N, D, K)`` of all columns.
        :raises ValueError: If there is no such column.
        """
        model, values = self._model, self._read_like(X)
        if site is not None and site not in self._columns:
            raise ValueError(f"Expected one of the columns {self._columns[:5]}, but got {site!r}.")
        chosen = range(len(self._columns)) if site is None else [self._columns.index(site)]
        chances = []
        for number in chosen:
            others = values.clone()
            others[:, number] = torch.nan
            chances.append(self._chances(model, others)[:, number])
        return np.stack(chances, 1) if site is None else chances[0]

    def impute(self, X: Any, *, proba: bool = False) -> Any:
        """Fill blanks by their most probable values, given the row's observed cells.

        Where couplings were selected, fills are from a ridge fit of all pairs, ``filler_``, which
        predicts better than the selected ones do: as iterated ridge regressions, jointly.

        :param X: Data with the columns that the network was fitted to.
        :param proba: Whether to return probabilities instead.
        :returns: A frame with the same columns, labels and types if a frame came in, else numbers
            as in the data, ``(N, D)``. Or probabilities of each cell's categories, ``(N, D, K)``.
        """
        model, values = self._model, self._read_like(X)
        if self.filler_ is not None:
            pairs = torch.triu_indices(self.n_features_in_, self.n_features_in_, 1).T
            model = PairwiseModel(self.filler_, pairs)
        chances = self._chances(model, values)
        if proba:
            return chances
        blank, best = values.isnan().numpy(), chances.argmax(-1)
        if kind_of(X) == "array":
            known = np.nan_to_num(self._codes(values).numpy()).astype(int)
            result = self._as_given(np.where(blank, best, known))
            return torch.as_tensor(result) if isinstance(X, Tensor) else result
        labels = labels_of(X, self._columns, self._codes(values), self._known_labels())
        return completed(X, self._columns, blank, labeled(best, labels))

    def _chances(self, model: PairwiseModel, values: Tensor) -> Any:
        return self._by_parts(lambda part: cell_probabilities(model, part, self.num_fills), values)

    def _by_parts(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Any:
        """A function of some rows at once, as fills may be many."""
        with seeded(self._fixed_state):
            parts = [function(part) for part in self._placed(values).split(_ROWS_AT_ONCE)]
        return torch.cat(parts).cpu().numpy()

    def _known_labels(self) -> list[list[Any]]:
        """What each column has for categories 0, 1, ...."""
        usual, words = self.categories_.tolist(), self.words_ or [None] * self.n_features_in_
        return [list(usual if own is None else own) for own in words]

    def _as_given(self, codes: Any) -> Any:
        """Numbers of categories, ``(N, D)``, as an array of what arrays of data have for them."""
        if self.words_ is None:
            return self.categories_[codes]
        return np.array(labeled(codes, self._known_labels()), dtype=object).T

    def sample(self, num_samples: int = 1, *, num_steps: int | None = None) -> Any:
        """Draw rows from the fitted model by Gibbs sweeps from random starts.

        Warns where draws have other rates than the data, far beyond sampling error: a model can
        be right at each column given the others, and have probability where no datum is.

        :param num_samples: Independent rows.
        :param num_steps: Sweeps; more where couplings are strong. None: 200, or 1000 if generative,
            as such models have the data's correlations only once chains have forgotten the noise.
        :returns: A frame with the names and the labels of the data if a frame came in, else an
            array in the coding of the data, ``(num_samples, D)``.
        """
        model = self._model
        check_counts(0, num_samples=num_samples)
        if num_steps is None:
            num_steps = 1000 if self.generative else 200
        sampler = MarkovSampler(num_steps, sweep_of(model))
        with seeded(self.random_state):
            draws = sampler(self.energy_, sample_shape=(num_samples,))
        known = self._codes(draws).long().cpu()
        rates = torch.as_tensor(self.rates_)
        words = rates_warning(known, rates, self.effective_size_, self._columns)
        if words is not None:
            warnings.warn(words, stacklevel=2)
        return (self._as_given if self.kind_ == "array" else self._framed)(known.numpy())

    def _framed(self, codes: Any) -> Any:
        """Numbers of categories as a frame of the kind of the data."""
        return frame(self.kind_, self._columns, labeled(codes, self.labels_ or []))

    def check_fit(self, X: Any, *, num_samples: int = 1000, num_steps: int = 200) -> FitCheck:
        """Whether the model is right as a whole; see :func:`pyro_rm.evaluation.check_fit`.

        :param X: Data with the columns that the network was fitted to; rows with blanks are left
            out.
        :param num_samples: Chains from each start.
        :param num_steps: Sweeps of each chain, and temperatures of the annealing.
        :returns: Findings: ``ok``, words as ``str()``, a figure by ``plot()``.
        :raises ValueError: If fewer than 20 rows have no blanks.
        """
        model, values = self._model, self._read_like(X)
        return check_fit(
            self.energy_,
            self._placed(values[~values.isnan().any(1)]),
            num_samples=num_samples,
            num_steps=num_steps,
            step=sweep_of(model),
            seed=self._fixed_state,
        )

    def summary(self, *, level: float = 0.9) -> Any:
        """Couplings with their intervals, in the order of ``edges_``.

        Intervals are those of the refit: they do not know that the edges were selected on the
        same data, which favors couplings that came out large. Those of separated pairs are
        one-sided, from the profile of the pseudolikelihood, and err at the rate of one end of
        the others; NaN under other objectives.

        :param level: Nominal level of the intervals, between 0 and 1.
        :returns: A ``pandas.DataFrame`` with the columns ``source``, ``target``,
            ``coupling``, ``standard_error``, ``lower``, ``upper`` and ``separated``.
        :raises ImportError: If pandas is not installed.
        :raises ValueError: If the level is out of range.
        """
        self._check_fitted()
        rows = couplings_of(self, level)
        names = ["source", "target", "coupling", "standard_error", "lower", "upper", "separated"]
        return frame("pandas", names, [[row[name] for row in rows] for name in names])

    def to_networkx(self, *, level: float = 0.9, num_edges: int | None = None) -> nx.Graph:
        """The network as a graph whose nodes are the column names.

        :param level: Nominal level of the intervals, as of ``summary``.
        :param num_edges: The strongest pairs only; None: all pairs that were fitted.
        :returns: Edges have ``weight``, ``standard_error``, ``lower`` and ``upper``; nodes have
            ``field`` and ``standard_error``.
        :raises ValueError: If the level is out of range.
        """
        graph = self._graph(level, num_edges)
        fields = zip(self._columns, self.fields_, self.field_standard_errors_, strict=True)
        for name, field, error in fields:
            graph.add_node(name, field=float(field), standard_error=float(error))
        return graph

    def _graph(self, level: float, num_edges: int | None) -> nx.Graph:
        """The column names, joined by the strongest couplings with their intervals."""
        self._check_fitted()
        rows = couplings_of(self, level)
        if num_edges is not None:
            check_counts(0, num_edges=num_edges)
            rows = sorted(rows, key=lambda row: -abs(row["coupling"]))[:num_edges]
        graph = nx.Graph()
        graph.add_nodes_from(self._columns)
        for row in rows:
            attributes = {name: row[name] for name in ("standard_error", "lower", "upper")}
            graph.add_edge(row["source"], row["target"], weight=row["coupling"], **attributes)
        return graph

    def plot(self, axis: Any = None, *, num_edges: int | None = None, labels: bool = True) -> Any:
        """Draw the network; see :func:`~pyro_rm.networks.plots.plot_network`.

        :param axis: A matplotlib axis; None: the current one.
        :param num_edges: The strongest pairs only; None: all pairs that were fitted.
        :param labels: Whether to write the names of the nodes.
        :returns: The axis.
        """
        return plot_network(self.to_networkx(num_edges=num_edges), axis, labels=labels)

    def plot_edges(self, axis: Any = None, *, level: float = 0.9, num_edges: int = 30) -> Any:
        """Draw the strongest couplings with their intervals, sorted.

        :param axis: A matplotlib axis; None: the current one.
        :param level: Nominal level of the intervals.
        :param num_edges: How many.
        :returns: The axis.
        """
        return plot_intervals(self._graph(level, num_edges), axis, num_edges=num_edges)
