"""One network fitted to many weightings of the same rows at once: what resampling needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rm.networks.fitter import SEPARATION_RIDGE
from pyro_rm.networks.imputation import filled
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.randomness import seeded
from pyro_rm.networks.sandwich import LEAST_INFORMATION
from pyro_rm.objectives import Pseudolikelihood, as_objective

_ENTRIES_AT_ONCE = 2**22
_RIDGE = 1e-4  # on squared log odds, where a weighting leaves nothing to learn from
_LARGEST_STEP = 3.0  # of a log odds
_STEPS, _MORE_STEPS = 40, 15
_TOLERANCE = 1e-5


def can_be_batched(network: Any) -> bool:
    """Whether a network is one that :class:`BatchedFits` fits: Ising, by pseudolikelihood."""
    is_known = isinstance(as_objective(network.objective), Pseudolikelihood)
    return is_known and bool(network.energy_.state_space.is_binary)


@dataclass(frozen=True, eq=False)
class BatchedFits:
    """Maximum pseudolikelihood on the edges of a fitted network, for many weightings.

    A bootstrap sample, a permutation of groups and a sample with cases dropped are weights of
    the same rows. Blanks are filled as in the network; the fills are weighed by each fit anew.
    Separated couplings get the ridge that the network's own would get, so that a column that
    is constant in a sample is no error.

    :param network: A fitted Ising network.
    :param observations: The rows, with fills.
    """

    network: Any
    observations: Observations

    @classmethod
    def of(cls, network: Any, values: Tensor) -> BatchedFits:
        """Fits of rows with values as the network has them, ``(N, D)``, NaN where blank."""
        model = network._model
        values = network._placed(values)
        with seeded(network._fixed_state), torch.no_grad():
            if values.isnan().any():
                return cls(network, filled(model, values, network.num_fills))
            return cls(network, Observations.of(values, model.space))

    @torch.no_grad()
    def __call__(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Fit.

        :param weights: Weights of the rows, ``(B, N)``, counts for instance.
        :returns: Couplings, ``(B, E)``, and fields, ``(B, D)``.

        .. note:: A step costs :math:`B R D^3` operations for :math:`R` rows and fills, and the
            third power of the number of parameters.
        """
        energy, rows = self.network.energy_, len(self.observations.encoded)
        num_parameters = sum(parameter.numel() for parameter in energy.parameters())
        entries = 2 * rows * self.network.n_features_in_ + num_parameters**2
        parts = weights.to(energy.fields).split(max(1, _ENTRIES_AT_ONCE // entries))
        fits = torch.cat([_Newton(self, part).run() for part in parts])
        count = len(self.network.edges_)
        return fits[:, :count], fits[:, count:]


class _Newton:
    """Newton steps from the network's own estimate, for some weightings."""

    def __init__(self, fits: BatchedFits, weights: Tensor) -> None:
        self.energy, self.observations = fits.network.energy_, fits.observations
        self.x, self.weights = self.observations.encoded, weights
        self.edges = torch.as_tensor(fits.network.edges_, device=weights.device)
        low, high = self.energy.state_space.states
        self.scale = high - low
        self.response = (self.x - low) / self.scale
        self.inputs = torch.cat([self.x, self.x.new_ones(len(self.x), 1)], 1)
        self.products = (self.inputs[:, :, None] * self.inputs[:, None, :]).flatten(1)
        own = torch.cat([self.energy.weight, self.energy.fields])
        self.point = own.expand(len(weights), -1).clone()
        units = self.x.new_full((len(self.edges),), self.scale**2)
        self.units = torch.cat([units, self.x.new_full((self.x.shape[1],), self.scale)])
        ridge = _RIDGE * self.units**2
        ridge[: len(self.edges)] += fits.network.ridge
        self.ridge = ridge.expand(len(weights), -1).clone()
        self.proposal = self._log_weights(own[None])[0]

    def run(self) -> Tensor:
        """Parameters, couplings first, ``(B, p)``."""
        hessian = self._steps(_STEPS)
        count, variances = len(self.edges), torch.linalg.inv(hessian).diagonal(dim1=1, dim2=2)
        separated = (variances * self.units**2)[:, :count] > LEAST_INFORMATION
        if separated.any():
            self.ridge[:, :count] += SEPARATION_RIDGE * self.scale**4 * separated
            self._steps(_MORE_STEPS)
        return self.point

    def _steps(self, num_steps: int) -> Tensor:
        for _ in range(num_steps):
            gradient, hessian = self._derivatives()
            step = torch.linalg.solve(hessian, gradient)
            size = (step * self.units).abs().amax(1, keepdim=True)
            self.point -= step * (_LARGEST_STEP / size).clamp(max=1)
            if size.max() < _TOLERANCE:
                break
        return hessian

    def _couplings(self, point: Tensor) -> Tensor:
        sites, (first, second) = self.x.shape[1], self.edges.unbind(1)
        matrix = point.new_zeros(len(point), sites, sites)
        matrix[:, first, second] = matrix[:, second, first] = point[:, : len(self.edges)]
        return matrix

    def _log_weights(self, point: Tensor) -> Tensor:
        """Unnormalized log probabilities of the rows, ``(B, R)``."""
        felt = torch.einsum("rd,bde->bre", self.x, self._couplings(point))
        return (0.5 * felt + point[:, None, len(self.edges) :]).mul(self.x).sum(2)

    def _row_weights(self) -> Tensor:
        """Weights of rows, ``(B, R)``: those of the data, shared among fills."""
        datum, drawn = self.observations.datum, self.observations.drawn
        if datum is None:
            return self.weights
        assert drawn is not None
        logits = self._log_weights(self.point) - torch.where(drawn, self.proposal, 0.0)
        index = datum.expand(len(logits), -1)
        largest = torch.full_like(self.weights, -torch.inf).scatter_reduce(1, index, logits, "amax")
        odds = (logits - largest[:, datum]).exp()
        totals = torch.zeros_like(self.weights).scatter_add_(1, index, odds)
        return self.weights[:, datum] * odds / totals[:, datum]

    def _derivatives(self) -> tuple[Tensor, Tensor]:
        """Gradient, ``(B, p)``, and Hessian, ``(B, p, p)``, of the penalized sum."""
        weights, count = self._row_weights()[:, :, None], len(self.edges)
        if self.observations.active is not None:
            weights = weights * self.observations.active
        fields = torch.einsum("rd,bde->bre", self.x, self._couplings(self.point))
        fields += self.point[:, None, count:]
        chances = (self.scale * fields).sigmoid()
        slopes = weights * self.scale * (chances - self.response)
        felt = torch.einsum("brd,re->bde", slopes, self.inputs)
        first, second = self.edges.unbind(1)
        pairs = felt[:, first, second] + felt[:, second, first]
        gradient = torch.cat([pairs, felt[:, :, -1]], 1) + 2 * self.ridge * self.point
        bends = weights * self.scale**2 * chances * (1 - chances)
        return gradient, self._hessian(bends) + torch.diag_embed(2 * self.ridge)

    def _hessian(self, bends: Tensor) -> Tensor:
        (batch, _, sites), count = bends.shape, len(self.edges)
        result = bends.new_zeros(batch, count + sites, count + sites)
        for site in range(sites):
            own = (self.edges == site).any(1).nonzero().flatten()
            others = torch.cat([self.edges[own].sum(1) - site, own.new_tensor([sites])])
            index = torch.cat([own, own.new_tensor([count + site])])
            blocks = (bends[:, :, site] @ self.products).view(batch, sites + 1, sites + 1)
            result[:, index[:, None], index] += blocks[:, others[:, None], others]
        return result
