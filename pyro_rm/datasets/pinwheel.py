"""The pinwheel: Gaussian arms, sheared by a rotation that grows with their length."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.datasets.plane_densities import PlaneDensity

# Nodes and weights of Gauss and Legendre on [0, 1].
_NODES = torch.tensor([0.5 - math.sqrt(0.15), 0.5, 0.5 + math.sqrt(0.15)], dtype=torch.float64)
_WEIGHTS = torch.tensor([5 / 18, 8 / 18, 5 / 18], dtype=torch.float64)
_NEWTON_STEPS = 12


@dataclass(frozen=True)
class Pinwheel(PlaneDensity):
    r"""Arms :math:`(r, \tau)` around (1, 0), turned by :math:`-(\alpha_k + b e^r)`, scaled.

    A turn keeps :math:`\rho^2 = r^2 + \tau^2`, and areas up to
    :math:`\partial\theta / \partial\psi` of the polar angles before (:math:`\psi`) and after
    (:math:`\theta`), so that the density at a point follows from
    :math:`\psi = \theta + \alpha_k + b e^{\rho \cos\psi}`, solved by Newton's method for each
    arm. Where that has several solutions the one nearest to the arm is taken; the
    others are more than five standard deviations off.

    Example:

        >>> round(float(Pinwheel().cell_masses(torch.linspace(-6, 6, 201)).sum()), 5)
        1.0
    """

    num_arms: int = 5
    radial_scale: float = 0.3
    tangential_scale: float = 0.1
    rate: float = 0.25
    size: float = 2.0

    def _turns(self, device: torch.device | None = None) -> Tensor:
        arms = torch.arange(self.num_arms, dtype=torch.float64, device=device)
        return arms * (2 * math.pi / self.num_arms)

    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, 2)``."""
        check_counts(0, num_samples=num_samples)
        noise = torch.randn(2, num_samples, dtype=torch.float64)
        r, tau = 1 + self.radial_scale * noise[0], self.tangential_scale * noise[1]
        arm = self._turns()[torch.randint(self.num_arms, (num_samples,))]
        angle = -(arm + self.rate * r.exp())
        x = r * angle.cos() - tau * angle.sin()
        return self.size * torch.stack([x, r * angle.sin() + tau * angle.cos()], -1)

    def density(self, points: Tensor) -> Tensor:
        """Densities at points, ``(n, 2)`` to ``(n,)``."""
        x, y = (points.double() / self.size).unbind(-1)
        rho = torch.hypot(x, y)[:, None]
        target = torch.atan2(y, x)[:, None] + self._turns(points.device)
        psi = _wrapped(target + self.rate * rho.exp())
        for _ in range(_NEWTON_STEPS):
            growth = self.rate * (rho * psi.cos()).exp()
            excess = _wrapped(psi - target - growth)
            psi = psi - (excess / (1 + growth * rho * psi.sin())).clamp(-0.5, 0.5)
        r, tau = rho * psi.cos(), rho * psi.sin()
        growth = self.rate * r.exp()
        solved = _wrapped(psi - target - growth).abs() < 1e-9
        u, v = (r - 1) / self.radial_scale, tau / self.tangential_scale
        normal = (-0.5 * (u.square() + v.square())).exp() / (
            2 * math.pi * self.radial_scale * self.tangential_scale
        )
        each = normal / (1 + growth * tau).abs() / self.size**2
        return torch.where(solved, each, 0.0).mean(-1)

    def cell_masses(self, edges: Tensor) -> Tensor:
        """Probabilities of the cells of a square grid, by a rule of nine points a cell."""
        edges = edges.double()
        widths = edges.diff()
        ticks = (edges[:-1, None] + widths[:, None] * _NODES.to(edges.device)).flatten()
        weights = (widths[:, None] * _WEIGHTS.to(edges.device)).flatten()
        masses = self.grid_density(ticks) * weights * weights[:, None]
        n = len(widths)
        return masses.view(n, 3, n, 3).sum((1, 3))


def _wrapped(angle: Tensor) -> Tensor:
    """Angles brought to [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
