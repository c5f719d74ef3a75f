"""Density estimation on real binary data: test log-likelihoods in nats, with their errors.

nltcs (16 sites) is normalized exactly: an RBM with 16 hidden units and an Ising model by the
default loss with all neighbors, beside persistent contrastive divergence and exact maximum
likelihood at equal CPU time. jester (100) and bbc (1058) are bracketed by annealing: an Ising
model and an RBM beside independent sites and Chow-Liu trees. Rates, decays, sizes and stopping
are chosen on the validation part, with the first seed.

    python benchmarks/density.py --data DIR [--sets nltcs jester bbc]
"""

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor, nn

import pyro_rm
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.energies import IsingEnergy, RBMEnergy
from pyro_rm.evaluation import ChowLiuTree, IndependentSites, LogLikelihood, log_likelihood
from pyro_rm.infer import ContrastiveDivergence, train, warmup_cosine
from pyro_rm.markov_steps import BlockGibbs

Loss = Callable[[Tensor], Tensor]
RATES = (0.02, 0.04, 0.08)


def parts(folder: Path, name: str) -> list[Tensor]:
    """Training, validation and test part, (N, D) each."""
    with np.load(folder / "density" / f"{name}.npz", allow_pickle=False) as archive:
        return [
            torch.tensor(np.unpackbits(archive[part], axis=1, count=int(archive["D"]))).float()
            for part in ("train", "valid", "test")
        ]


def as_loss(energy: nn.Module, loss: Any, *, normalized: bool = False) -> Loss:
    """A loss of Pyro's on the model that observes data from an energy, a datum."""

    def model(x: Tensor) -> None:
        pyro.module("energy", energy)
        observed = EnergyModel(energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", NormalizedModel(observed) if normalized else observed, obs=x)

    pyro.clear_param_store()
    program = loss(model, lambda x: None)
    return lambda x: program(x) / len(x)


METHODS: dict[str, Callable[[nn.Module], Loss]] = {
    "pseudolikelihood": lambda e: as_loss(e, pyro_rm.RatioMatchingLoss(num_neighbors="all")),
    "persistent CD": lambda e: as_loss(
        e, ContrastiveDivergence(step=BlockGibbs(), persistent=True, num_chains=512)
    ),
    "exact likelihood": lambda e: as_loss(e, Trace_ELBO(), normalized=True),
}


def at_marginals(energy: nn.Module, data: Tensor) -> nn.Module:
    """Start an Ising model's fields or an RBM's visible biases at the data's frequencies."""
    fields = IndependentSites.fit(data, energy.state_space).fields
    with torch.no_grad():
        (energy.fields if isinstance(energy, IsingEnergy) else energy.visible_bias).copy_(fields)
    return energy


def fit(
    energy: nn.Module,
    loss: Loss,
    data: Tensor,
    held_out: Callable[[], float],
    *,
    num_steps: int,
    rate: float,
    decay: float = 0.0,
    average: float = 0.999,
) -> None:
    """AdamW with warm-up and cosine, averaged parameters, the best on held-out data kept."""
    pairs = [p for name, p in energy.named_parameters() if name not in ("fields", "visible_bias")]
    others = [p for name, p in energy.named_parameters() if name in ("fields", "visible_bias")]
    optimizer = torch.optim.AdamW(
        [{"params": pairs, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}], lr=rate
    )
    train(
        loss,
        optimizer,
        data,
        num_steps=num_steps,
        batch_size=min(512, len(data) // 4),
        schedule=warmup_cosine(optimizer, num_steps, num_warmup_steps=num_steps // 20),
        average=average,
        held_out=held_out,
        evaluate_every=max(1, num_steps // 20),
        progress=False,
    )


def steps_within(
    make: Callable[[nn.Module], Loss], energy: nn.Module, data: Tensor, seconds: float
) -> int:
    """How many training steps of a method fit into a CPU time, by timing a few on a copy."""
    loss = make(copy.deepcopy(energy))
    for repeat in range(13):
        if repeat == 3:
            start = time.process_time()
        loss(data[:512]).backward()
    return int(seconds / (time.process_time() - start) * 10)


def baselines(data: list[Tensor], space: pyro_rm.StateSpace) -> None:
    """Rows of the two closed-form densities, smoothed as is best on the validation part."""
    for kind in (IndependentSites, ChowLiuTree):
        fits = [kind.fit(data[0], space, smoothing=smoothing) for smoothing in (0.1, 1.0, 3.0)]
        best = max(fits, key=lambda density: density.log_prob(data[1]).mean().item())
        valid, test = (best.log_prob(part).mean().item() for part in data[1:])
        print(f"| {kind.__name__} | closed form | | | {valid:.4f} | {test:.4f} | | |", flush=True)


@dataclass(frozen=True)
class Run:
    """What one fit came to."""

    energy: nn.Module
    seconds: float
    valid: float
    test: LogLikelihood


HEADER = (
    "| model | method | steps | CPU s a fit | valid | test, mean (worst) | best | bracket |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(name: str, method: str, steps: int, runs: list[Run]) -> None:
    """Mean, worst and best of a few seeds."""
    tests = [run.test.mean for run in runs]
    bracket = max(run.test.optimistic_mean - run.test.mean for run in runs)
    print(
        f"| {name} | {method} | {steps} | {mean(run.seconds for run in runs):.1f} | "
        f"{mean(run.valid for run in runs):.4f} | {mean(tests):.4f} ({min(tests):.4f}) | "
        f"{max(tests):.4f} | {bracket:.4f} |",
        flush=True,
    )


def nltcs(folder: Path, seconds: float, seeds: int) -> None:
    """Exact test log-likelihoods of every method at equal CPU time."""
    data = parts(folder, "nltcs")
    print(f"\n## nltcs, 16 sites, exact\n\n{HEADER}")
    baselines(data, pyro_rm.StateSpace(16))

    def run(make: Callable[[], nn.Module], method: str, steps: int, rate: float, seed: int) -> Run:
        pyro.set_rng_seed(seed)
        energy = at_marginals(make(), data[0])
        start = time.process_time()
        fit(
            energy,
            METHODS[method](energy),
            data[0],
            lambda: -log_likelihood(energy, data[1]).mean,
            num_steps=steps,
            rate=rate,
        )
        seconds = time.process_time() - start
        valid, test = (log_likelihood(energy, part) for part in data[1:])
        return Run(energy, seconds, valid.mean, test)

    models: dict[str, tuple[Callable[[], nn.Module], list[str], float]] = {
        "RBM, 16 hidden": (lambda: RBMEnergy(16, 16), list(METHODS), seconds),
        "Ising": (lambda: IsingEnergy(16), ["pseudolikelihood", "exact likelihood"], seconds / 3),
    }
    for name, (make, methods, budget) in models.items():
        for method in methods:
            steps = steps_within(METHODS[method], make(), data[0], budget)
            first = {rate: run(make, method, steps, rate, seed=0) for rate in RATES}
            rate = max(RATES, key=lambda rate: first[rate].valid)
            runs = [first[rate], *(run(make, method, steps, rate, s) for s in range(1, seeds))]
            row(name, f"{method}, rate {rate}", steps, runs)


def candidates(name: str) -> dict[str, list[tuple[int, float]]]:
    """Hidden units (0: an Ising model) and weight decays that are compared on validation data."""
    decays = (0.0, 0.1) if name == "jester" else (1.0, 10.0)
    return {
        "Ising": [(0, decay) for decay in decays],
        "RBM": [(hidden, decay) for hidden in (64, 128) for decay in decays],
    }


def wide(folder: Path, name: str, steps: int, seeds: int) -> None:
    """Bracketed test log-likelihoods; the candidate is chosen by validation pseudolikelihood."""
    data = parts(folder, name)
    num_sites = data[0].shape[1]
    print(f"\n## {name}, {num_sites} sites; 1000 temperatures (Ising: 100), 256 chains\n\n{HEADER}")
    baselines(data, pyro_rm.StateSpace(num_sites))

    def trained(hidden: int, decay: float, seed: int) -> tuple[float, nn.Module, float]:
        """Held-out pseudo-log-likelihood times -1, energy, and CPU seconds."""
        pyro.set_rng_seed(seed)
        energy = RBMEnergy(num_sites, hidden) if hidden else IsingEnergy(num_sites)
        energy = at_marginals(energy, data[0])

        @torch.no_grad()
        def objective() -> float:
            return pyro_rm.estimate(energy, data[1], num_neighbors="all").mean().item()

        loss = as_loss(energy, pyro_rm.RatioMatchingLoss(num_neighbors=20 if hidden else "all"))
        rate, start = 0.02 if hidden else 0.01, time.process_time()
        fit(energy, loss, data[0], objective, num_steps=steps, rate=rate, decay=decay)
        return objective(), energy, time.process_time() - start

    for kind, options in candidates(name).items():
        tried = {option: trained(*option, seed=0) for option in options}
        hidden, decay = min(tried, key=lambda option: tried[option][0])
        runs = []
        for seed in range(seeds):
            _, energy, seconds = trained(hidden, decay, seed) if seed else tried[hidden, decay]
            test = log_likelihood(
                energy,
                data[2],
                num_chains=256,
                inverse_temperatures=1000 if hidden else 100,
                num_steps=50,
                progress=False,
            )
            valid = log_likelihood(energy, data[1], partition=test.annealed)
            runs.append(Run(energy, seconds, valid.mean, test))
            print(f"<!-- {kind}, seed {seed}: {test.annealed} -->", flush=True)
        shape = f", {hidden} hidden" if hidden else ""
        row(f"{kind}{shape}", f"pseudolikelihood, decay {decay}", steps, runs)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=["nltcs", "jester", "bbc"])
    parser.add_argument("--seconds", type=float, default=12.0, help="CPU time a fit of nltcs")
    parser.add_argument("--steps", type=int, help="training steps on jester (1500), bbc (500)")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.sets:
        if name == "nltcs":
            nltcs(arguments.data, arguments.seconds, arguments.seeds)
        else:
            steps = arguments.steps or (1500 if name == "jester" else 500)
            wide(arguments.data, name, steps, arguments.seeds)


if __name__ == "__main__":
    main()
