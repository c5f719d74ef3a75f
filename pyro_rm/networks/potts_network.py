"""Potts networks from tables of categories: the front door."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.networks.category_tables import read_categories, read_categories_like
from pyro_rm.networks.columns import Table
from pyro_rm.networks.contacts import average_product_correction, coupling_norms
from pyro_rm.networks.contrasts import contrasts
from pyro_rm.networks.fitter import Fitter, NetworkFit
from pyro_rm.networks.gauge import zero_sum_gauge
from pyro_rm.networks.network import Network
from pyro_rm.networks.sandwich import Sandwich
from pyro_rm.networks.selection import Selection
from pyro_rm.networks.sequence_weights import sequence_weights

_FIELD_RIDGE = 0.01


class PottsNetwork(Network):
    r"""Couplings between categorical variables, such as the positions of a protein family.

    :math:`\log p(x) = \sum_{i<j} J_{ij}(x_i, x_j) + \sum_i h_i(x_i) + \text{const}`, fitted
    with a ridge on couplings and a small one on fields. Blank cells are filled from the model's
    own conditionals, as by :class:`IsingNetwork`. Where there are columns of text or categories,
    each column has categories of its own, in the order of its type or of the alphabet:
    ``labels_`` has them. An :class:`~pyro_rm.datasets.Alignment` is a
    table, too: its letters are the categories of every position, of conserved ones as well, and
    come back in samples.

    :param selection: How pairs are selected: a :class:`~pyro_rm.networks.Selection`, or
        ``"ebic"`` or ``"held_out"`` for one with defaults; None fits all pairs.
    :param graph: A :class:`networkx.Graph` on column names that says which pairs to fit.
    :param num_categories: Categories a site: a number, one for each site, or None for as many
        as each column has.
    :param ridge: :math:`\rho` in :math:`\rho \sum_{i<j} \lVert J_{ij} \rVert^2` on the summed
        objective; None: :math:`0.2 (D - 1)` [1], a tenth of it if generative.
    :param identity: Sequences that agree at this share of sites count as one, see
        :func:`~pyro_rm.networks.sequence_weights`; None: all rows count.
    :param num_penalties: Short for ``Selection("held_out", num_penalties=..., ratio=0.05)``, two
        or more; 0: as ``selection`` says.
    :param skip_first: Leave category 0, the gap of an alignment, out of the strengths.
    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param max_steps: Bound on quasi-Newton iterations of the ridge fit.
    :param num_fills: As of :class:`IsingNetwork`, like ``num_rounds``, ``weighting`` and
        ``random_state``.
    :param num_rounds: Rounds of filling and fitting, the second half of them averaged.
    :param weighting: What ``sample_weight`` means, ``"frequency"`` or ``"sampling"``.
    :param generative: Whether to go on from that fit, which is right at each site given the others,
        to one whose samples have the one- and two-site frequencies of the data, by persistent
        chains and with the same ridge; there are no standard errors then. Scores stay those of the
        objective.
    :param random_state: An integer, a NumPy generator or None.
    :param dtype: Floating type to compute in.
    :param device: Where to compute; None: on the host. What is fitted is NumPy's in any case.

    Fitted attributes: ``feature_names_in_``, ``n_features_in_``; ``couplings_``
    ``(D, K, D, K)``, ``fields_`` and ``field_standard_errors_`` ``(D, K)`` in the zero-sum gauge;
    ``strengths_``, Frobenius norms after average product correction; ``categories_``, the codes or
    letters of the data that categories 0, 1, ... stand for, and ``labels_``, what each column of
    a data frame has for them; ``edges_``, the pairs that were fitted, their norms ``weights_`` and
    ``standard_errors_`` (those of the penalized estimate; NaN in networks with more than 4000
    parameters); ``energy_``; ``num_rows_``, ``effective_size_``, ``num_missing_``; ``penalty_``
    and ``criterion_``; ``separated_``; ``rates_`` and ``pair_agreement_``, as of
    :class:`IsingNetwork`.

    Example:

        >>> x = torch.randint(3, (200, 4))
        >>> x[:, 1] = torch.where(torch.rand(200) < 0.7, x[:, 0], x[:, 1])
        >>> network = PottsNetwork().fit(x)
        >>> divmod(int(network.strengths_.argmax()), 4)
        (0, 1)

    .. note:: An evaluation costs two products of the one-hot data and the couplings.

    **References**

    [1] Hetunandan Kamisetty, Sergey Ovchinnikov, David Baker (2013) "Assessing the utility of
        coevolution-based residue-residue contact predictions", PNAS 110(39).
    """

    def __init__(
        self,
        *,
        selection: str | Selection | None = None,
        graph: Any = None,
        num_categories: int | tuple[int, ...] | None = None,
        ridge: float | None = None,
        identity: float | None = None,
        num_penalties: int = 0,
        skip_first: bool = False,
        objective: Any = "pseudolikelihood",
        max_steps: int = 50,
        num_fills: int = 16,
        num_rounds: int = 8,
        weighting: str = "frequency",
        generative: bool = False,
        random_state: Any = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        self.selection = selection
        self.graph = graph
        self.num_categories = num_categories
        self.ridge = ridge
        self.identity = identity
        self.num_penalties = num_penalties
        self.skip_first = skip_first
        self.objective = objective
        self.max_steps = max_steps
        self.num_fills = num_fills
        self.num_rounds = num_rounds
        self.weighting = weighting
        self.generative = generative
        self.random_state = random_state
        self.dtype = dtype
        self.device = device

    def _read(self, X: Any, sample_weight: Any) -> Table:
        table = read_categories(X, self.num_categories, sample_weight)
        if table.weights is not None or self.identity is None:
            return table
        codes = table.values.nan_to_num(table.space.max_categories)
        return table._replace(weights=sequence_weights(codes, identity=self.identity).double())

    def _read_like(self, X: Any) -> Tensor:
        space = self.energy_.state_space
        categories = self.categories_.tolist()
        return read_categories_like(X, categories, space, self._columns, self.words_)

    def _selection(self) -> Selection | None:
        if not self.num_penalties:
            return super()._selection()
        return Selection("held_out", num_penalties=self.num_penalties, ratio=0.05)

    def _fitter(self, num_sites: int) -> Fitter:
        check_counts(max_steps=self.max_steps)
        check_counts(2 if self.num_penalties == 1 else 0, num_penalties=self.num_penalties)
        ridge = (0.02 if self.generative else 0.2) * (num_sites - 1)
        ridge = ridge if self.ridge is None else self.ridge
        return Fitter(
            self._estimator(), ridge=ridge, field_ridge=_FIELD_RIDGE, max_steps=self.max_steps
        )

    def _publish_couplings(self, fit: NetworkFit) -> None:
        energy = self.energy_
        pairs, singles = zero_sum_gauge(energy.couplings, energy.fields, energy.state_space)
        norms = coupling_norms(pairs, skip_first=self.skip_first)
        self.couplings_, self.fields_ = pairs.cpu().numpy(), singles.cpu().numpy()
        self.strengths_ = average_product_correction(norms).cpu().numpy()
        self.weights_ = norms.cpu().numpy()[tuple(self.edges_.T)]
        self.standard_errors_ = np.full(len(self.edges_), np.nan)
        self.field_standard_errors_ = np.full(self.fields_.shape, np.nan)
        if fit.sandwich is not None:
            basis = contrasts(energy.state_space, energy.fields)
            errors = self._errors_of_norms(fit, fit.sandwich, basis)
            errors[list(fit.separated)] = torch.nan
            fields = (basis @ fit.sandwich.of_fields() @ basis.mT).diagonal(dim1=1, dim2=2)
            self.standard_errors_ = errors.cpu().numpy()
            self.field_standard_errors_ = fields.clamp(min=0).sqrt().cpu().numpy()

    def _errors_of_norms(self, fit: NetworkFit, spread: Sandwich, basis: Tensor) -> Tensor:
        """Standard errors of the norms, ``(E,)``, by their gradients in the couplings."""
        tables = basis @ fit.model.coordinates() @ basis.mT
        if self.skip_first:
            tables = tables.clone()
            tables[:, 0] = tables[:, :, 0] = 0
        slopes = (basis.mT @ tables @ basis).flatten(1)
        norms = tables.flatten(1).norm(dim=1).clamp(min=1e-30)
        variances = torch.einsum("ea,eab,eb->e", slopes, spread.of_edges(), slopes)
        return variances.clamp(min=0).sqrt() / norms

    def to_networkx(self, *, level: float = 0.9, num_edges: int | None = None) -> nx.Graph:
        """The network as a graph whose nodes are the column names.

        :param level: Not used: corrected strengths have no intervals; ``summary`` has those of
            the norms.
        :param num_edges: The strongest pairs only; None: all pairs that were fitted.
        :returns: Edges have ``weight``, the corrected strength of the pair.
        """
        self._check_fitted()
        if num_edges is not None:
            check_counts(0, num_edges=num_edges)
        graph = nx.Graph()
        graph.add_nodes_from(self._columns)
        first, second = self.edges_.T
        order = np.argsort(-self.strengths_[first, second], kind="stable")[:num_edges]
        for a, b in self.edges_[order]:
            graph.add_edge(self._columns[a], self._columns[b], weight=float(self.strengths_[a, b]))
        return graph
