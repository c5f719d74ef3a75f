"""Networks whose edges can be there or not: evidence of edges, covariance of couplings."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.networks.edge_priors import EdgePrior
from pyro_rm.networks.evidence import DEFAULT_SLAB, EdgeEvidence
from pyro_rm.networks.model_covariance import model_covariance
from pyro_rm.networks.network import Network
from pyro_rm.networks.profiles import normal_likelihood
from pyro_rm.networks.randomness import seeded
from pyro_rm.objectives import as_objective


class CoupledNetwork(Network):
    """A network whose edges have a coupling, a number or a matrix, that can be there or not."""

    ridge: float
    weights_: Any
    covariance_: Any
    edges_: Any
    separated_: Any

    @property
    def couplings_(self) -> Any:
        """The couplings as a symmetric matrix, ``(D, D)``, zero where there is no edge."""
        self._check_fitted()
        matrix = np.zeros((self.n_features_in_, self.n_features_in_))
        first, second = self.edges_.T
        matrix[first, second] = matrix[second, first] = self.weights_
        return matrix

    def edge_evidence(
        self,
        *,
        prior: EdgePrior | float = 0.5,
        slab_scale: float | None = None,
        level: float = 0.9,
        num_sweeps: int = 500,
    ) -> EdgeEvidence:
        r"""Bayes factors for and against each edge that was fitted, and couplings averaged over.

        Fit all pairs, by ``selection=None``, or those of a given graph: edges that were selected
        have no estimate under the networks without them.

        :param prior: The prior probability of each edge, or another
            :class:`~pyro_rm.networks.EdgePrior`.
        :param slab_scale: Standard deviation of the couplings that are there; None: 1.6 for states
            0 and 1, which is 0.4 for -1 and 1 and the same prior; for scales of more steps as much
            more as their equally common scores vary less, on average: 3.2 for five points.
        :param level: Nominal level of the intervals.
        :param num_sweeps: Gibbs sweeps, for more than 12 edges.
        :returns: The evidence. That of separated edges is from their profiles, the others fixed;
            NaN under other objectives, and of separated edges of other than binary columns. Where
            a coupling is a matrix, as of nominal columns, each of its orthogonal contrasts has the
            slab of a pair of binary columns.
        :raises ValueError: If edges were selected or have a ridge, or an option is out of range.

        Example:

            >>> from pyro_rm.networks import IsingNetwork
            >>> x = torch.bernoulli(torch.full((500, 3), 0.5))
            >>> x[:, 1] = torch.where(torch.rand(500) < 0.5, x[:, 0], x[:, 1])
            >>> network = IsingNetwork(selection=None).fit(x)
            >>> network.edge_evidence().verdicts(threshold=3)
            ['present', 'absent', 'absent']
        """
        self._check_given_edges()
        slab = DEFAULT_SLAB / self._unit() if slab_scale is None else slab_scale
        estimate, covariance, owners = self._coordinates()
        separated = self._is_separated.nonzero()[0]
        covariance[np.isin(owners, separated)] = 0
        covariance[:, np.isin(owners, separated)] = 0
        profiles = self.profiles_ or [None] * len(separated)
        for edge, profile in zip(separated, profiles, strict=True):
            known = profile is not None
            own = (owners == edge).nonzero()[0]
            moments = normal_likelihood(profile, slab) if known else (np.nan, 1.0)
            estimate[own], covariance[own, own] = moments
        return EdgeEvidence(
            self._columns,
            self.edges_,
            estimate,
            covariance,
            slab_scale=slab,
            owners=owners,
            prior=prior,
            level=level,
            num_sweeps=num_sweeps,
            random_state=self._fixed_state,
        )

    def _check_given_edges(self) -> None:
        """Refuse couplings that were selected or shrunk, whose errors are not those of tests."""
        self._check_fitted()
        if self._was_selected or self.ridge:
            raise ValueError(
                "Expected a network of all pairs or of a given graph without a ridge, but got "
                f"{'selected edges' if self._was_selected else 'ridge=' + str(self.ridge)}. Fit it "
                f"by {type(self).__name__}(selection=None)."
            )

    def _model_covariance(self) -> Any:
        """Covariance of couplings and fields if the model holds."""
        patterns, shares = self.patterns_, self.pattern_shares_
        with seeded(self._fixed_state):
            covariance = model_covariance(
                self._model,
                as_objective(self.objective),
                self.effective_size_,
                patterns=None if patterns is None else torch.as_tensor(patterns),
                shares=None if shares is None else torch.as_tensor(shares),
                num_fills=self.num_fills,
            )
        return covariance.double().cpu().numpy()

    @property
    def _is_separated(self) -> Any:
        """Of each edge, ``(E,)``."""
        return (self.edges_[:, None] == self.separated_).all(2).any(1)

    def _coordinates(self) -> tuple[Any, Any, Any]:
        """Couplings as numbers, ``(P,)``, their covariance if the model holds, and their edges."""
        covariance = self._of_weights(torch.as_tensor(self._model_covariance())).numpy().copy()
        return self.weights_.astype(np.float64), covariance, np.arange(len(self.edges_))

    @abstractmethod
    def _unit(self) -> float:
        """How large a scale of scores makes couplings, inversely; 1 for 0 and 1."""

    @property
    @abstractmethod
    def _coding(self) -> Any:
        """What networks must share whose couplings can be compared."""

    @abstractmethod
    def _weights_of(self, couplings: Tensor) -> Tensor:
        """Weights of the edges, ``(B, E)``, from many energies' couplings."""

    @abstractmethod
    def _publish_values(self) -> None:
        """Set ``weights_`` and ``fields_`` as the energy has them; they have no errors yet."""

    @abstractmethod
    def _of_weights(self, covariance: Tensor) -> Tensor:
        """The covariance of the weights, ``(E, E)``, from that of all parameters."""
