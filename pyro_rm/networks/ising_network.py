"""Ising networks from tables of binary data: the front door."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.networks.columns import Table
from pyro_rm.networks.coupled_network import CoupledNetwork
from pyro_rm.networks.fitter import Fitter, NetworkFit
from pyro_rm.networks.selection import Selection
from pyro_rm.networks.tables import read_binary, read_binary_like


class IsingNetwork(CoupledNetwork):
    r"""Couplings between binary variables, which of them are there, and how sure one can be.

    :math:`\log p(x) = \sum_{i<j} J_{ij} x_i x_j + \sum_i h_i x_i + \text{const}`; see
    :func:`~pyro_rm.networks.recode` for other conventions. No row is dropped: blank cells are
    filled from the model's own conditionals, and only observed cells enter the objective. Columns
    may hold numbers, booleans, yes and no, two ordered categories, or, all of them the same, two
    words, of which the first in the alphabet counts as 0: ``labels_`` says so.

    :param selection: How couplings are selected: a :class:`~pyro_rm.networks.Selection`, or
        ``"ebic"`` or ``"held_out"`` for one with defaults; None fits all pairs.
    :param graph: A :class:`networkx.Graph` on column names that says which pairs to fit;
        nothing is selected then. The way to thousands of variables.
    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param states: ``(0, 1)`` or ``(-1, 1)``; None: as the data are coded.
    :param ridge: :math:`\rho` in a penalty :math:`\rho \sum J^2` on the summed objective of the
        refit, for separated data.
    :param num_fills: The largest number of fills of a row that has blanks. Where these have no
        more joint values, all of them are used, weighted by the model: nothing is random then.
    :param num_rounds: Rounds of filling and fitting, the second half of them averaged.
    :param weighting: What ``sample_weight`` means: ``"frequency"``, so many equal rows, or
        ``"sampling"``, how much of the population a row stands for.
    :param generative: Whether to go on from that fit, which is right at each site given the others,
        to one whose samples have the one- and two-site frequencies of the data, by persistent
        chains and with the same ridge; there are no standard errors then. Scores stay those of the
        objective.
    :param random_state: An integer gives the same answers each time and leaves torch's generator
        alone; a NumPy generator, the ones that follow; None: torch's global generator. What is
        said of a fitted network (scores, probabilities, imputed cells) is not random.
    :param dtype: Floating type to compute in; ``torch.float32`` halves time and memory.
    :param device: Where to compute; None: on the host. What is fitted is NumPy's in any case.

    Fitted attributes: ``feature_names_in_``, ``n_features_in_``, ``states_``; ``edges_``
    (pairs of column numbers), ``weights_`` and ``standard_errors_`` of these edges (NaN in
    networks with more than 10000 parameters); ``covariance_`` of the weights, ``(E, E)``;
    ``fields_`` and ``field_standard_errors_``; ``joint_covariance_`` of the weights and then the
    fields, ``(E + D, E + D)``; ``energy_``, a
    :class:`~pyro_rm.energies.SparseIsingEnergy`; ``categories_``, the two states, and
    ``labels_``, what each column of a data frame or of text has for them; ``penalty_`` and
    ``criterion_`` of the selection; ``rates_``, shares of each column's states in the data,
    ``(D, 2)``; ``pair_agreement_``, Pearson's correlation of the connected correlations of pairs in
    samples with those in the data, if it is generative, else None; ``num_rows_``,
    ``effective_size_``, ``num_missing_``; ``separated_``, the edges whose couplings have no finite
    estimate: their weights come from a small ridge, and have no standard error.

    Example:

        >>> import torch
        >>> x = torch.bernoulli(torch.full((500, 3), 0.5))
        >>> x[:, 1] = torch.where(torch.rand(500) < 0.8, x[:, 0], x[:, 1])
        >>> network = IsingNetwork().fit(x)
        >>> network.edges_
        array([[0, 1]])

    .. note:: An iteration of the path costs three matrix products of data and couplings; a
        given graph, two numbers an edge and datum.
    """

    def __init__(
        self,
        *,
        selection: str | Selection | None = "ebic",
        graph: Any = None,
        objective: Any = "pseudolikelihood",
        states: tuple[float, float] | None = None,
        ridge: float = 0.0,
        num_fills: int = 16,
        num_rounds: int = 8,
        weighting: str = "frequency",
        generative: bool = False,
        random_state: Any = None,
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
        self.generative = generative
        self.random_state = random_state
        self.dtype = dtype
        self.device = device

    @property
    def states_(self) -> tuple[float, float]:
        """The two states of the data."""
        self._check_fitted()
        return self.energy_.state_space.states

    def _read(self, X: Any, sample_weight: Any) -> Table:
        return read_binary(X, self.states, sample_weight)

    def _read_like(self, X: Any) -> Tensor:
        return read_binary_like(X, self.states_, self._columns, self.words_)

    def _fitter(self, num_sites: int) -> Fitter:
        return Fitter(self._estimator(), ridge=self.ridge)

    def _unit(self) -> float:
        low, high = self.states_
        return (high - low) ** 2

    @property
    def _coding(self) -> Any:
        return self.states_, self.words_

    def _weights_of(self, couplings: Tensor) -> Tensor:
        return couplings

    def _publish_values(self) -> None:
        self.weights_ = self.energy_.weight.cpu().numpy()
        self.fields_ = self.energy_.fields.cpu().numpy()
        self.standard_errors_ = np.full(len(self.weights_), np.nan)
        self.field_standard_errors_ = np.full(len(self.fields_), np.nan)

    def _of_weights(self, covariance: Tensor) -> Tensor:
        return covariance[: len(self.edges_), : len(self.edges_)]

    def _publish_couplings(self, fit: NetworkFit) -> None:
        self._publish_values()
        self.covariance_ = None
        if fit.sandwich is not None:
            self.covariance_ = self._of_weights(fit.sandwich.covariance).cpu().numpy()
            errors = fit.sandwich.covariance.diagonal().sqrt().cpu().numpy()
            errors[list(fit.separated)] = np.nan
            self.standard_errors_, self.field_standard_errors_ = np.split(errors, [len(fit.edges)])
