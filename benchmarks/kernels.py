"""Effective samples a second of the Markov kernels, side by side.

Two targets: the Ising model on a 20 x 20 periodic lattice near its critical temperature, and an
RBM trained on binary images (with --data). All kernels start at the same chains, warmed up by
ColoredGibbs or BlockGibbs, and run for the same processor time of one thread. The effective
sample size is the smallest over the statistics of a target, of all chains together. Below about a
hundred effective samples a figure is an order of magnitude.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import networkx as nx
import numpy as np
import pyro
import torch
from pyro.infer import SVI
from pyro.ops.stats import autocovariance
from torch import Tensor
from tqdm import tqdm, trange

from pyro_rm import ContrastiveDivergence
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import PairwiseFunction, RBMEnergy
from pyro_rm.markov_steps import (
    BlockGibbs,
    Chains,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    MarkovStep,
    ParallelTempering,
)
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

Statistics = Callable[[Tensor], Tensor]  # chains to numbers, batch + (n,)
Row = dict[str, str | float]
STEP_SIZES = (0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0)


def lattice(coupling: float, size: int = 20) -> tuple[PairwiseFunction, ColoredGibbs]:
    """The Ising model on a periodic lattice, and its checkerboard step."""
    graph = nx.grid_2d_graph(size, size, periodic=True)
    adjacency = torch.tensor(nx.to_numpy_array(graph), dtype=torch.float32)
    space = StateSpace(size * size, states=(-1, 1))
    energy = PairwiseFunction(coupling * adjacency, torch.zeros(size * size), space)
    return energy, ColoredGibbs.from_graph(graph)


def trained_rbm(images: Tensor, num_hidden: int, num_steps: int) -> RBMEnergy:
    """An RBM fitted by persistent contrastive divergence."""
    energy = RBMEnergy(images.shape[1], num_hidden)
    mean = images.mean(0).clamp(0.01, 0.99)
    energy.visible_bias.data = mean.logit()

    def model(x: Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    def guide(x: Tensor) -> None:
        pass

    loss = ContrastiveDivergence(5, step=BlockGibbs(), persistent=True, num_chains=100)
    optimizer = pyro.optim.Adam({"lr": 0.003})
    svi = SVI(model, guide, optimizer, loss=loss)
    for _ in trange(num_steps, desc="train RBM"):
        svi.step(images[torch.randint(len(images), (100,))])
    return energy.requires_grad_(False)


def langevin(energy: Callable[..., Tensor], space: StateSpace, chains: Tensor) -> DiscreteLangevin:
    """The Langevin step whose acceptance is closest to the optimal 0.574."""
    best, nearest = DiscreteLangevin(STEP_SIZES[0]), math.inf
    for size in STEP_SIZES:
        moved = Chains(Target.of(energy, space), chains, DiscreteLangevin(size)).run(20)
        distance = abs(float(moved.acceptance.mean()) - 0.574)
        if distance < nearest:
            best, nearest = DiscreteLangevin(size, num_proposals=20), distance
    return best


def effective_samples(draws: Tensor) -> Tensor:
    """Effective sample sizes of statistics, ``(draws, chains, n)``, by Geyer's monotone sequence.

    The estimator of Stan and Pyro, which also sees chains that disagree, without the memory that
    grows with the square of the draws.
    """
    count, chains = draws.shape[:2]
    covariance = autocovariance(draws, dim=0).mean(1) * count / (count - 1)
    within = covariance[0]
    total = within * (count - 1) / count + draws.mean(0).var(0)
    correlation = 1 - (within - covariance) / total
    pairs = correlation[: count // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).long().cumprod(0) * pairs
    times = 2 * positive.cummin(0).values.sum(0) - 1
    return chains * count / times


def measure(
    energy: Callable[..., Tensor],
    space: StateSpace,
    step: MarkovStep,
    chains: Tensor,
    statistics: Statistics,
    seconds: float,
) -> Row:
    """Run a kernel for some time, after a quarter of it to warm up."""
    run = Chains(Target.of(energy, space), chains, step)
    start = time.process_time()
    while time.process_time() - start < seconds / 4:
        run.run(1)
    seen, accepted = [], 0.0
    start = time.process_time()
    while (elapsed := time.process_time() - start) < seconds or len(seen) < 8:
        run.run(1)
        seen.append(statistics(run.encoded))
        accepted += float(run.acceptance.mean())
    draws = torch.stack(seen).double()
    smallest = float(effective_samples(draws).min())
    return {
        "steps": len(seen),
        "milliseconds a step": 1e3 * elapsed / len(seen),
        "acceptance": accepted / len(seen),
        "effective samples": smallest,
        "effective samples a second": smallest / elapsed,
    }


def compare(
    title: str,
    energy: Callable[..., Tensor],
    space: StateSpace,
    steps: Sequence[MarkovStep],
    chains: Tensor,
    statistics: Statistics,
    seconds: float,
) -> list[Row]:
    """One row a kernel, printed as a table."""
    rows = []
    for step in tqdm(steps, desc=title):
        found = measure(energy, space, step, chains, statistics, seconds)
        rows.append({"kernel": name_of(step), **found})
    print(f"\n{title}, {len(chains)} chains\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        cells = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        print("| " + " | ".join(cells) + " |")
    return rows


def name_of(step: MarkovStep) -> str:
    """A short name."""
    if isinstance(step, ColoredGibbs):
        return f"ColoredGibbs ({step.num_colors} colors)"
    if isinstance(step, ParallelTempering):
        return f"ParallelTempering({name_of(step.step)}, {step.num_replicas} temperatures)"
    return repr(step)


def warm(energy: Callable[..., Tensor], space: StateSpace, step: MarkovStep, count: int) -> Tensor:
    """Sixteen chains after some steps from random states."""
    low, high = space.states
    chains = low + (high - low) * torch.randint(2, (16, space.num_sites)).float()
    for _ in range(count):
        chains = step(energy, space, chains).encoded
    return chains


def compare_on_lattice(coupling: float, seconds: float, warmup: int) -> list[Row]:
    """All kernels that fit, on the lattice: energy and absolute magnetization."""
    energy, colored = lattice(coupling)
    space = energy.state_space
    chains = warm(energy, space, colored, warmup)

    def statistics(x: Tensor) -> Tensor:
        return torch.stack([energy(x), x.mean(-1).abs()], -1)

    betas = tuple(np.linspace(1.0, 0.7, 8).tolist())
    steps = [
        GibbsSweep(),
        colored,
        GibbsWithGradients(num_proposals=100),
        langevin(energy, space, chains),
        ParallelTempering(colored, betas),
    ]
    title = f"Ising, 20 x 20 periodic lattice, J = {coupling} (critical: 0.4407)"
    return compare(title, energy, space, steps, chains, statistics, seconds)


def compare_on_rbm(energy: RBMEnergy, seconds: float, warmup: int) -> list[Row]:
    """All kernels that fit, on an RBM: free energy, active sites, and each hidden unit's odds."""
    space = energy.state_space
    chains = warm(energy, space, BlockGibbs(), warmup)

    def statistics(x: Tensor) -> Tensor:
        scalars = torch.stack([energy(x), x.sum(-1)], -1)
        return torch.cat([scalars, energy.hidden_logits(x).sigmoid()], -1)

    betas = tuple(np.linspace(1.0, 0.6, 8).tolist())
    steps = [
        BlockGibbs(),
        GibbsSweep(),
        GibbsWithGradients(num_proposals=100),
        langevin(energy, space, chains),
        ParallelTempering(BlockGibbs(), betas),
    ]
    title = f"RBM, {space.num_sites} x {energy.bias.numel()}"
    return compare(title, energy, space, steps, chains, statistics, seconds)


def load_images(path: Path) -> Tensor:
    """Binary images from packed bits: arrays ``x`` and ``D``."""
    with np.load(path, allow_pickle=False) as archive:
        bits = np.unpackbits(archive["x"], axis=1, count=int(archive["D"]))
    return torch.tensor(bits, dtype=torch.float32)


def main() -> None:
    """Print the tables; write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="packed binary images (npz with x and D)")
    parser.add_argument("--targets", nargs="+", choices=["lattice", "rbm"], default=["lattice"])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of each kernel")
    parser.add_argument("--warmup", type=int, default=2000, help="steps before all kernels")
    parser.add_argument("--coupling", type=float, default=0.44)
    parser.add_argument("--num-hidden", type=int, default=16)
    parser.add_argument("--training-steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    pyro.set_rng_seed(0)
    torch.set_num_threads(1)
    result: dict[str, list[Row]] = {}
    if "rbm" in arguments.targets:
        if arguments.data is None:
            parser.error("expected --data for the target rbm")
        images = load_images(arguments.data)
        rbm = trained_rbm(images, arguments.num_hidden, arguments.training_steps)
    pyro.enable_validation(False)  # as pyro.infer.MCMC does while it runs
    seconds, warmup = arguments.seconds, arguments.warmup
    if "lattice" in arguments.targets:
        result["lattice"] = compare_on_lattice(arguments.coupling, seconds, warmup)
    if "rbm" in arguments.targets:
        result["rbm"] = compare_on_rbm(rbm, seconds, warmup)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
