"""When does it help to look where the gradient points? Noise of gradients along training runs.

The variance of the sampled gradient around the exact one, over the squared norm of the exact
one, of the default objective: uniform, gradient-guided, activity-based and oracle proposals,
with and without replacement, 4, 10 and 50 neighbors. Along runs of the paper's MLP on two spirals
of 32 and 256 bits, and of a sparse Ising model of 1000 sites. Prints Markdown for draws without
replacement: the variance of uniform proposals, and that of others over it; saves a figure.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from torch import Tensor, nn
from tqdm import tqdm

import pyro_rm
from pyro_rm import MarkovSampler
from pyro_rm.datasets import synthetic_density
from pyro_rm.energies import IsingEnergy, MLPEnergy, PairwiseFunction
from pyro_rm.infer import warmup_cosine

PROPOSALS = ("uniform", "gradient", "activity", "oracle")
DESIGNS = ("proportional_to_size", "with_replacement")
NEIGHBORS = (4, 10, 50)
COLORS = dict(zip(PROPOSALS, ("black", "tab:red", "tab:green", "tab:blue"), strict=True))


@dataclass(frozen=True)
class Run:
    """A training run to look at."""

    energy: nn.Module
    batch: Callable[[], Tensor]
    checkpoints: tuple[int, ...]
    rate: float


def spirals(num_bits: int, checkpoints: tuple[int, ...]) -> Run:
    """The paper's MLP on Gray-coded spirals."""
    data = synthetic_density("2spirals", num_bits=num_bits)
    return Run(MLPEnergy(num_bits), lambda: data.sample(128), checkpoints, rate=3e-3)


def sparse_ising(num_sites: int, checkpoints: tuple[int, ...]) -> Run:
    """An Ising model with three strong couplings a site, few of whose sites are active."""
    pairs = torch.randint(num_sites, (2, 3 * num_sites // 2))
    couplings = torch.zeros(num_sites, num_sites)
    couplings[pairs[0], pairs[1]] = 1.5
    couplings = (couplings + couplings.T).fill_diagonal_(0)
    space = pyro_rm.StateSpace(num_sites)
    truth = PairwiseFunction(couplings, torch.full((num_sites,), -3.5), space)
    sampler = MarkovSampler(num_steps=20, initial=torch.zeros(num_sites))
    draws = sampler(truth, sample_shape=(512,))
    return Run(
        IsingEnergy(num_sites),
        lambda: draws[torch.randint(len(draws), (128,))],
        checkpoints,
        rate=3e-2,
    )


def flat_gradient(energy: nn.Module, x: Tensor, **options: Any) -> Tensor:
    """The gradient of the mean loss in all parameters, one vector."""
    loss = pyro_rm.estimate(energy, x, **options).mean()
    gradients = torch.autograd.grad(loss, list(energy.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def relative_variances(energy: nn.Module, x: Tensor, num_repeats: int) -> list[dict[str, Any]]:
    """The variance for every proposal, design and number of neighbors."""
    exact = flat_gradient(energy, x, num_neighbors="all")
    rows = []
    for proposal, design, neighbors in product(PROPOSALS, DESIGNS, NEIGHBORS):
        options = {"proposal": proposal, "design": design, "num_neighbors": neighbors}
        errors = [
            float((flat_gradient(energy, x, **options) - exact).square().sum())
            for _ in range(num_repeats)
        ]
        variance = sum(errors) / num_repeats / float(exact.square().sum())
        rows.append({**options, "variance": variance})
    return rows


def measure(run: Run, num_data: int, num_repeats: int, title: str) -> list[dict[str, Any]]:
    """Train by the default loss, and look at the checkpoints."""
    optimizer = torch.optim.Adam(run.energy.parameters(), lr=run.rate)
    last = run.checkpoints[-1]
    schedule = warmup_cosine(optimizer, last + 1, num_warmup_steps=min(200, last // 5))
    rows = []
    for step in tqdm(range(last + 1), desc=title):
        if step in run.checkpoints:
            x = run.batch()[:num_data]
            rows += [
                {"step": step, **row} for row in relative_variances(run.energy, x, num_repeats)
            ]
        optimizer.zero_grad()
        pyro_rm.estimate(run.energy, run.batch()).mean().backward()
        nn.utils.clip_grad_norm_(run.energy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return rows


def save_figure(table: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """A column for each run, a row for each number of neighbors."""
    figure = Figure(figsize=(4 * len(table), 7.5), layout="constrained")
    axes = figure.subplots(len(NEIGHBORS), len(table), sharex="col", squeeze=False)
    for column, (title, rows) in enumerate(table.items()):
        steps = sorted({row["step"] for row in rows})
        for axis, neighbors in zip(axes[:, column], NEIGHBORS, strict=True):
            for proposal, design in product(PROPOSALS, DESIGNS):
                wanted = (proposal, design, neighbors)
                cells = [
                    row["variance"]
                    for row in rows
                    if (row["proposal"], row["design"], row["num_neighbors"]) == wanted
                ]
                style = "-" if design == DESIGNS[0] else ":"
                label = proposal if design == DESIGNS[0] else None
                axis.plot(range(len(steps)), cells, style, color=COLORS[proposal], label=label)
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_xticks(range(len(steps)), steps)
            axis.set_ylabel(f"{neighbors} neighbors")
        axes[0, column].set_title(title)
        axes[-1, column].set_xlabel("training step")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(PROPOSALS))
    figure.suptitle("Relative variance of the sampled gradient (dotted: with replacement)")
    figure.savefig(file, dpi=120)


def markdown(table: dict[str, list[dict[str, Any]]]) -> str:
    """Without replacement: the variance of uniform proposals, and that of others over it."""
    columns = [(name, 10) for name in PROPOSALS[1:]] + [("gradient", 4), ("gradient", 50)]
    names = [f"{name} / uniform, {neighbors}" for name, neighbors in columns]
    lines = [f"| run | step | uniform, 10 | {' | '.join(names)} |"]
    lines.append("|---" * (3 + len(columns)) + "|")
    for title, rows in table.items():
        known = {
            (row["step"], row["proposal"], row["num_neighbors"]): row["variance"]
            for row in rows
            if row["design"] == DESIGNS[0]
        }
        for step in sorted({row["step"] for row in rows}):
            cells = [
                f"{known[step, name, s] / known[step, 'uniform', s]:.2f}"
                if known[step, "uniform", s] > 1e-9
                else "exact"
                for name, s in columns
            ]
            base = known[step, "uniform", 10]
            lines.append(f"| {title} | {step} | {base:.3g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all three runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/guidance"))
    parser.add_argument("--num-data", type=int, default=32, help="in a gradient")
    parser.add_argument("--num-repeats", type=int, default=10)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, for tests")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.smoke:
        runs = {"16 bits": spirals(16, (0, 2)), "Ising, 30 sites": sparse_ising(30, (0, 2))}
    else:
        runs = {
            "2spirals, 32 bits": spirals(32, (0, 30, 100, 300, 1000, 3000)),
            "2spirals, 256 bits": spirals(256, (0, 30, 100, 300, 1000)),
            "sparse Ising, 1000 sites": sparse_ising(1000, (0, 3, 10, 30, 100, 300)),
        }
    repeats = 2 if arguments.smoke else arguments.num_repeats
    table = {title: measure(run, arguments.num_data, repeats, title) for title, run in runs.items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(table, indent=2))
    save_figure(table, arguments.out / "guidance.png")
    print(markdown(table))


if __name__ == "__main__":
    main()
