"""Negative log-likelihoods on Gray-coded planes: exact, or with a stated standard error.

A state is a cell of a square, so that the partition function is an integral over the
square. Strata see every part of it, where uniform draws from all states would miss what a
peaked energy is made of, and then give likelihoods that are too good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_rm.datasets import GrayCode, GrayCodedDensity

_STATES_AT_ONCE = 2**14
_SEED = 20_230
_MOST_BITS = 96


@dataclass(frozen=True)
class Likelihood:
    """A mean negative log-likelihood in nats, its standard error, and log Z."""

    nll: float
    error: float
    log_partition: float


@dataclass(frozen=True)
class ExactEnergies:
    """Energies of all states beside their probabilities: sums without error."""

    energies: Tensor
    probabilities: Tensor

    @staticmethod
    def of(energy: nn.Module, data: GrayCodedDensity) -> ExactEnergies:
        """Evaluate an energy at every state."""
        return ExactEnergies(energies_of(energy, data.states()), data.probabilities())

    def likelihood(self, inverse_temperature: float = 1.0) -> Likelihood:
        """Of the energy times the inverse temperature."""
        energies = inverse_temperature * self.energies
        log_partition = float((-energies).logsumexp(0))
        return Likelihood(float(self.probabilities @ energies) + log_partition, 0.0, log_partition)


@dataclass(frozen=True)
class PlaneEnergies:
    r"""Energies of two random points in each cell of a grid, and of draws from the data.

    With :math:`n` cells of two points the partition function is :math:`2^D` times the mean
    of :math:`e^{-E}`, whose variance is :math:`\sum (f_1 - f_2)^2 / 4 n^2`. The likelihood is
    the entropy plus the mean of :math:`\log p(x) - \log q(x)` over the draws, which varies
    much less than :math:`\log q(x)`.
    """

    strata: Tensor
    draws: Tensor
    log_density: Tensor
    entropy: float
    num_bits: int

    @staticmethod
    def of(
        energy: nn.Module,
        data: GrayCodedDensity,
        *,
        cells_a_side: int = 700,
        num_draws: int = 40_000,
    ) -> PlaneEnergies:
        """Evaluate an energy; every one at the same points, so that differences are paired."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            strata = [
                energies_of(energy, data.code.encode(points))
                for points in strata_points(data.code, cells_a_side)
            ]
            points = data.density.sample(num_draws)
        log_area = 2 * math.log(data.code.cell_width)
        return PlaneEnergies(
            torch.stack(strata),
            energies_of(energy, data.code.encode(points)),
            data.density.density(points).log() + log_area,
            data.density.entropy(data.code.radius) - log_area,
            data.code.num_bits,
        )

    def likelihood(self, inverse_temperature: float = 1.0) -> Likelihood:
        """Of the energy times the inverse temperature."""
        log_partition, error = self.log_partition(inverse_temperature)
        excess = self.log_density + inverse_temperature * self.draws + log_partition
        error = math.hypot(error, float(excess.std()) / math.sqrt(len(excess)))
        return Likelihood(self.entropy + float(excess.mean()), error, log_partition)

    def log_partition(self, inverse_temperature: float = 1.0) -> tuple[float, float]:
        """The logarithm of the partition function and its standard error."""
        log_weights = -inverse_temperature * self.strata
        top = log_weights.max()
        weights = (log_weights - top).exp()
        mean = weights.mean()
        variance = weights.diff(dim=0).square().sum() / 4 / weights.shape[1] ** 2
        log_mean = float(mean.log() + top)
        return log_mean + self.num_bits * math.log(2), float(variance.sqrt() / mean)


def likelihoods(energy: nn.Module, data: GrayCodedDensity) -> ExactEnergies | PlaneEnergies:
    """What likelihoods at any temperature follow from: exact up to 20 bits.

    :raises ValueError: If points in float64 do not have that many bits.
    """
    if data.code.num_bits > _MOST_BITS:
        raise ValueError(
            f"Expected at most {_MOST_BITS} bits, but got {data.code.num_bits}: points in float64 "
            "have no more, and the sum over states would miss most of them."
        )
    return (ExactEnergies if data.code.num_bits <= 20 else PlaneEnergies).of(energy, data)


def strata_points(code: GrayCode, cells_a_side: int) -> list[Tensor]:
    """Two independent points in each cell of a square grid, two of ``(cells, 2)``."""
    ticks = torch.arange(cells_a_side, dtype=torch.float64)
    corners = torch.cartesian_prod(ticks, ticks)
    width = 2 * code.radius / cells_a_side
    return [(corners + torch.rand_like(corners)) * width - code.radius for _ in range(2)]


@torch.no_grad()
def energies_of(energy: nn.Module, states: Tensor) -> Tensor:
    """Energies in float64, some states at a time."""
    return torch.cat([energy(some) for some in states.split(_STATES_AT_ONCE)]).double()
