"""Training steps to compare: each takes an energy and a batch, and leaves gradients."""

from __future__ import annotations

import numpy as np
import torch
from sympy.combinatorics.graycode import bin_to_gray
from torch import Tensor, nn

import pyro_rm
from pyro_rm.energies import MLPEnergy
from pyro_rm.energy_protocol import Energy
from pyro_rm.markov_steps import Chains, GibbsWithGradients


def ours(energy: Energy, x: Tensor, num_neighbors: int | str, **options: object) -> None:
    """Our step, with the given options of :func:`pyro_rm.estimate`."""
    pyro_rm.estimate(energy, x, num_neighbors=num_neighbors, **options).mean().backward()


class TrainableSwish(nn.Module):
    """The activation of the published network, one instance for all layers."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return x * torch.sigmoid(self.slope * x)


def published_network(num_sites: int) -> MLPEnergy:
    """Three layers of 256 with a trainable Swish, on inputs in {0, 1}."""
    activation = TrainableSwish()
    return MLPEnergy(num_sites, activation=lambda: activation, centered=False)


def plain(energy: Energy, x: Tensor) -> None:
    """One forward and backward of the batch: what training any model of it costs at least."""
    energy(x).mean().backward()


def arithmetic(energy: MLPEnergy, x: Tensor, num_neighbors: int, *, guided: bool) -> None:
    """What our step cannot avoid: its matrix products and activations, on given numbers.

    The first layer once, the trunk on the data and their neighbors, and if guided the gradient
    in ``x``.
    """
    features = energy.features(x)
    if guided:
        point = features.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy.trunk(point).sum(), point)
        slope @ energy.weight.detach().mT
    energy.trunk(features.repeat(1 + num_neighbors, 1)).mean().backward()


def published(energy: Energy, x: Tensor, num_neighbors: int) -> None:
    """A step as published: Eq. 7 and Eq. 10 of the RMwGGIS paper.

    The weights are part of the graph, so that the proposal is differentiated twice; so is the
    batch, which neighbors are copies of; they are made one drawn dimension at a time.
    """
    point = x.clone().requires_grad_()
    own = energy(point)
    (gradient,) = torch.autograd.grad(own.sum(), point, create_graph=True)
    q = torch.softmax(2 * (2 * point - 1) * gradient, -1)
    drawn = torch.multinomial(q.detach(), num_neighbors, replacement=True)
    rows = torch.arange(len(x), device=x.device)
    neighbors = []
    for column in drawn.T:
        neighbor = point.clone()
        neighbor[rows, column] = 1 - neighbor[rows, column]
        neighbors.append(neighbor)
    others = energy(torch.cat(neighbors)).view(num_neighbors, len(x))
    weights = 1 / (num_neighbors * q.gather(1, drawn).T)
    ((2 * (own - others)).exp() * weights).sum(0).mean().backward()


def site_loop(energy: Energy, x: Tensor) -> None:
    """Full ratio matching by a loop over sites, a backward pass each, so that memory is bounded."""
    for site in range(x.shape[1]):
        neighbor = x.clone()
        neighbor[:, site] = 1 - neighbor[:, site]
        torch.sigmoid(energy(x) - energy(neighbor)).square().mean().backward()


class PersistentContrastiveDivergence:
    """The likelihood's gradient from persistent chains, moved before each step.

    :param chains: The first states, as many as there are data in a batch.
    :param num_moves: Gibbs-with-gradients moves of each chain a step.
    """

    def __init__(self, chains: Tensor, num_moves: int) -> None:
        self.chains, self.num_moves = chains, num_moves
        self.move = GibbsWithGradients()

    def __call__(self, energy: MLPEnergy, x: Tensor) -> None:
        """Take a step."""
        self.chains = Chains(energy, self.chains, self.move).run(self.num_moves).encoded
        (energy(x).mean() - energy(self.chains).mean()).backward()


def gray_coded(points: Tensor, num_bits: int) -> Tensor:
    """Points of the plane as bits, row by row by SymPy's coder of strings, as published.

    :param points: Coordinates in (-1, 1), ``(B, 2)``.
    :param num_bits: Bits for both coordinates together; each has a sign and a Gray-coded size.
    """
    size_bits = num_bits // 2 - 1
    rows = []
    for row in points.double().tolist():
        text = ""
        for coordinate in row:
            number = int(abs(coordinate) * 2**53) << size_bits >> 53
            plain = format(number, f"0{size_bits}b")
            text += "1" if coordinate < 0 else "0"
            text += bin_to_gray(plain)
        rows.append(np.array(list(text), dtype=int))
    return torch.from_numpy(np.array(rows)).to(points)
