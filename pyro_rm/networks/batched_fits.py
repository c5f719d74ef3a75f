"""One network fitted to many weightings of the same rows at once: what resampling needs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rm.energies import OrdinalEnergy, PottsEnergy
from pyro_rm.networks.binary_fits import BinaryFits, couplings
from pyro_rm.networks.fitter import SEPARATION_RIDGE
from pyro_rm.networks.imputation import filled
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.randomness import seeded
from pyro_rm.networks.sandwich import LEAST_INFORMATION, scores_and_curvature
from pyro_rm.networks.site_regressions import SiteRegressions
from pyro_rm.objectives import Pseudolikelihood, as_objective

_ENTRIES_AT_ONCE = 2**22
_RIDGE = 1e-4  # on squared log odds, where a weighting leaves nothing to learn from
_STEPS, _MOST_ROUNDS = 100, 20
_TOLERANCE = 1e-6  # of the mean gradient
_LEAST_MOVE = 1e-4  # of a log odds
_LARGEST_STEP = 3.0  # of a log odds
_ORDINAL_STEPS, _MORE_STEPS = 40, 15
_ORDINAL_TOLERANCE = 1e-5
_GOOD = 0.5  # of a step after the one before: the curvature still serves


def can_be_batched(network: Any) -> bool:
    """Whether :class:`BatchedFits` fits a network: Ising or ordinal, by pseudolikelihood."""
    is_known = isinstance(as_objective(network.objective), Pseudolikelihood)
    return is_known and not isinstance(network.energy_, PottsEnergy)


@dataclass(frozen=True, eq=False)
class BatchedFits:
    """Maximum pseudolikelihood on the edges of a fitted network, for many weightings.

    A bootstrap sample, a permutation of groups and a sample with cases dropped are weights of
    the same rows. Blanks are filled as in the network; the fills are weighed by each fit anew.
    Separated couplings get the ridge that the network's own would get, so that a column that
    is constant in a sample is no error.

    :param network: A fitted Ising or ordinal network.
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
        :returns: Couplings, ``(B, E)``, and fields, ``(B, D)``; of an ordinal network those that
            its energy has, ``(B, E m m)`` and ``(B, D f)``.

        .. note:: A step costs :math:`4 B R D^2` operations for :math:`R` rows and fills; the
            Hessian, which says what is separated, the third power of the number of parameters.
            Ordinal fits come one after the other.
        """
        energy, rows = self.network.energy_, len(self.observations.encoded)
        if isinstance(energy, OrdinalEnergy):
            each = _OneByOne(self)
            fits = torch.stack([each.run(own) for own in weights.to(energy.fields)])
            return fits[:, : energy.weight.numel()], fits[:, energy.weight.numel() :]
        num_parameters = sum(parameter.numel() for parameter in energy.parameters())
        entries = 4 * rows * self.network.n_features_in_ + num_parameters**2
        parts = weights.to(energy.fields).split(max(1, _ENTRIES_AT_ONCE // entries))
        fits = torch.cat([_Fit(self, part).run() for part in parts])
        count = len(self.network.edges_)
        return fits[:, :count], fits[:, count:]


def _row_weights(
    observations: Observations, weights: Tensor, logits: Tensor, proposal: Tensor
) -> Tensor:
    """Weights of rows, ``(B, R)``: those of the data, ``(B, N)``, shared among fills.

    In proportion to the probabilities of the fits, ``(B, R)``, over those that draws came from.
    """
    datum, drawn = observations.datum, observations.drawn
    assert datum is not None
    assert drawn is not None
    logits = logits - torch.where(drawn, proposal, 0.0)
    index = datum.expand(len(logits), -1)
    largest = torch.full_like(weights, -torch.inf).scatter_reduce(1, index, logits, "amax")
    odds = (logits - largest[:, datum]).exp()
    totals = torch.zeros_like(weights).scatter_add_(1, index, odds)
    return weights[:, datum] * odds / totals[:, datum]


class _OneByOne:
    """Newton steps from an ordinal network's own estimate, for a weighting after the other."""

    def __init__(self, fits: BatchedFits) -> None:
        own = fits.network._model
        self.energy, self.observations = copy.deepcopy(own.energy), fits.observations
        self.regressions = SiteRegressions(PairwiseModel(self.energy, own.edges), fits.observations)
        self.start = self.regressions.parameters().clone()
        self.paired = own.paired.flatten()
        self.ridge = torch.full_like(self.start, _RIDGE)
        self.ridge[: len(self.paired)] += fits.network.ridge
        self.proposal = -self.energy(self.observations.encoded)
        objective, model = as_objective(fits.network.objective), self.regressions.model
        self.curvature = scores_and_curvature(model, fits.observations, objective)[1]
        self.lost = self.curvature - self.regressions.hessian()

    def run(self, weights: Tensor) -> Tensor:
        """Parameters, couplings first, ``(p,)``, for weights ``(N,)``."""
        point, count, ridge = self.start.clone(), len(self.paired), self.ridge.clone()
        hessian = self._steps(point, weights, ridge, _ORDINAL_STEPS)
        while True:
            variances = torch.linalg.inv(hessian).diagonal()[:count]
            separated = (variances > LEAST_INFORMATION) & self.paired
            separated &= ridge[:count] < SEPARATION_RIDGE
            if not separated.any():
                return point
            ridge[:count] += SEPARATION_RIDGE * separated
            hessian = self._steps(point, weights, ridge, _MORE_STEPS)

    def _steps(self, point: Tensor, weights: Tensor, ridge: Tensor, num_steps: int) -> Tensor:
        bent, total, before = torch.diag(2 * ridge), weights.sum(), torch.inf
        hessian: Tensor | None = self.curvature * total + bent
        for _ in range(num_steps):
            self.energy.weight.copy_(point[: len(self.paired)].view_as(self.energy.weight))
            self.energy.fields.copy_(point[len(self.paired) :].view_as(self.energy.fields))
            self.regressions.reweigh(self._of_rows(weights))
            if hessian is None:
                hessian = self.regressions.hessian() + self.lost * total + bent
            slope = self.regressions.look()[1] + 2 * ridge * point
            step = torch.linalg.solve(hessian, slope)
            size = float(step.abs().max())
            point -= step * min(1.0, _LARGEST_STEP / size if size else 1.0)
            if size < _ORDINAL_TOLERANCE:
                break
            if size > _GOOD * before or size > 1:
                hessian = None
            before = size
        return self.regressions.hessian() + self.lost * total + bent

    def _of_rows(self, weights: Tensor) -> Tensor:
        if self.observations.datum is None:
            return weights
        logits = -self.energy(self.observations.encoded)
        return _row_weights(self.observations, weights[None], logits[None], self.proposal)[0]


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
        bound = SEPARATION_RIDGE * self.units[:count] ** 2
        while True:
            variances = torch.linalg.inv(fits.hessians(self.point)).diagonal(dim1=1, dim2=2)
            separated = (variances * self.units**2)[:, :count] > LEAST_INFORMATION
            separated &= self.ridge[:, :count] < bound
            if not separated.any():
                return self.point
            self.ridge[:, :count] += bound * separated
            fits = self._minimize()

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
        if self.observations.datum is None:
            return self.weights
        logits = self._log_weights(self.point)
        return _row_weights(self.observations, self.weights, logits, self.proposal)
