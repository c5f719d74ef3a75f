"""Partition functions: what exact sums cost, and whether annealing's two ends contain them.

Part 1 enumerates 24 binary sites for an Ising model, an RBM and an MLP. Part 2 anneals, forward
from independent sites and in reverse from exact samples, for random Ising models and for RBMs with
16 hidden units that are fitted to handwritten digits (784 sites), and prints the exact value beside
the ends, the bounds that fail with probability 0.001, and the seconds.

    python benchmarks/partition.py --data DIR [--part enumeration|annealing]
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import pyro_rm
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy
from pyro_rm.evaluation import (
    IndependentSites,
    annealed_importance_sampling,
    exact_samples,
    log_partition,
)
from pyro_rm.infer import train, warmup_cosine


def binary_digits(folder: Path) -> Tensor:
    """The binarized images, (10000, 784)."""
    with np.load(folder / "images" / "mnist_t10k_bin28.npz", allow_pickle=False) as archive:
        return torch.tensor(np.unpackbits(archive["x"], axis=1, count=784)).float()


def random_ising(num_sites: int, strength: float) -> IsingEnergy:
    """Spins with dense random couplings, the Sherrington-Kirkpatrick model with fields."""
    energy = IsingEnergy(num_sites, states=(-1, 1))
    torch.nn.init.normal_(energy.weight, std=strength / num_sites**0.5)
    torch.nn.init.normal_(energy.fields, std=0.5)
    return energy


def fitted_rbm(images: Tensor, num_steps: int) -> RBMEnergy:
    """An RBM with 16 hidden units, by the default loss with all neighbors."""
    energy = RBMEnergy(784, 16)
    with torch.no_grad():
        energy.visible_bias.copy_(IndependentSites.fit(images, energy.state_space).fields)
    optimizer = torch.optim.Adam(energy.parameters(), lr=1e-2)
    train(
        lambda x: pyro_rm.estimate(energy, x, num_neighbors="all").mean(),
        optimizer,
        images,
        num_steps=num_steps,
        batch_size=128,
        schedule=warmup_cosine(optimizer, num_steps, num_warmup_steps=num_steps // 10),
    )
    return energy


def enumeration(num_sites: int) -> None:
    """Seconds and memory of exact sums."""
    print(f"| energy, {num_sites} sites | log Z | seconds | peak memory, MB |\n|---|---|---|---|")
    rbm = RBMEnergy(num_sites, 100)  # more hidden than visible units: no shorter way
    torch.nn.init.normal_(rbm.weight, std=0.3)
    energies = {
        "Ising": random_ising(num_sites, 1.0),
        "RBM, 100 hidden": rbm,
        "MLP, 256 x 3": MLPEnergy(num_sites),
    }
    for name, energy in energies.items():
        start = time.perf_counter()
        with torch.no_grad():
            value = log_partition(energy).item()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {name} | {value:.4f} | {seconds:.1f} | {peak:.0f} |", flush=True)


def annealing(
    name: str,
    energy: torch.nn.Module,
    base: IndependentSites,
    temperatures: int,
    num_chains: int,
) -> None:
    """One row: the exact value and both ends."""
    exact = log_partition(energy).item()
    samples = exact_samples(energy, num_chains)
    start = time.perf_counter()
    result = annealed_importance_sampling(
        energy,
        base,
        exact_samples=samples,
        num_chains=num_chains,
        inverse_temperatures=temperatures,
        chunk_size=512,
    )
    seconds = time.perf_counter() - start
    low, high = result.bounds(0.001)
    inside = "yes" if low <= exact <= high else "NO"
    ends = " | ".join(
        f"{end.log_partition - exact:+.4f} ± {end.standard_error:.4f} "
        f"({end.effective_sample_size:.0f})"
        for end in (result.lower, result.upper)
    )
    bounds = f"{low - exact:+.3f}, {high - exact:+.3f}"
    print(
        f"| {name} | {exact:.4f} | {ends} | {result.gap:+.4f} | {bounds} | {inside} | "
        f"{seconds:.1f} |",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the data sets; without it, no digits")
    parser.add_argument("--part", choices=["enumeration", "annealing"])
    parser.add_argument("--num-sites", type=int, default=24)
    parser.add_argument("--temperatures", type=int, default=12000, help="for the RBM")
    parser.add_argument("--ising-temperatures", type=int, default=300)
    parser.add_argument("--training-steps", type=int, default=500)
    parser.add_argument("--num-chains", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    chains = arguments.num_chains
    if arguments.part != "annealing":
        torch.manual_seed(0)
        enumeration(arguments.num_sites)
    if arguments.part == "enumeration":
        return
    print(
        f"\n{chains} chains each way, {arguments.temperatures} temperatures (Ising: "
        f"{arguments.ising_temperatures}); ends and bounds minus the exact value\n\n"
        "| model | exact log Z | forward (effective sample size) | reverse, from exact samples | "
        "gap | bounds at 0.001 | contained | seconds |\n|---|---|---|---|---|---|---|---|"
    )
    for seed in range(arguments.seeds):
        for num_sites in (12, arguments.num_sites):
            torch.manual_seed(seed)
            energy = random_ising(num_sites, 1.0)
            base = IndependentSites.uniform(energy.state_space)
            annealing(
                f"Ising, {num_sites} sites", energy, base, arguments.ising_temperatures, chains
            )
        if arguments.data is not None:
            images = binary_digits(arguments.data)
            rbm = fitted_rbm(images, arguments.training_steps)
            base = IndependentSites.fit(images, rbm.state_space)
            annealing("RBM, 784 x 16, digits", rbm, base, arguments.temperatures, chains)


if __name__ == "__main__":
    main()
