"""Effective samples a processor second of Markov steps on networks, in turn.

    OMP_NUM_THREADS=1 python -m benchmarks network_steps

An MLP and a convolutional network are fitted to draws of an Ising model on a lattice; 16 chains,
warmed up by each step itself. Effective samples are of the energy and of the number of ones, the
smaller of the two; medians over repeats.
"""

import argparse
import statistics
import time

import pyro
import torch
from kernels import effective_samples
from torch import Tensor, nn

import pyro_rm
from pyro_rm import StateSpace, Target
from pyro_rm.datasets import lattice
from pyro_rm.energies import MLPEnergy
from pyro_rm.markov_steps import (
    Chains,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    MarkovStep,
    ParallelGibbs,
)
from pyro_rm.networks import simulate_ising

STEPS: tuple[MarkovStep, ...] = (
    GibbsSweep(),
    ParallelGibbs(),
    DiscreteLangevin(0.3, num_proposals=5),
    GibbsWithGradients(num_proposals=20),
)


class Convolutional(nn.Module):
    """Three convolutions on a square of sites."""

    def __init__(self, side: int, width: int = 16) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(width * ((side + 1) // 2) ** 2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Energies."""
        return self.layers(x.reshape(-1, 1, self.side, self.side)).reshape(x.shape[:-1])


def fitted(energy: nn.Module, data: Tensor, num_steps: int) -> Target:
    """The target of an energy after some training."""
    target = Target.of(energy, StateSpace(data.shape[1]))
    optimizer = torch.optim.Adam(energy.parameters(), lr=2e-3)
    for _ in range(num_steps):
        optimizer.zero_grad()
        batch = data[torch.randint(len(data), (32,))]
        pyro_rm.estimate(target, batch, num_neighbors=10).mean().backward()
        optimizer.step()
    energy.requires_grad_(False)
    return target


def rate(target: Target, step: MarkovStep, start: Tensor, seconds: float) -> float:
    """Effective samples a processor second, after a third of that time of burn-in."""
    chains = Chains(target, start, step)
    begun = time.process_time()
    while time.process_time() - begun < seconds / 3:
        chains.run(1, num_adapting=1)
    draws: list[Tensor] = []
    begun = time.process_time()
    while (spent := time.process_time() - begun) < seconds or len(draws) < 8:
        chains.run(1)
        state = chains.encoded
        draws.append(torch.stack([target(state), state.sum(-1)], -1))
    return float(effective_samples(torch.stack(draws).double()).min()) / spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each step and repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--training-steps", type=int, default=400)
    parser.add_argument("--smoke", action="store_true", help="a moment of each, for tests")
    options = parser.parse_args()
    if options.smoke:
        options.seconds, options.repeats, options.training_steps = 0.02, 1, 2
    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    pyro.enable_validation(False)  # as pyro.infer.MCMC does while it runs
    print("| energy | " + " | ".join(repr(step) for step in STEPS) + " |")
    print("|---|" + "---|" * len(STEPS))
    for name, side, make in (
        ("MLP, 100 sites", 10, lambda: MLPEnergy(100, (128, 128))),
        ("convolutional, 256 sites", 16, lambda: Convolutional(16)),
    ):
        spins = simulate_ising(lattice(side, side, coupling=0.3), 1000, num_steps=50)
        target = fitted(make(), (spins.float() + 1) / 2, options.training_steps)
        start = (spins[:16].float() + 1) / 2
        rates: dict[MarkovStep, list[float]] = {step: [] for step in STEPS}
        for _ in range(options.repeats):
            for step in STEPS:
                rates[step].append(rate(target, step, start, options.seconds))
        cells = [f"{statistics.median(rates[step]):.3g}" for step in STEPS]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
