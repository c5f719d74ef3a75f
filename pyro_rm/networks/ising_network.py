"""Ising networks from tables of binary data: the front door."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import product
from statistics import NormalDist
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graph
from pyro_rm.estimators import Estimator
from pyro_rm.markov_steps import ColoredGibbs, MarkovSampler
from pyro_rm.networks.missing_cells import graph_of, refill, with_fills
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.parameters import Parameters
from pyro_rm.networks.sandwich import sandwich
from pyro_rm.networks.selection import IsingFit, Selection, fit_ising
from pyro_rm.networks.tables import BinaryTable, read_binary, read_binary_like
from pyro_rm.objectives import as_objective
from pyro_rm.state_space import StateSpace


class IsingNetwork(Parameters):
    r"""Couplings between binary variables, which of them are there, and how sure one can be.

    :math:`\log p(x) = \sum_{i<j} J_{ij} x_i x_j + \sum_i h_i x_i + \text{const}`; see
    :func:`~pyro_rm.networks.recode` for other conventions. No row is dropped: blank cells are
    filled from the model's own conditionals, and only observed cells enter the objective.

    :param selection: How couplings are selected: a :class:`~pyro_rm.networks.Selection`, or
        ``"ebic"`` or ``"held_out"`` for one with defaults; None fits all pairs.
    :param graph: A :class:`networkx.Graph` on column names that says which pairs to fit;
        nothing is selected then. The way to thousands of variables.
    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param states: ``(0, 1)`` or ``(-1, 1)``; None: as the data are coded.
    :param ridge: :math:`\rho` in a penalty :math:`\rho \sum J^2` on the summed objective of the
        refit, for separated data.
    :param num_fills: Fills of each datum that has blanks. With few of them the selected edges
        depend on the draws.
    :param num_rounds: Rounds of filling and fitting, the second half of them averaged.
    :param weighting: What ``sample_weight`` means: ``"frequency"``, so many equal rows, or
        ``"sampling"``, how much of the population a row stands for.
    :param dtype: Floating type to compute in; ``torch.float32`` halves time and memory.
    :param device: Where to compute; None: on the host. What is fitted is NumPy's in any case.

    Fitted attributes: ``feature_names_in_``, ``n_features_in_``, ``states_``; ``edges_``
    (pairs of column numbers), ``weights_`` and ``standard_errors_`` of these edges (NaN in
    networks with more than 10000 parameters);
    ``fields_`` and ``field_standard_errors_``; ``energy_``, a
    :class:`~pyro_rm.energies.SparseIsingEnergy`; ``penalty_`` and ``criterion_`` of the
    selection; ``num_missing_``; ``separated_``, the edges whose couplings have no finite
    estimate: their weights come from a small ridge, and have no standard error.

    Example:

        >>> import torch
        >>> x = torch.bernoulli(torch.full((500, 3), 0.5))
        >>> x[:, 1] = torch.where(torch.rand(500) < 0.8, x[:, 0], x[:, 1])
        >>> network = IsingNetwork().fit(x)
        >>> network.edges_
        array([[0, 1]])

    .. note:: An iteration of the path costs three matrix products of data and couplings; a
        given graph, two numbers an edge and datum. Randomness (fills, held-out rows, samples)
        is torch's: seed it by :func:`torch.manual_seed`.
    """

    def __init__(
        self,
        *,
        selection: str | Selection | None = "ebic",
        graph: Any = None,
        objective: Any = "pseudolikelihood",
        states: tuple[float, float] | None = None,
        ridge: float = 0.0,
        num_fills: int = 10,
        num_rounds: int = 8,
        weighting: str = "frequency",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> None:
        self.selection = selection
        self.graph = graph
        self.objective = objective
        self.states = states
        self.ridge = ridge
        self.num_fills = num_fills
        self.num_rounds = num_rounds
        self.weighting = weighting
        self.dtype = dtype
        self.device = device

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> IsingNetwork:
        """Select and fit couplings.

        :param X: A data frame, array or tensor of two-valued columns, blank where NaN.
        :param y: Ignored.
        :param sample_weight: Weights of the rows, ``(N,)``.
        :returns: The fitted network.
        :raises TypeError: If the graph is not undirected.
        :raises ValueError: If columns are constant, copies or not binary, or weights are
            not positive numbers.
        """
        check_counts(num_fills=self.num_fills, num_rounds=self.num_rounds)
        if self.weighting not in ("frequency", "sampling"):
            raise ValueError(
                f"Expected weighting 'frequency' or 'sampling', but got {self.weighting!r}."
            )
        table = read_binary(X, self.states, sample_weight)
        space = StateSpace(len(table.names), states=table.states)
        observations = with_fills(
            self._placed(table.values), space, table.weights, self.num_fills,
            frequencies=table.weights is not None and self.weighting == "frequency",
        )  # fmt: skip
        self._publish(table, self._fit(observations, self._given_edges(table.names)))
        return self

    def _estimator(self) -> Estimator:
        return Estimator(self.objective, num_neighbors="all")

    def _given_edges(self, names: list[Any]) -> Tensor | None:
        if self.graph is None:
            if self.selection is not None:
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

    def _select(self, observations: Observations, given: Tensor | None) -> IsingFit:
        estimator = self._estimator()
        if given is not None:
            return fit_ising(observations, given, estimator, ridge=self.ridge)
        selection = self.selection
        if not isinstance(selection, Selection):
            selection = Selection(str(selection))
        return selection(observations, estimator, ridge=self.ridge)

    def _fit(self, observations: Observations, given: Tensor | None) -> IsingFit:
        fit = self._select(observations, given)
        if observations.active is None:
            return fit
        for _ in range(2):  # fills, then the support, from better and better models
            observations = refill(observations, fit.energy)
            fit = self._select(observations, given)
        sums = [torch.zeros_like(p) for p in fit.energy.parameters()]
        counted = range(self.num_rounds // 2, self.num_rounds)
        for number in range(self.num_rounds):
            observations = refill(observations, fit.energy)
            latest = fit_ising(
                observations, fit.energy.edges, self._estimator(),
                ridge=fit.ridge, covariance=False, start=fit.energy,
            )  # fmt: skip
            fit.energy.load_state_dict(latest.energy.state_dict())
            if number in counted:
                sums = [s + p.detach() for s, p in zip(sums, fit.energy.parameters(), strict=True)]
        with torch.no_grad():
            for parameter, total in zip(fit.energy.parameters(), sums, strict=True):
                parameter.copy_(total / len(counted))
        objective = as_objective(self.objective)
        spread = None
        if fit.sandwich is not None:
            spread = sandwich(fit.energy, observations, objective, ridge=fit.ridge)
        return replace(fit, sandwich=spread, objective=latest.objective)

    def _publish(self, table: BinaryTable, fit: IsingFit) -> None:
        energy, spread = fit.energy, fit.sandwich
        for first, second in energy.edges[list(fit.separated)].tolist():
            warnings.warn(
                f"The coupling between {table.names[first]!r} and {table.names[second]!r} has no "
                f"finite estimate{_empty_cells(table, first, second)} (separation). It got a ridge "
                "that bounds it, and no standard error; the others are as without it.",
                stacklevel=3,
            )
        errors = np.full(len(energy.edges) + len(table.names), np.nan)
        if spread is not None:
            errors = spread.covariance.diagonal().sqrt().cpu().numpy()
            errors[list(fit.separated)] = np.nan
        self.energy_ = energy.requires_grad_(False)
        self.edges_ = energy.edges.cpu().numpy()
        self.weights_ = energy.weight.cpu().numpy()
        self.fields_ = energy.fields.cpu().numpy()
        self.standard_errors_ = errors[: len(self.edges_)]
        self.field_standard_errors_ = errors[len(self.edges_) :]
        self.separated_ = self.edges_[list(fit.separated)]
        self.penalty_, self.criterion_ = fit.penalty, fit.criterion
        self.states_ = table.states
        self.num_missing_ = table.num_blank
        self.n_features_in_ = len(table.names)
        self.feature_names_in_ = np.array(table.names, dtype=object)

    @property
    def couplings_(self) -> Any:
        """The couplings as a symmetric matrix, ``(D, D)``, zero where there is no edge."""
        self._check_fitted()
        matrix = np.zeros((self.n_features_in_, self.n_features_in_))
        first, second = self.edges_.T
        matrix[first, second] = matrix[second, first] = self.weights_
        return matrix

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean objective of new data: higher is better.

        :param X: Data with the columns that the network was fitted to.
        :param y: Ignored.
        :returns: The mean log pseudolikelihood of a row under the default objective.
        """
        self._check_fitted()
        table = read_binary_like(X, self.states_, self.feature_names_in_.tolist())
        space = self.energy_.state_space
        observations = with_fills(self._placed(table), space, None, self.num_fills)
        observations = refill(observations, self.energy_, num_steps=10)
        return -mean_objective(self.energy_, observations, self._estimator())

    def sample(self, num_samples: int = 1, *, num_steps: int = 200) -> Any:
        """Draw rows from the fitted model by Gibbs sweeps from random starts.

        :param num_samples: Independent rows.
        :param num_steps: Sweeps; more where couplings are strong.
        :returns: An array, ``(num_samples, D)``, in the states of the data.
        """
        self._check_fitted()
        step = ColoredGibbs.from_graph(graph_of(self.energy_))
        check_counts(0, num_samples=num_samples)
        sampler = MarkovSampler(num_steps, step)
        return sampler(self.energy_, sample_shape=(num_samples,)).cpu().numpy()

    def to_networkx(self, *, level: float = 0.9) -> nx.Graph:
        """The network as a graph whose nodes are the column names.

        Intervals are those of the refit: they do not know that the edges were selected on the
        same data, which favors couplings that came out large.

        :param level: Nominal level of the intervals, between 0 and 1.
        :returns: Nodes have ``field`` and ``standard_error``; edges have ``weight``,
            ``standard_error``, ``lower`` and ``upper``.
        :raises ValueError: If the level is out of range.
        """
        self._check_fitted()
        if not 0 < level < 1:
            raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
        wide = NormalDist().inv_cdf(0.5 + level / 2)
        names, graph = self.feature_names_in_.tolist(), nx.Graph()
        fields = zip(names, self.fields_, self.field_standard_errors_, strict=True)
        for name, field, error in fields:
            graph.add_node(name, field=float(field), standard_error=float(error))
        edges = zip(self.edges_, self.weights_, self.standard_errors_, strict=True)
        for (first, second), weight, error in edges:
            graph.add_edge(
                names[first], names[second],
                weight=float(weight), standard_error=float(error),
                lower=float(weight - wide * error), upper=float(weight + wide * error),
            )  # fmt: skip
        return graph


def _empty_cells(table: BinaryTable, first: int, second: int) -> str:
    """Which pairs of answers no row has, in words."""
    pairs = table.values[:, [first, second]]
    seen = {tuple(row) for row in pairs[~pairs.isnan().any(1)].unique(dim=0).tolist()}
    empty = [pair for pair in product(table.states, repeat=2) if pair not in seen]
    if not empty:
        return ", given the other columns"
    words = (
        f"{table.names[first]!r} = {a:g} with {table.names[second]!r} = {b:g}" for a, b in empty
    )
    return ", as no row has " + " or ".join(words)
