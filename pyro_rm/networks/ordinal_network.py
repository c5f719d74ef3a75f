"""Networks of ordinal, binary and nominal answers: the front door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.networks.columns import Table
from pyro_rm.networks.contrasts import orthogonal
from pyro_rm.networks.coupled_network import CoupledNetwork
from pyro_rm.networks.fitter import Fitter, NetworkFit
from pyro_rm.networks.intervals import chi_square_tail
from pyro_rm.networks.mixed_tables import read_mixed, read_mixed_like
from pyro_rm.networks.pairwise_models import Sites
from pyro_rm.networks.selection import Selection
from pyro_rm.networks.table_kinds import frame, labeled


class OrdinalNetwork(CoupledNetwork):
    r"""Couplings between ordinal columns, with binary and nominal ones beside them.

    .. math::

        \log p(x) = \sum_{i<j} J_{ij} s_i(x_i) s_j(x_j) + \sum_i \theta_i(x_i) + \text{const}

    The scores :math:`s` of a column go from -1/2 to 1/2 in steps that are equal, or as values or
    declared categories are, so that a coupling is the log odds ratio between the ends of both
    scales, however many steps there are; of binary columns it is that of an
    :class:`~pyro_rm.networks.IsingNetwork` on 0 and 1. Divided by the numbers of steps of both it
    is the coupling of an ordinal Markov random field [1]. Thresholds :math:`\theta` are free, or
    :math:`a s + b s^2`, the model of Blume [2] and Capel [3]. A nominal column couples by a
    matrix, :math:`K - 1` contrasts a site, which enters or not as a whole. No row is dropped for
    its blanks.

    :param kinds: ``"ordinal"``, ``"binary"`` or ``"nominal"``, of all columns or of some by name.
        None: columns of two values are binary, ordered categoricals and numbers ordinal, text
        and other categoricals nominal.
    :param thresholds: ``"free"``, or ``"blume_capel"`` for ordinal columns: two numbers for any
        number of categories, for answers that few give.
    :param selection: How couplings are selected, as of :class:`~pyro_rm.networks.IsingNetwork`,
        like all that follows; None fits all pairs.
    :param graph: A :class:`networkx.Graph` on column names that says which pairs to fit.
    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param ridge: Penalty on squared couplings.
    :param num_fills: The largest number of fills of a row that has blanks.
    :param num_rounds: Rounds of filling and fitting, the second half of them averaged.
    :param weighting: What ``sample_weight`` means, ``"frequency"`` or ``"sampling"``.
    :param random_state: An integer, a NumPy generator or None.
    :param dtype: Floating type to compute in.
    :param device: Where to compute; None: on the host.

    Fitted attributes: ``kinds_`` and ``categories_`` of each column; ``edges_``, ``weights_``,
    ``standard_errors_`` and ``covariance_`` as of an Ising network. The weight of an edge with a
    nominal column is twice the Frobenius norm of its matrix of log probabilities in the zero-sum
    gauge, which of two binary columns is the size of their coupling; see :meth:`edge_table`.
    ``p_values_`` are Wald's tests of each edge. ``fields_`` and ``field_standard_errors_``,
    ``(D, K)``, are thresholds that sum to zero over the categories of a column; ``energy_``, an
    :class:`~pyro_rm.energies.OrdinalEnergy`, has them as coefficients. The others as of an
    Ising network.

    Example:

        >>> import pandas as pd
        >>> mood = torch.randint(5, (400,))
        >>> sleep = (mood + torch.randint(-1, 2, (400,))).clamp(0, 4)
        >>> table = pd.DataFrame({"mood": mood, "sleep": sleep, "pain": torch.randint(3, (400,))})
        >>> network = OrdinalNetwork().fit(table)
        >>> network.kinds_, network.edges_.tolist()
        (['ordinal', 'ordinal', 'ordinal'], [[0, 1]])

    .. note:: A step costs a product of each site's neighbors with themselves, as of binary
        columns, and an exponential a category.

    **References**

    [1] Maarten Marsman, Don van den Bergh, Jonas Haslbeck (2025) "Bayesian analysis of the
        ordinal Markov random field", Psychometrika 90.

    [2] Martin Blume (1966) "Theory of the first-order magnetic phase change in UO2",
        Physical Review 141.

    [3] Hans Capel (1966) "On the possibility of first-order phase transitions in Ising systems of
        triplet ions with zero-field splitting", Physica 32.
    """

    generative = False

    def __init__(
        self,
        *,
        kinds: str | Mapping[Any, str] | None = None,
        thresholds: str = "free",
        selection: str | Selection | None = "ebic",
        graph: Any = None,
        objective: Any = "pseudolikelihood",
        ridge: float = 0.0,
        num_fills: int = 4,
        num_rounds: int = 8,
        weighting: str = "frequency",
        random_state: Any = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> None:
        self.kinds = kinds
        self.thresholds = thresholds
        self.selection = selection
        self.graph = graph
        self.objective = objective
        self.ridge = ridge
        self.num_fills = num_fills
        self.num_rounds = num_rounds
        self.weighting = weighting
        self.random_state = random_state
        self.dtype = dtype
        self.device = device

    def _read(self, X: Any, sample_weight: Any) -> Table:
        table, columns = read_mixed(X, self.kinds, sample_weight)
        self.kinds_ = [column.kind for column in columns]
        self.scores_ = [column.site for column in columns]
        return table

    def _read_like(self, X: Any) -> Tensor:
        return read_mixed_like(X, self.categories_, self._columns)

    @property
    def _sites(self) -> Sites:
        return Sites(self.scores_, thresholds=self.thresholds)

    def _fitter(self, num_sites: int) -> Fitter:
        return Fitter(self._estimator(), ridge=self.ridge, sites=self._sites)

    def _known_labels(self) -> list[list[Any]]:
        return self.categories_

    def _as_given(self, codes: Any) -> Any:
        known = [np.array(own) for own in self.categories_]
        columns = [own[column] for own, column in zip(known, codes.T, strict=True)]
        same = all(column.dtype.kind in "iufb" for column in columns)
        return np.stack([column if same else column.astype(object) for column in columns], 1)

    def _framed(self, codes: Any) -> Any:
        cells = labeled(codes, self.categories_)
        if self.kind_ == "pandas":  # an order that is not in the labels stays with the column
            from pandas import Categorical

            for number, (kind, own) in enumerate(zip(self.kinds_, self.categories_, strict=True)):
                if kind == "ordinal" and any(isinstance(category, str) for category in own):
                    cells[number] = Categorical(cells[number], categories=own, ordered=True)
        return frame(self.kind_, self._columns, cells)

    def _publish_values(self) -> None:
        basis, fields = self._centered(self._model.basis), self.energy_.fields
        self.weights_ = self._weights_of(self.energy_.weight[None])[0].cpu().numpy()
        self.fields_ = (basis @ fields[..., None])[..., 0].cpu().numpy()
        self.standard_errors_, self.p_values_ = np.full((2, len(self.weights_)), np.nan)
        self.field_standard_errors_ = np.full(self.fields_.shape, np.nan)

    def _publish_couplings(self, fit: NetworkFit) -> None:
        self._publish_values()
        self.covariance_ = None
        if fit.sandwich is None:
            return
        covariance = self._of_weights(fit.sandwich.covariance)
        self.covariance_ = covariance.cpu().numpy()
        self.standard_errors_ = covariance.diagonal().sqrt().cpu().numpy()
        basis = self._centered(self._model.basis)
        fields = (basis @ fit.sandwich.of_fields() @ basis.mT).diagonal(dim1=1, dim2=2)
        self.field_standard_errors_ = fields.clamp(min=0).sqrt().cpu().numpy()
        inverse = torch.linalg.pinv(fit.sandwich.of_edges(), hermitian=True)
        couplings = fit.model.coordinates().flatten(1)
        squares = torch.einsum("ea,eab,eb->e", couplings, inverse, couplings)
        self.p_values_ = chi_square_tail(squares, fit.sandwich.num_coordinates).cpu().numpy()
        for attribute in (self.standard_errors_, self.p_values_):
            attribute[list(fit.separated)] = np.nan

    def _centered(self, basis: Tensor) -> Tensor:
        """Functions of the categories, ``(D, K, f)``, less their means."""
        exists = self.energy_.state_space.category_mask(basis.device)[..., None].to(basis)
        return (basis - basis.sum(1, keepdim=True) / exists.sum(1, keepdim=True)) * exists

    def _grams(self) -> tuple[Tensor, Tensor]:
        """Products of scores over the categories of each edge's two sites, ``(E, m, m)``."""
        scores, (first, second) = self._centered(self.energy_.scored().scores), self.edges_.T
        grams = 2 * scores.mT @ scores  # of 1/2 and -1/2 it is 1
        return grams[first], grams[second]

    @property
    def _is_scalar(self) -> Tensor:
        """Whether an edge's coupling is a number, ``(E,)``."""
        return self._model.paired.flatten(1).sum(1) == 1

    def _weights_of(self, couplings: Tensor) -> Tensor:
        couplings = couplings.view(len(couplings), *self.energy_.weight.shape)
        first, second = self._grams()
        norms = (couplings * (first @ couplings @ second)).sum((2, 3)).sqrt()
        return torch.where(self._is_scalar, couplings.sum((2, 3)), norms)

    def _of_weights(self, covariance: Tensor) -> Tensor:
        couplings, (first, second) = self.energy_.weight, self._grams()
        norms = torch.as_tensor(self.weights_).to(couplings).clamp(min=1e-30)[:, None, None]
        slopes = torch.where(
            self._is_scalar[:, None, None],
            self._model.paired.to(couplings),
            first @ couplings @ second / norms,
        ).to(covariance)
        (edges, width), size = slopes.flatten(1).shape, slopes.numel()
        blocks = covariance[:size, :size].view(edges, width, edges, width)
        return torch.einsum("ea,eafb,fb->ef", slopes.flatten(1), blocks, slopes.flatten(1))

    def _unit(self) -> float:
        scales = self.scores_
        spread = np.array([0.5 if isinstance(s, int) else np.std(s) for s in scales])
        first, second = self.edges_[self._is_scalar.cpu().numpy()].T
        return float(1 / np.mean(0.25 / (spread[first] * spread[second]))) if len(first) else 1.0

    @property
    def _coding(self) -> Any:
        return self.kinds_, self.scores_, self.categories_, self.thresholds

    def _coordinates(self) -> tuple[Any, Any, Any]:
        """Couplings as numbers; of a matrix those whose squares sum up to that of its norm.

        They are in the unit in which weights of scales are as large as norms.
        """
        couplings, paired = self.energy_.weight.flatten(1).cpu().double(), self._model.paired
        counts = self._model.couples.sum(1)[torch.as_tensor(self.edges_)].tolist()
        maps = [
            orthogonal(*grams, *count) / self._unit() if max(count) > 1 else own.flatten()[None]
            for *grams, own, count in zip(*self._grams(), paired, counts, strict=True)
        ]
        blocks = [part.cpu().double() for part in maps]
        whole = torch.block_diag(*blocks) if blocks else couplings.new_zeros(0, 0)
        own = torch.as_tensor(self._model_covariance())[: couplings.numel(), : couplings.numel()]
        owners = np.repeat(np.arange(len(maps)), [len(part) for part in maps])
        return (whole @ couplings.flatten()).numpy(), (whole @ own @ whole.mT).numpy(), owners

    def summary(self, *, level: float = 0.9) -> Any:
        """Couplings with their intervals and tests, in the order of ``edges_``.

        :param level: Nominal level of the intervals, between 0 and 1.
        :returns: A ``pandas.DataFrame`` with the columns of other networks, and the ``p_value`` of
            Wald's test. Weights of edges with nominal columns are norms, whose intervals hold
            away from zero: go by the test.
        """
        return super().summary(level=level).assign(p_value=self.p_values_)

    def edge_table(self, source: Any, target: Any) -> Any:
        """What each pair of two columns' categories adds to the log probability.

        :param source: Name of a column.
        :param target: Name of another.
        :returns: A ``pandas.DataFrame``, rows the categories of the source, zero in sum over the
            categories of either column.
        :raises ValueError: If there is no such column.
        """
        from pandas import DataFrame

        self._check_fitted()
        for name in (source, target):
            if name not in self._columns:
                raise ValueError(f"Expected one of {self._columns[:5]}, but got {name!r}.")
        first, second = self._columns.index(source), self._columns.index(target)
        couplings = self.energy_.pairwise().couplings.detach()[first, :, second, :].cpu()
        own, other = self.categories_[first], self.categories_[second]
        part = couplings[: len(own), : len(other)]
        part = part - part.mean(0) - part.mean(1, keepdim=True) + part.mean()
        return DataFrame(part.numpy(), index=own, columns=other)

    def to_networkx(self, *, level: float = 0.9, num_edges: int | None = None) -> nx.Graph:
        """The network as a graph whose nodes are the column names.

        :param level: Nominal level of the intervals, as of ``summary``.
        :param num_edges: The strongest pairs only; None: all pairs that were fitted.
        :returns: Edges have ``weight``, ``standard_error``, ``lower`` and ``upper``; nodes have
            ``kind`` and ``thresholds``, by category.
        :raises ValueError: If the level is out of range.
        """
        graph = self._graph(level, num_edges)
        for number, (name, kind) in enumerate(zip(self._columns, self.kinds_, strict=True)):
            own = dict(zip(self.categories_[number], self.fields_[number].tolist(), strict=False))
            graph.add_node(name, kind=kind, thresholds=own)
        return graph
