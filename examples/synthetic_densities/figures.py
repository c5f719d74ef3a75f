"""The data, the learned density and draws from the model, side by side."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pyro_rm.datasets import GrayCodedDensity
from synthetic_densities.plane_likelihood import energies_of

_PIXELS = 256


def save_figure(
    energy: nn.Module, data: GrayCodedDensity, samples: Tensor, title: str, file: Path
) -> None:
    """Save three panels."""
    radius = data.code.radius
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    panels = figure.subplots(1, 3)
    for axis, name, bits in (
        (panels[0], "data", data.sample(len(samples))),
        (panels[2], "samples", samples),
    ):
        x, y = data.code.decode(bits).unbind(-1)
        axis.plot(x.numpy(), y.numpy(), ",", color="black", alpha=0.6)
        axis.set_title(name)
    extent = (-radius, radius, -radius, radius)
    panels[1].imshow(learned_density(energy, data).T.numpy(), origin="lower", extent=extent)
    panels[1].set_title("learned density")
    for axis in panels:
        axis.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    figure.suptitle(title)
    figure.savefig(file, dpi=120)


def learned_density(energy: nn.Module, data: GrayCodedDensity) -> Tensor:
    """Densities at random points of the pixels of the square, up to a factor."""
    ticks = torch.arange(_PIXELS, dtype=torch.float64)
    corners = torch.cartesian_prod(ticks, ticks)
    points = (2 * (corners + torch.rand_like(corners)) / _PIXELS - 1) * data.code.radius
    energies = energies_of(energy, data.code.encode(points))
    return (energies.min() - energies).exp().view(_PIXELS, _PIXELS)
