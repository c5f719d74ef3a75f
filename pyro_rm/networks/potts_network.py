"""Potts networks from tables of categories: the front door."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energies import PottsEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.markov_steps import GibbsSweep, MarkovSampler
from pyro_rm.networks.contacts import average_product_correction, coupling_norms
from pyro_rm.networks.gauge import zero_sum_gauge
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.parameters import Parameters
from pyro_rm.networks.penalized_path import PenalizedPath, geometric_penalties
from pyro_rm.networks.refit import refit
from pyro_rm.networks.sequence_weights import sequence_weights
from pyro_rm.networks.tables import read_categories, read_columns_like, row_weights, some_columns

_FIELD_RIDGE = 0.01


class PottsNetwork(Parameters):
    r"""Couplings between categorical variables, such as the positions of a protein family.

    :math:`\log p(x) = \sum_{i<j} J_{ij}(x_i, x_j) + \sum_i h_i(x_i) + \text{const}`, fitted
    with a ridge on couplings and a small one on fields.

    :param num_categories: Categories a site: a number, one for each site, or None for as many
        as each column has.
    :param ridge: :math:`\rho` in :math:`\rho \sum_{i<j} \lVert J_{ij} \rVert^2` on the summed
        objective; None: :math:`0.2 (D - 1)` [1].
    :param identity: Sequences that agree at this share of sites count as one, see
        :func:`~pyro_rm.networks.sequence_weights`; None: all rows count.
    :param num_penalties: Fit selected pairs only: the group :math:`\ell_1` path over so many
        penalties (two or more), the one with the best held-out objective, and a refit with the
        ridge. 0 fits all pairs.
    :param skip_first: Leave category 0, the gap of an alignment, out of the strengths.
    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param max_steps: Bound on quasi-Newton iterations of the ridge fit.
    :param dtype: Floating type to compute in.
    :param device: Where to compute; None: on the host. What is fitted is NumPy's in any case.

    Fitted attributes: ``feature_names_in_``, ``n_features_in_``; ``couplings_``
    ``(D, K, D, K)`` and ``fields_`` ``(D, K)`` in the zero-sum gauge; ``strengths_``, Frobenius
    norms after average product correction; ``categories_``, the codes of the data that categories
    0, 1, ... stand for; ``edges_``, the pairs that were fitted; ``energy_``;
    ``effective_size_``; ``penalty_``.

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
        num_categories: int | tuple[int, ...] | None = None,
        ridge: float | None = None,
        identity: float | None = None,
        num_penalties: int = 0,
        skip_first: bool = False,
        objective: Any = "pseudolikelihood",
        max_steps: int = 50,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        self.num_categories = num_categories
        self.ridge = ridge
        self.identity = identity
        self.num_penalties = num_penalties
        self.skip_first = skip_first
        self.objective = objective
        self.max_steps = max_steps
        self.dtype = dtype
        self.device = device

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> PottsNetwork:
        """Fit couplings and fields.

        :param X: Integer codes from 0, ``(N, D)``: a data frame, array or tensor.
        :param y: Ignored.
        :param sample_weight: Weights of the rows, ``(N,)``, instead of ``identity``.
        :returns: The fitted network.
        :raises ValueError: If a column does not hold codes, or has a single one, or weights are
            not positive numbers.
        """
        check_counts(max_steps=self.max_steps)
        check_counts(2 if self.num_penalties == 1 else 0, num_penalties=self.num_penalties)
        values, names, space, categories = read_categories(X, self.num_categories)
        weights = row_weights(sample_weight, len(values))
        if weights is None and self.identity is not None:
            weights = sequence_weights(values, identity=self.identity)
        total = float(len(values) if weights is None else weights.sum())
        observations = Observations.of(self._placed(values), space, weights)
        edges, self.penalty_ = self._edges(observations)
        ridge = 0.2 * (space.num_sites - 1) if self.ridge is None else self.ridge
        energy = PottsEnergy(space.num_sites, space.num_categories).to(observations.weights)
        with torch.no_grad():  # the independent model; unseen categories as half a datum
            energy.fields.copy_((observations.encoded_mean() + 0.5 / total).log())
        _train_only(energy, edges)
        refit(
            energy, observations, self._estimator(),
            ridge=ridge, field_ridge=_FIELD_RIDGE,
            size=total, max_steps=self.max_steps,
        )  # fmt: skip
        self._publish(energy.requires_grad_(False), edges, names)
        self.effective_size_, self.categories_ = total, np.array(categories)
        return self

    def _estimator(self) -> Estimator:
        return Estimator(self.objective, num_neighbors="all")

    def _edges(self, observations: Observations) -> tuple[Tensor, float | None]:
        """The pairs to fit, and the penalty that selected them."""
        num_sites = observations.space.num_sites
        if not self.num_penalties:
            return torch.triu_indices(num_sites, num_sites, 1).T, None
        training, validation = observations.split(0.2)
        path = PenalizedPath(training, self._estimator(), tolerance=0.05)
        penalties = geometric_penalties(
            path.largest_penalty(), ratio=0.05, num_penalties=self.num_penalties
        )
        scores = [
            mean_objective(point.energy, validation, self._estimator())
            for point in path.points(penalties)
        ]
        best = min(range(len(scores)), key=scores.__getitem__)
        *_, last = PenalizedPath(observations, self._estimator(), tolerance=0.05).points(
            penalties[: best + 1]
        )
        return last.edges, last.penalty

    def _publish(self, energy: PottsEnergy, edges: Tensor, names: list[Any]) -> None:
        pairs, singles = zero_sum_gauge(energy.couplings, energy.fields, energy.state_space)
        norms = coupling_norms(pairs, skip_first=self.skip_first)
        self.energy_ = energy
        self.couplings_, self.fields_ = pairs.cpu().numpy(), singles.cpu().numpy()
        self.strengths_ = average_product_correction(norms).cpu().numpy()
        self.edges_ = edges.cpu().numpy()
        self.n_features_in_ = len(names)
        self.feature_names_in_ = np.array(names, dtype=object)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean objective of new data: higher is better.

        :param X: Codes with the columns that the network was fitted to.
        :param y: Ignored.
        :returns: The mean log pseudolikelihood of a row under the default objective.
        """
        self._check_fitted()
        space = self.energy_.state_space
        values = read_columns_like(X, self.feature_names_in_.tolist())
        known = torch.as_tensor(self.categories_, dtype=values.dtype)
        codes = torch.searchsorted(known, values).clamp(max=len(known) - 1)
        new = (known[codes] != values).any(0)
        if new.any():
            raise ValueError(
                f"Expected the codes {self.categories_.tolist()} of the fit, but got others in "
                f"{some_columns(self.feature_names_in_.tolist(), new)}."
            )
        values = read_categories(codes, space.categories).values
        observations = Observations.of(self._placed(values), space)
        return -mean_objective(self.energy_, observations, self._estimator())

    def sample(self, num_samples: int = 1, *, num_steps: int = 200) -> Any:
        """Draw rows from the fitted model by Gibbs sweeps from random starts.

        :param num_samples: Independent rows.
        :param num_steps: Sweeps; more where couplings are strong.
        :returns: Codes as in the data, ``(num_samples, D)``.
        """
        self._check_fitted()
        check_counts(0, num_samples=num_samples)
        sampler = MarkovSampler(num_steps, GibbsSweep())
        draws = sampler(self.energy_, sample_shape=(num_samples,))
        return self.categories_[draws.cpu().numpy()]

    def to_networkx(self, *, num_edges: int | None = None) -> nx.Graph:
        """The network as a graph whose nodes are the column names.

        :param num_edges: The strongest pairs only; None: all pairs that were fitted.
        :returns: Edges have ``weight``, the corrected strength of the pair.
        """
        self._check_fitted()
        if num_edges is not None:
            check_counts(0, num_edges=num_edges)
        names, graph = self.feature_names_in_.tolist(), nx.Graph()
        graph.add_nodes_from(names)
        first, second = self.edges_.T
        order = np.argsort(-self.strengths_[first, second], kind="stable")[:num_edges]
        for a, b in self.edges_[order]:
            graph.add_edge(names[a], names[b], weight=float(self.strengths_[a, b]))
        return graph


def _train_only(energy: PottsEnergy, edges: Tensor) -> None:
    """Keep the couplings of all other pairs at zero."""
    sites, k = energy.fields.shape
    kept = energy.weight.new_zeros(sites, sites)
    kept[edges.amin(1), edges.amax(1)] = 1
    mask = kept.repeat_interleave(k, 0).repeat_interleave(k, 1)
    energy.weight.register_hook(lambda gradient: gradient * mask)
