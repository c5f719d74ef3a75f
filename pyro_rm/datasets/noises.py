"""Symmetric noises on the line, with density and distribution function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Noise(Protocol):
    """A symmetric distribution on the line, in float64."""

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Independent draws."""
        ...

    def density(self, z: Tensor) -> Tensor:
        """The density, elementwise."""
        ...

    def cdf(self, z: Tensor) -> Tensor:
        """The distribution function, elementwise."""
        ...


@dataclass(frozen=True)
class GaussianNoise:
    """Normal noise.

    :param scale: Standard deviation.
    """

    scale: float

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Independent draws."""
        return self.scale * torch.randn(shape, dtype=torch.float64)

    def density(self, z: Tensor) -> Tensor:
        """The density, elementwise."""
        return (-0.5 * (z / self.scale).square()).exp() / (self.scale * math.sqrt(2 * math.pi))

    def cdf(self, z: Tensor) -> Tensor:
        """The distribution function, elementwise."""
        return _normal_cdf(z / self.scale)


@dataclass(frozen=True)
class UniformNoise:
    """Uniform noise.

    :param width: Length of its support, which is centered at zero.
    """

    width: float

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Independent draws."""
        return self.width * (torch.rand(shape, dtype=torch.float64) - 0.5)

    def density(self, z: Tensor) -> Tensor:
        """The density, elementwise."""
        return (z.abs() < self.width / 2).double() / self.width

    def cdf(self, z: Tensor) -> Tensor:
        """The distribution function, elementwise."""
        return (z / self.width + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class BlurredUniformNoise:
    """The sum of uniform and normal noise.

    :param width: Length of the support of the uniform part, which is centered at zero.
    :param scale: Standard deviation of the normal part.
    """

    width: float
    scale: float

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Independent draws."""
        return UniformNoise(self.width).sample(shape) + GaussianNoise(self.scale).sample(shape)

    def density(self, z: Tensor) -> Tensor:
        """The density, elementwise."""
        low, high = ((z + side * self.width / 2) / self.scale for side in (-1, 1))
        return (_normal_cdf(high) - _normal_cdf(low)) / self.width

    def cdf(self, z: Tensor) -> Tensor:
        """The distribution function, elementwise: the integral of that of the normal part."""
        low, high = ((z + side * self.width / 2) / self.scale for side in (-1, 1))
        return (self._integral(high) - self._integral(low)) * (self.scale / self.width)

    def _integral(self, z: Tensor) -> Tensor:
        return z * _normal_cdf(z) + GaussianNoise(1.0).density(z)


def _normal_cdf(z: Tensor) -> Tensor:
    """The standard normal distribution function; much faster than torch.special.ndtr."""
    return 0.5 + 0.5 * torch.erf(z * math.sqrt(0.5))
