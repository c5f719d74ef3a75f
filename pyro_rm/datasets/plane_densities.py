"""Densities on the plane that can be drawn from, evaluated and integrated over cells."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.datasets.noises import Noise

_POINTS_AT_ONCE = 2048


class PlaneDensity(ABC):
    """A density on the plane; everything is in float64.

    Example:

        >>> from pyro_rm.datasets import synthetic_density
        >>> isinstance(synthetic_density("moons").density, PlaneDensity)
        True
    """

    @abstractmethod
    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, 2)``, seeded by torch's global generator."""

    @abstractmethod
    def density(self, points: Tensor) -> Tensor:
        """Densities at points, ``(n, 2)`` to ``(n,)``."""

    @abstractmethod
    def cell_masses(self, edges: Tensor) -> Tensor:
        """Probabilities of the cells of a square grid.

        :param edges: Borders of the cells along each coordinate, ``(n + 1,)``, increasing.
        :returns: Shape ``(n, n)``, the first coordinate leading.
        """

    def entropy(self, radius: float, num_cells: int = 512) -> float:
        r"""Differential entropy :math:`-\int p \log p`, by the midpoint rule.

        :param radius: Half of the side of the square to integrate over.
        :param num_cells: Points along a coordinate.
        :returns: The entropy in nats.
        """
        check_counts(num_cells=num_cells)
        width = 2 * radius / num_cells
        middles = (torch.arange(num_cells, dtype=torch.float64) + 0.5) * width - radius
        p = self.grid_density(middles)
        return -float(torch.special.xlogy(p, p).sum()) * width**2

    def grid_density(self, ticks: Tensor) -> Tensor:
        """Densities at the crossings of a square grid, ``(n,)`` to ``(n, n)``."""
        points = torch.cartesian_prod(ticks, ticks)
        return self.density(points).view(len(ticks), len(ticks))


@dataclass(frozen=True)
class CurveDensity(PlaneDensity):
    r"""Points of a curve at a uniform parameter, each coordinate with independent noise.

    The density is the mixture :math:`\int_0^1 f(x_1 - c_1(u)) f(x_2 - c_2(u)) \, du`. It is
    integrated over the curve by the midpoint rule, exactly where the curve is a step
    function of as many steps. Masses of cells come from the distribution function of the
    noise, so that a grid costs one matrix product.

    :param curve: Maps parameters in [0, 1), ``(n,)``, to points, ``(n, 2)``.
    :param noise: The density :math:`f`.
    :param num_nodes: Nodes of the midpoint rule along the curve.

    Example:

        >>> from pyro_rm.datasets.noises import UniformNoise
        >>> square = CurveDensity(lambda u: torch.zeros(len(u), 2), UniformNoise(2.0), 1)
        >>> square.cell_masses(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]], dtype=torch.float64)
    """

    curve: Callable[[Tensor], Tensor]
    noise: Noise
    num_nodes: int

    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, 2)``."""
        check_counts(0, num_samples=num_samples)
        centers = self.curve(torch.rand(num_samples, dtype=torch.float64))
        return centers + self.noise.sample((num_samples, 2))

    def density(self, points: Tensor) -> Tensor:
        """Densities at points, ``(n, 2)`` to ``(n,)``."""
        centers = self._centers(points.device)
        densities = [
            self.noise.density(some[:, None] - centers).prod(-1).mean(-1)
            for some in points.double().split(_POINTS_AT_ONCE)
        ]
        return torch.cat(densities)

    def grid_density(self, ticks: Tensor) -> Tensor:
        """Densities at the crossings of a square grid, by one matrix product."""
        at = self.noise.density(ticks.double()[:, None, None] - self._centers(ticks.device))
        return at[..., 0] @ at[..., 1].T / self.num_nodes

    def cell_masses(self, edges: Tensor) -> Tensor:
        """Probabilities of the cells of a square grid, by one matrix product."""
        below = self.noise.cdf(edges.double()[:, None, None] - self._centers(edges.device))
        mass = below.diff(dim=0)
        return mass[..., 0] @ mass[..., 1].T / self.num_nodes

    def _centers(self, device: torch.device) -> Tensor:
        numbers = torch.arange(self.num_nodes, dtype=torch.float64, device=device)
        nodes = (numbers + 0.5) / self.num_nodes
        return self.curve(nodes).double()


@dataclass(frozen=True)
class Checkerboard(CurveDensity):
    """A curve density of disjoint squares with uniform noise, whose entropy is closed."""

    def entropy(self, radius: float, num_cells: int = 512) -> float:
        """The logarithm of the area, where the square of this radius holds all of it."""
        return math.log(float(self.num_nodes) / float(self.noise.density(torch.zeros(1))) ** 2)
