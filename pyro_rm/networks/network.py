"""The engine behind the networks: from a table to a selected and fitted model."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graph, physical_memory
from pyro_rm.networks.columns import Table
from pyro_rm.networks.fitted_network import FittedNetwork
from pyro_rm.networks.fitter import Fitter, NetworkFit
from pyro_rm.networks.intervals import separation_warning
from pyro_rm.networks.missing_cells import refill, with_fills
from pyro_rm.networks.moment_matching import MomentMatching
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.profiles import profiles_of
from pyro_rm.networks.randomness import seeded
from pyro_rm.networks.selection import Selection
from pyro_rm.networks.table_kinds import kind_of, labels_of

Self = TypeVar("Self", bound="Network")
_NAMED = 5  # separated couplings, at most, that are warned of one by one


class Network(FittedNetwork):
    """A pairwise model of a table, with scikit-learn's conventions.

    Subclasses say how tables are read, how a model is fitted and what its couplings are called.
    """

    selection: str | Selection | None
    graph: Any
    num_rounds: int
    weighting: str
    generative: bool

    @abstractmethod
    def _read(self, X: Any, sample_weight: Any) -> Table:
        """The table to fit, checked."""

    @abstractmethod
    def _fitter(self, num_sites: int) -> Fitter:
        """How models on given edges are fitted."""

    @abstractmethod
    def _publish_couplings(self, fit: NetworkFit) -> None:
        """Set ``weights_``, ``fields_`` and their standard errors."""

    def _selection(self) -> Selection | None:
        given = self.selection
        return given if given is None or isinstance(given, Selection) else Selection(str(given))

    def fit(self: Self, X: Any, y: Any = None, *, sample_weight: Any = None) -> Self:
        """Select and fit couplings.

        :param X: A data frame, array or tensor, blank where NaN or None.
        :param y: Ignored.
        :param sample_weight: Weights of the rows, ``(N,)``.
        :returns: The fitted network.
        :raises TypeError: If the graph is not undirected.
        :raises ValueError: If columns are not what the network is for, or weights are not
            positive numbers.
        """
        check_counts(num_fills=self.num_fills, num_rounds=self.num_rounds)
        if self.weighting not in ("frequency", "sampling"):
            raise ValueError(
                f"Expected weighting 'frequency' or 'sampling', but got {self.weighting!r}."
            )
        table = self._read(X, sample_weight)
        given = self._given_edges(table.names)
        if self.graph is None:
            _check_pairs_fit(table, physical_memory())
        fitter = self._fitter(len(table.names))
        with seeded(0):  # so that the support does not depend on these draws
            observations = with_fills(
                self._placed(table.values), table.space, table.weights, self.num_fills,
                frequencies=table.weights is not None and self.weighting == "frequency",
                bounded=True,
            )  # fmt: skip
        with seeded(self.random_state):
            select = partial(self._select, fitter=fitter, given=given)
            pairs = torch.triu_indices(len(table.names), len(table.names), 1).T
            filler = fitter.filler(observations, pairs) if given is None else None
            fit = fitter.with_fills(observations, select, self.num_rounds, filler)
            observations = refill(observations, fit.model)
            agreement = None
            if self.generative:
                match = MomentMatching()
                fit, agreement = match(fit, observations, fitter.field_ridge)
            profiles = profiles_of(fitter, observations, fit)
        self.pair_agreement_, self.profiles_ = agreement, profiles
        self.rates_ = self._rates(observations)
        self._publish(X, table, observations, fit)
        self.filler_ = filler if filler is None else filler.energy.requires_grad_(False)
        return self

    def _select(
        self, observations: Observations, *, fitter: Fitter, given: Tensor | None
    ) -> NetworkFit:
        if given is not None:
            return fitter(observations, given)
        selection = self._selection()
        assert selection is not None
        return selection.select(observations, fitter)

    def _rates(self, observations: Observations) -> Any:
        """Shares of each column's categories, ``(D, K)``."""
        mean, (low, high) = observations.encoded_mean(), observations.space.states
        if observations.space.is_binary:
            share = (mean - low) / (high - low)
            mean = torch.stack([1 - share, share], -1)
        return mean.cpu().numpy()

    @property
    def _was_selected(self) -> bool:
        """Whether the data chose the edges."""
        return self.penalty_ is not None

    def _given_edges(self, names: list[Any]) -> Tensor | None:
        if self.graph is None:
            if self._selection() is not None:
                return None
            return torch.triu_indices(len(names), len(names), 1).T
        check_graph(self.graph)
        index = {name: number for number, name in enumerate(names)}
        unknown = [node for node in self.graph.nodes if node not in index]
        if unknown:
            raise ValueError(
                f"Expected a graph on the columns of the data, but {unknown[0]!r} is none of them."
            )
        pairs = [(index[a], index[b]) for a, b in self.graph.edges]
        return torch.tensor(pairs, dtype=torch.long).view(-1, 2)

    def _publish(self, X: Any, table: Table, observations: Observations, fit: NetworkFit) -> None:
        separated = list(fit.separated)
        edges = fit.edges.tolist()
        for first, second in (edges[number] for number in separated[:_NAMED]):
            warnings.warn(separation_warning(table, first, second), stacklevel=3)
        if len(separated) > _NAMED:
            warnings.warn(
                f"{len(separated) - _NAMED} more couplings have no finite estimate either: see "
                "separated_. Rows are few for so many pairs; select edges, or fit fewer.",
                stacklevel=3,
            )
        self.energy_ = fit.energy.requires_grad_(False)
        self.edges_ = fit.edges.cpu().numpy()
        self.separated_ = self.edges_[separated]
        self.penalty_, self.criterion_ = fit.penalty, fit.criterion
        own = isinstance(table.categories[0], list)
        self.categories_ = table.categories if own else np.array(table.categories)
        self.num_missing_, self.num_rows_ = table.num_blank, len(table.values)
        self.patterns_, self.pattern_shares_ = _patterns(table) if table.num_blank else (None, None)
        self.effective_size_ = observations.effective_size
        self.n_features_in_ = len(table.names)
        self.feature_names_in_ = np.array([*table.names, None], dtype=object)[:-1]
        self.kind_ = kind_of(X)
        spread = fit.sandwich
        self.joint_covariance_ = None if spread is None else spread.covariance.cpu().numpy()
        self._publish_couplings(fit)
        self.words_ = table.labels
        self.labels_ = None if table.labels is None else self._known_labels()
        if self.kind_ != "array":
            codes = self._codes(self._read_like(X))
            self.labels_ = labels_of(X, self._columns, codes, self._known_labels())


def _check_pairs_fit(table: Table, memory: float) -> None:
    """Refuse all pairs of so many columns that numbers of them do not fit in the memory.

    Peaks of 62 matrices of binary sites and of 23 of others were measured.
    """
    binary, count = table.space.is_binary, len(table.names)
    width = 1 if binary else table.space.max_categories
    needed = (50 if binary else 20) * (width * count) ** 2 * 8
    if needed > memory:
        most = int(count * (memory / needed) ** 0.5)
        raise ValueError(
            f"Expected at most about {most} columns for all of their pairs to fit in "
            f"{memory / 1e9:.2g} GB, but got {count}, which need {needed / 1e9:.2g} GB. Say which "
            "pairs may couple by graph=, or drop columns."
        )


def _patterns(table: Table) -> tuple[Any, Any]:
    """Which cells are observed together, ``(M, D)``, and how often, ``(M,)``."""
    known, which = np.unique(~table.values.isnan().numpy(), axis=0, return_inverse=True)
    weights = None if table.weights is None else table.weights.numpy()
    counts = np.bincount(which.ravel(), weights)
    return known, counts / counts.sum()
