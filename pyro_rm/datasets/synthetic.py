"""The seven synthetic densities of discrete energy-based models, on the plane and in bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.datasets.gray_code import GrayCode
from pyro_rm.datasets.noises import BlurredUniformNoise, GaussianNoise, UniformNoise
from pyro_rm.datasets.pinwheel import Pinwheel
from pyro_rm.datasets.plane_densities import Checkerboard, CurveDensity, PlaneDensity

_MOST_CELLS = 2**20


@dataclass(frozen=True)
class GrayCodedDensity:
    r"""A density on the plane, Gray-coded to bits.

    :param density: The density on the plane.
    :param code: How points become bits.

    Example:

        >>> data = synthetic_density("moons", num_bits=32)
        >>> isinstance(data, GrayCodedDensity)
        True
        >>> data.sample(3).shape
        torch.Size([3, 32])
        >>> round(data.entropy(), 2)
        19.72
    """

    density: PlaneDensity
    code: GrayCode

    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, D)``, seeded by torch's global generator.

        :param num_samples: How many: a batch of an endless stream.
        :returns: Zeros and ones of the default floating type.
        """
        check_counts(0, num_samples=num_samples)
        return self.code.encode(self.density.sample(num_samples))

    def states(self) -> Tensor:
        """All states, ``(2 ** D, D)``, cell by cell through the plane."""
        middles = self.code.edges()[:-1] + self.code.cell_width / 2
        return self.code.encode(torch.cartesian_prod(middles, middles))

    def probabilities(self) -> Tensor:
        """The probability of each of :meth:`states`, ``(2 ** D,)``: integrals over cells.

        :raises ValueError: If there are more than a million states.
        """
        if 2**self.code.num_bits > _MOST_CELLS:
            raise ValueError(
                f"Expected at most 20 bits, but got {self.code.num_bits}: the table would be "
                "too large. Use the density on the plane."
            )
        masses = self.density.cell_masses(self.code.edges()).flatten().clamp(min=0)
        return masses / masses.sum()

    def entropy(self) -> float:
        """Entropy of the bits in nats: what no model's negative log-likelihood is below.

        :returns: Exact sums over cells up to 20 bits, and above the differential entropy
            minus the logarithm of a cell's area. The bits are those of a real number: where
            float64 has fewer, zeros take the place of what would be fair coins.
        """
        if 2**self.code.num_bits <= _MOST_CELLS:
            p = self.probabilities()
            return -float(torch.special.xlogy(p, p).sum())
        return self.density.entropy(self.code.radius) - 2 * math.log(self.code.cell_width)


def synthetic_density(name: str, *, num_bits: int = 32) -> GrayCodedDensity:
    """One of the seven densities that discrete energy-based models are compared on [1, 2].

    :param name: ``"2spirals"``, ``"8gaussians"``, ``"checkerboard"``, ``"circles"``,
        ``"moons"``, ``"pinwheel"`` or ``"swissroll"``.
    :param num_bits: Number of bits, even.
    :returns: The density; draws are independent (the generators of [1] space the angles of
        circles and moons evenly in each batch).
    :raises ValueError: If the name is unknown or the number of bits is not even.

    Example:

        >>> synthetic_density("checkerboard", num_bits=6).probabilities().shape
        torch.Size([64])

    **References**

    [1] Will Grathwohl, Ricky Chen, Jesse Bettencourt, Ilya Sutskever, David Duvenaud (2019)
        "FFJORD: free-form continuous dynamics for scalable reversible generative models",
        ICLR.
    [2] Hanjun Dai, Rishabh Singh, Bo Dai, Charles Sutton, Dale Schuurmans (2020) "Learning
        discrete energy-based models via auxiliary-variable local exploration", NeurIPS.
    """
    if name not in _DENSITIES:
        raise ValueError(f"Expected one of {sorted(_DENSITIES)}, but got {name!r}.")
    density, radius = _DENSITIES[name]
    return GrayCodedDensity(density, GrayCode(num_bits, radius))


def synthetic_names() -> list[str]:
    """Names of the seven densities.

    :returns: What :func:`synthetic_density` takes.

    Example:

        >>> synthetic_names()[0]
        '2spirals'
    """
    return list(_DENSITIES)


def _mirrored(half: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Both a curve and its image through the origin."""

    def curve(u: Tensor) -> Tensor:
        return half(2 * u % 1) * torch.where(u < 0.5, 1.0, -1.0)[:, None]

    return curve


def _spiral(v: Tensor) -> Tensor:
    angle = 3 * math.pi * v.sqrt()
    return torch.stack([0.25 - angle * angle.cos(), 0.25 + angle * angle.sin()], -1) / 3


def _circles(u: Tensor) -> Tensor:
    angle = 4 * math.pi * u
    radius = torch.where(u < 0.5, 3.0, 1.5)
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)


def _moons(u: Tensor) -> Tensor:
    angle = math.pi * (2 * u % 1)
    upper = torch.stack([2 * angle.cos() - 1, 2 * angle.sin() - 0.2], -1)
    lower = torch.stack([1 - 2 * angle.cos(), 0.8 - 2 * angle.sin()], -1)
    return torch.where((u < 0.5)[:, None], upper, lower)


def _swissroll(u: Tensor) -> Tensor:
    angle = 1.5 * math.pi * (1 + 2 * u)
    return 0.2 * angle[:, None] * torch.stack([angle.cos(), angle.sin()], -1)


def _ring_of_eight(u: Tensor) -> Tensor:
    angle = (8 * u).floor() * (math.pi / 4)
    return 4 / 1.414 * torch.stack([angle.cos(), angle.sin()], -1)


def _squares(u: Tensor) -> Tensor:
    """Middles of the eight dark squares of side 2."""
    square = (8 * u).floor()
    column, row = square % 4, (square / 4).floor()
    return torch.stack([2 * column - 3, 4 * row - 3 + 2 * (column % 2)], -1)


# With each the radius of its code: the largest coordinate of the published 5 000 draws, plus 2.
_DENSITIES: dict[str, tuple[PlaneDensity, float]] = {
    "2spirals": (
        CurveDensity(_mirrored(_spiral), BlurredUniformNoise(0.5 / 3, 0.1), 1024),
        5.480986093779462,
    ),
    "8gaussians": (CurveDensity(_ring_of_eight, GaussianNoise(0.5 / 1.414), 8), 6.194776570116993),
    "checkerboard": (Checkerboard(_squares, UniformNoise(2.0), 8), 5.999415502938802),
    "circles": (CurveDensity(_circles, GaussianNoise(0.24), 1024), 5.780577950807519),
    "moons": (CurveDensity(_moons, GaussianNoise(0.2), 1024), 5.669443406698866),
    "pinwheel": (Pinwheel(), 5.946059500727896),
    "swissroll": (CurveDensity(_swissroll, GaussianNoise(0.2), 1024), 5.265938593586958),
}
