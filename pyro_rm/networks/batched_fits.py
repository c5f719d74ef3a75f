"""One network fitted to many weightings of the same rows at once: what resampling needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rm.networks.binary_fits import BinaryFits, couplings
from pyro_rm.networks.fitter import SEPARATION_RIDGE
from pyro_rm.networks.imputation import filled
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.randomness import seeded
from pyro_rm.networks.sandwich import LEAST_INFORMATION
from pyro_rm.objectives import Pseudolikelihood, as_objective

_ENTRIES_AT_ONCE = 2**22
_RIDGE = 1e-4  # on squared log odds, where a weighting leaves nothing to learn from
_STEPS, _MOST_ROUNDS = 100, 20
_TOLERANCE = 1e-6  # of the mean gradient
_LEAST_MOVE = 1e-4  # of a log odds


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

        .. note:: A step costs :math:`4 B R D^2` operations for :math:`R` rows and fills; the
            Hessian, which says what is separated, the third power of the number of parameters.
        """
        energy, rows = self.network.energy_, len(self.observations.encoded)
        num_parameters = sum(parameter.numel() for parameter in energy.parameters())
        entries = 4 * rows * self.network.n_features_in_ + num_parameters**2
        parts = weights.to(energy.fields).split(max(1, _ENTRIES_AT_ONCE // entries))
        fits = torch.cat([_Fit(self, part).run() for part in parts])
        count = len(self.network.edges_)
        return fits[:, :count], fits[:, count:]


class _Fit:
    """Fits that start from the network's own estimate, for some weightings."""

    def __init__(self, fits: BatchedFits, weights: Tensor) -> None:
        self.observations, self.network, self.weights = fits.observations, fits.network, weights
        self.energy = energy = fits.network.energy_
        low, high = energy.state_space.states
        self.units = torch.cat([
            torch.full_like(energy.weight, (high - low) ** 2),
            torch.full_like(energy.fields, high - low),
        ])  # fmt: skip
        ridge = _RIDGE * self.units**2
        ridge[: len(energy.weight)] += fits.network.ridge
        self.ridge = ridge.expand(len(weights), -1).clone()
        own = torch.cat([energy.weight, energy.fields])
        self.point = own.expand(len(weights), -1).clone()
        self.proposal = self._log_weights(own[None])[0]

    def run(self) -> Tensor:
        """Parameters, couplings first, ``(B, p)``."""
        fits, count = self._minimize(), len(self.energy.weight)
        variances = torch.linalg.inv(fits.hessians(self.point)).diagonal(dim1=1, dim2=2)
        separated = (variances * self.units**2)[:, :count] > LEAST_INFORMATION
        if separated.any():
            self.ridge[:, :count] += SEPARATION_RIDGE * self.units[:count] ** 2 * separated
            self._minimize()
        return self.point

    def _minimize(self) -> BinaryFits:
        """Fit, and weigh the fills of blanks anew until that changes nothing."""
        for _ in range(_MOST_ROUNDS):
            fits = BinaryFits(
                self.energy,
                self.observations.encoded,
                as_objective(self.network.objective),
                self._row_weights(),
                self.ridge,
                self.observations.active,
            )
            before, size = self.point, float(self.weights.sum(1).min())
            self.point, _ = fits.minimize(before, tolerance=_TOLERANCE * size, max_steps=_STEPS)
            moved = ((self.point - before) * self.units).abs().max()
            if self.observations.datum is None or moved < _LEAST_MOVE:
                break
        return fits

    def _log_weights(self, point: Tensor) -> Tensor:
        """Unnormalized log probabilities of the rows, ``(B, R)``."""
        x, count = self.observations.encoded, len(self.energy.weight)
        felt = x @ couplings(self.energy, point)
        return (0.5 * felt + point[:, None, count:]).mul(x).sum(2)

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
