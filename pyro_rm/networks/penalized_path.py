"""The path of penalized ordinal and categorical models, from no coupling to many."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rm.energies import PairwiseFunction
from pyro_rm.energies.ordinal import ScoredFunction
from pyro_rm.estimators import Estimator
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.pairwise_models import PairwiseModel, Sites, independent_model
from pyro_rm.networks.proximal import proximal_minimize


class PathPoint(NamedTuple):
    """A penalized fit: the penalty, the model, and the sites that it connects, ``(E, 2)``."""

    penalty: float
    energy: PairwiseFunction | ScoredFunction
    edges: Tensor


class PenalizedPath:
    r"""Minimizers of the mean objective plus :math:`\lambda \sum_{i<j} \lVert J_{ij} \rVert`.

    Of ordinal and categorical sites: for ordinal ones the penalty is the :math:`\ell_1` norm of the
    couplings; for categorical ones the norm of each pair's matrix of couplings is Euclidean, the
    group :math:`\ell_1` penalty, so that pairs enter as a whole. Fields are not penalized. Fits are
    warm-started from the penalty before.

    :param observations: The data.
    :param estimator: The objective; deterministic.
    :param tolerance: Of the gradient, relative to the penalty.
    :param sites: What couples at ordinal sites.

    .. note:: An iteration costs three matrix products of the data and the couplings. The
        fields are those felt at the mean datum, and coordinates are scaled by the variances
        of their sites, so that rare states do not slow it down.
    """

    def __init__(
        self,
        observations: Observations,
        estimator: Estimator,
        *,
        tolerance: float = 1e-2,
        sites: Sites | None = None,
    ) -> None:
        self.observations, self.estimator, self.tolerance = observations, estimator, tolerance
        space, mean = observations.space, observations.encoded_mean()
        self.model: PairwiseModel | None = None
        if sites is not None:
            self.model = independent_model(space, mean, observations.effective_size, sites)
            self.block = self.model.couples.shape[1]
            coupled = self.model.coordinates_of(mean[None])[0, :, : self.block]
            self.mean = (coupled * self.model.couples).flatten()
        else:
            self.block = space.max_categories
            self.mean = mean.flatten()
        size = self.mean.numel()
        self._upper = self._of_blocks(self.mean.new_ones(space.num_sites, space.num_sites).triu(1))
        if self.model is not None:
            there = self.model.couples.flatten()
            self._upper = self._upper * there * there[:, None]
        variance, own = self._variances()
        pairs = 2 * variance[:, None] * variance
        self._metric = torch.cat([pairs.flatten(), own])
        self._theta = torch.cat([self.mean.new_zeros(size * size), self._independent_fields()])
        self._curvature = 1.0

    def _of_blocks(self, matrix: Tensor) -> Tensor:
        """A number of each pair of sites for all of its couplings."""
        return matrix.repeat_interleave(self.block, 0).repeat_interleave(self.block, 1)

    def largest_penalty(self) -> float:
        """The smallest penalty without any coupling."""
        _, gradient = self._smooth(self._independent(), True)
        assert gradient is not None
        return float(self._norms(gradient[: self._num_pairs]).max())

    def points(self, penalties: list[float]) -> Iterator[PathPoint]:
        """Fits for given penalties, best in decreasing order, each computed when asked for."""
        for penalty in penalties:
            self._theta, self._curvature = proximal_minimize(
                self._smooth,
                partial(self._shrink, penalty=penalty),
                self._theta,
                self._metric,
                tolerance=self.tolerance * penalty,
                curvature=self._curvature / 2,
            )
            norms = self._norms(self._theta[: self._num_pairs])
            yield PathPoint(penalty, self._energy(self._theta), norms.nonzero())

    @property
    def _num_pairs(self) -> int:
        return self.mean.numel() ** 2

    def _variances(self) -> tuple[Tensor, Tensor]:
        """A variance for each column, the same for what couples of a site; and for each field."""
        if self.model is not None:
            basis, shares = self.model.basis, self.observations.encoded_mean()
            moved = basis - shares[:, None] @ basis
            own = (shares[..., None] * moved.square()).sum(1).clamp(min=1e-3)
            coupled = (own[:, : self.block] * self.model.couples).amax(1)
            return coupled.repeat_interleave(self.block), own.flatten()
        spread = (self.mean * (1 - self.mean)).view(-1, self.block).amax(1)
        spread = spread.clamp(min=1e-3).repeat_interleave(self.block)
        return spread, spread

    def _independent_fields(self) -> Tensor:
        """Fields of independent sites that have the data's frequencies."""
        if self.model is not None:
            return self.model.energy.fields.detach().flatten()
        return self.mean.clamp(min=1e-6).log()

    def _independent(self) -> Tensor:
        return torch.cat([self.mean.new_zeros(self._num_pairs), self._independent_fields()])

    def _norms(self, pairs: Tensor) -> Tensor:
        """Norms of the couplings of each pair of sites, ``(D, D)``."""
        sites = self.observations.space.num_sites
        return pairs.view(sites, self.block, sites, self.block).square().sum((1, 3)).sqrt()

    def _shrink(self, point: Tensor, steps: Tensor, *, penalty: float) -> Tensor:
        pairs, fields = point[: self._num_pairs], point[self._num_pairs :]
        size = self.mean.numel()
        norms = self._norms(pairs)
        steps = steps[: self._num_pairs].view(size, size)[:: self.block, :: self.block]
        factors = (1 - penalty * steps / norms.clamp(min=1e-30)).clamp(min=0)
        return torch.cat([pairs * self._of_blocks(factors).flatten(), fields])

    def _energy(self, theta: Tensor) -> PairwiseFunction | ScoredFunction:
        space, size = self.observations.space, self.mean.numel()
        upper = theta[: self._num_pairs].view(size, size)
        couplings = upper + upper.mT
        fields, felt = theta[self._num_pairs :], couplings @ self.mean
        if self.model is not None:
            couples = self.model.couples
            fields = fields.view(len(couples), -1).clone()
            fields[:, : self.block] -= felt.view_as(couples)
            couplings = couplings.view(*couples.shape, *couples.shape)
            return ScoredFunction(couplings, fields, self.model.basis, couples, space)
        fields = fields - felt
        shape = space.encoded_shape
        return PairwiseFunction(couplings.view(*shape, *shape), fields.view(shape), space)

    def _smooth(self, theta: Tensor, with_gradient: bool) -> tuple[float, Tensor | None]:
        energy, space = self._energy(theta), self.observations.space
        couplings = energy.couplings.requires_grad_(with_gradient)
        fields = energy.fields.requires_grad_(with_gradient)
        value = mean_objective(energy, self.observations, self.estimator, backward=with_gradient)
        if not with_gradient:
            return value, None
        assert couplings.grad is not None
        assert fields.grad is not None
        felt, size = fields.grad.view(space.num_sites, -1), self.mean.numel()
        coupled = felt[:, : self.block].flatten()
        matrix = couplings.grad.view(size, size) - torch.outer(coupled, self.mean)
        pairs = (matrix + matrix.mT) * self._upper
        return value, torch.cat([pairs.flatten(), felt.flatten()])


def geometric_penalties(largest: float, *, ratio: float, num_penalties: int) -> list[float]:
    """Penalties in equal ratios, from the largest down to ``ratio`` times it.

    Example:

        >>> geometric_penalties(1.0, ratio=0.01, num_penalties=3)
        [1.0, 0.1, 0.01]
    """
    exponents = [index / (num_penalties - 1) for index in range(num_penalties)]
    return [largest * ratio**exponent for exponent in exponents]
