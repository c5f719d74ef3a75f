"""Energy evaluations for the gradient error of our default, along training runs.

Our default visits distinct neighbors of the datum. Draws with replacement (Eq. 7 of the RMwGGIS
paper) have a variance in proportion to one over their number, so that the number which reaches
our error follows from the variance at 10. A gradient-guided proposal costs two energies more, one
and its gradient. Once for our objective, and once for the paper's, the squared ratio, at the same
distribution (a fourth of the energy); each error is relative to the norm of the exact gradient of
its own objective. What no proposal can exceed stands beside: both designs on the exact gaps, for
free. So do our neighbors with a control variate, whose number that reaches the error follows from
its variance at as many; it costs three energies more: one and its gradient, both differentiated
again, and a pilot. Prints Markdown and saves the curve.

    python benchmarks/gradient_error.py [--out DIR]
"""

import argparse
import json
import runpy
from itertools import product
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm

import pyro_rm
from pyro_rm.datasets import synthetic_density
from pyro_rm.energies import MLPEnergy
from pyro_rm.infer import warmup_cosine
from pyro_rm.proposals import GradientGuided

flat_gradient = runpy.run_path(str(Path(__file__).with_name("guidance.py")))["flat_gradient"]
NEIGHBORS = (4, 10, 20)
DRAWS = 10
PROPOSALS = {"uniform": 0, "gradient": 2}  # extra energies
OBJECTIVES = ("pseudolikelihood", "squared_ratio")
BOUND = "pseudolikelihood, both on exact gaps"
CONTROL, CONTROL_EXTRA = "our default, control variate", 3


def variance(
    energy: nn.Module, x: Tensor, num_repeats: int, num_neighbors: int, **options: Any
) -> float:
    """Mean squared error of the gradient, over the squared norm of the exact one."""
    objective = options.get("objective", "pseudolikelihood")
    exact = flat_gradient(energy, x, objective=objective, num_neighbors="all")
    errors = [
        (flat_gradient(energy, x, num_neighbors=num_neighbors, **options) - exact).square().sum()
        for _ in range(num_repeats)
    ]
    return float(torch.stack(errors).mean() / exact.square().sum())


def evaluations(energy: MLPEnergy, x: Tensor, num_repeats: int) -> list[dict[str, float]]:
    """Energies a datum that reach the error of our default, by objective and proposal."""
    theirs = {}
    for objective, proposal in product(OBJECTIVES, PROPOSALS):
        scaled, share = energy, 0.1
        if objective == "squared_ratio":
            scaled, share = 0.25 * energy, 0.0  # the paper mixes nothing in
        chosen = GradientGuided(share) if proposal == "gradient" else proposal
        theirs[f"{objective}, {proposal}"] = variance(
            scaled, x, num_repeats, DRAWS,
            objective=objective, proposal=chosen, design="with_replacement",
        )  # fmt: skip
    oracle = {"proposal": "oracle"}
    theirs[BOUND] = variance(energy, x, num_repeats, DRAWS, design="with_replacement", **oracle)
    rows = []
    for neighbors in NEIGHBORS:
        ours = variance(energy, x, num_repeats, neighbors)
        informed = variance(energy, x, num_repeats, neighbors, **oracle)
        needed = {
            name: 1 + DRAWS * value / (informed if name == BOUND else ours) + extra(name)
            for name, value in theirs.items()
        }
        controlled = variance(energy, x, num_repeats, neighbors, control_variate=True)
        sites = x.shape[1]  # variances of distinct neighbors are in proportion to 1/s - 1/sites
        inverse = 1 / sites + (1 / neighbors - 1 / sites) * ours / controlled
        needed[CONTROL] = 1 + max(1.0, 1 / inverse) + CONTROL_EXTRA
        rows.append({
            "our default": 1.0 + neighbors, **needed,
            "variance": ours, "variance, control variate": controlled,
        })  # fmt: skip
    return rows


def extra(name: str) -> int:
    """Energies that the proposal of a row costs."""
    return PROPOSALS.get(name.split(", ")[1], 0)


def measure(name: str, num_bits: int, steps: tuple[int, ...], num_repeats: int) -> list[dict]:
    """Train by our default, and count at some steps."""
    torch.manual_seed(0)
    data, energy = synthetic_density(name, num_bits=num_bits), MLPEnergy(num_bits)
    optimizer = torch.optim.Adam(energy.parameters(), lr=3e-3)
    schedule = warmup_cosine(optimizer, steps[-1] + 1, num_warmup_steps=steps[-1] // 5)
    rows = []
    for step in tqdm(range(steps[-1] + 1), desc=f"{name}, {num_bits} bits"):
        if step in steps:
            counts = evaluations(energy, data.sample(64), num_repeats)
            rows += [{"step": step, **row} for row in counts]
        optimizer.zero_grad()
        pyro_rm.estimate(energy, data.sample(128)).mean().backward()
        nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return rows


def save_figure(table: dict[str, list[dict]], file: Path) -> None:
    """A panel for each run, at the default number of neighbors."""
    figure = Figure(figsize=(4 * len(table), 3.9), layout="constrained")
    for axis, (title, rows) in zip(
        figure.subplots(1, len(table), sharey=True, squeeze=False)[0], table.items(), strict=True
    ):
        rows = [row for row in rows if row["our default"] == 1 + DRAWS]
        for name in (n for n in list(rows[0])[1:] if not n.startswith("variance")):
            ours = name.startswith("our")
            label = name if ours else f"Eq. 7, {name.replace('_', ' ')}"
            style = "-" if ours else "--" if name.startswith("squared") else ":"
            counts = [row[name] for row in rows]
            axis.plot(range(len(rows)), counts, style, marker=".", label=label)
        axis.set(yscale="log", title=title, xlabel="training step")
        axis.set_xticks(range(len(rows)), [row["step"] for row in rows])
        axis.set_yticks(ticks := (1, 2, 5, 10, 20), list(map(str, ticks)))
        axis.minorticks_off()
    figure.axes[0].set_ylabel("energies a datum at equal gradient error")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(file, dpi=120)


def markdown(table: dict[str, list[dict]]) -> str:
    """How many times our energies Eq. 7 needs by its own best proposal: mean over the run."""
    ours = "Eq. 7, our objective"
    columns = (
        "run", "our neighbors", ours, "Eq. 7, squared ratio", f"{ours}, both on exact gaps",
        f"{ours}, ours with a control variate", "variance without it, times that with it",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for (title, rows), neighbors in product(table.items(), NEIGHBORS):
        cells = []
        some = [row for row in rows if row["our default"] == 1 + neighbors]
        theirs = [[f"{o}, {name}" for name in PROPOSALS] for o in OBJECTIVES]
        for names, own in (
            *((names, "our default") for names in (*theirs, [BOUND])), (theirs[0], CONTROL)
        ):  # fmt: skip
            ratios = [min(row[name] for name in names) / row[own] for row in some]
            cells.append(f"{sum(ratios) / len(ratios):.2f} (from {min(ratios):.2f})")
        gains = [row["variance"] / row["variance, control variate"] for row in some]
        cells.append(" ".join(f"{gain:.3g}" for gain in gains))
        lines.append(f"| {title} | {neighbors} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure three runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gradient_error"))
    parser.add_argument("--num-repeats", type=int, default=30)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, for tests")
    arguments = parser.parse_args()
    runs = [("2spirals", 32), ("pinwheel", 32), ("2spirals", 256)]
    steps, repeats = (0, 30, 100, 300, 1000), arguments.num_repeats
    if arguments.smoke:
        runs, steps, repeats = [("2spirals", 32)], (0, 2), 2
    table = {f"{name}, {bits} bits": measure(name, bits, steps, repeats) for name, bits in runs}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(table, indent=2))
    save_figure(table, arguments.out / "gradient_error.png")
    print(markdown(table))


if __name__ == "__main__":
    main()
