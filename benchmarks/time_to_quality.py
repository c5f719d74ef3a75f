"""Quality at equal processor time: 16-bit densities, where the partition function is exact.

An MLP of three layers of 128 learns from batches of 128 fresh draws, by our default step, by the
step as published, by persistent contrastive divergence and by full ratio matching in a loop over
sites. Each gets the same processor seconds, whatever it does with them; Adam's rate warms up and
follows a cosine over that time. What is reported is the exact Kullback-Leibler divergence from the
data to the model, whose energy is taken at its objective's temperature. Each is shown at the
better of two rates, which is chosen by that divergence itself. Prints Markdown and saves the curve.

    python benchmarks/time_to_quality.py [--out DIR]
"""

import argparse
import json
import math
import runpy
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from pyro_rm.datasets import GrayCodedDensity, synthetic_density
from pyro_rm.energies import MLPEnergy
from pyro_rm.objectives import SquaredRatio

OPPONENTS = runpy.run_path(str(Path(__file__).with_name("opponents.py")))
BITS, BATCH, NEIGHBORS = 16, 128, 10
RATES = (3e-3, 1e-2)
PERSISTENT = "PCD, 10 Gibbs-with-gradients moves"
STEPS: dict[str, Callable[..., None]] = {
    "our step (default)": partial(OPPONENTS["ours"], num_neighbors=NEIGHBORS),
    "published step, on our network": partial(OPPONENTS["published"], num_neighbors=NEIGHBORS),
    PERSISTENT: OPPONENTS["PersistentContrastiveDivergence"],
    "full ratio matching, loop over sites": OPPONENTS["site_loop"],
}
KAPPA = {"published step, on our network": SquaredRatio.kappa}
Row = dict[str, str | float]


@torch.no_grad()
def divergence(data: GrayCodedDensity, energy: nn.Module, kappa: float) -> float:
    """From the data to the model, in nats."""
    log_model = (-kappa * energy(data.states()).double()).log_softmax(0)
    probabilities = data.probabilities()
    return float((probabilities.xlogy(probabilities) - probabilities * log_model).sum())


def learn(data: GrayCodedDensity, name: str, rate: float, seconds: float) -> MLPEnergy:
    """Train for some processor seconds; drawing data is not counted."""
    energy, step = MLPEnergy(BITS, (128, 128, 128)), STEPS[name]
    if name == PERSISTENT:
        step = step(data.sample(BATCH), 10)
    optimizer = torch.optim.Adam(energy.parameters(), lr=rate)
    spent = 0.0
    while spent < seconds:
        x, done = data.sample(BATCH), spent / seconds
        start = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, 20 * done + 1e-3) * (1 + math.cos(math.pi * done)) / 2
        optimizer.zero_grad()
        step(energy, x)
        nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        spent += time.process_time() - start
    return energy


def measure(density: str, times: tuple[float, ...], num_seeds: int) -> list[Row]:
    """A row for each run."""
    data, rows = synthetic_density(density, num_bits=BITS), []
    for name, rate, seconds, seed in tqdm(list(product(STEPS, RATES, times, range(num_seeds)))):
        torch.manual_seed(seed)
        energy = learn(data, name, rate, seconds)
        row = {"step": name, "rate": rate, "seconds": seconds}
        rows.append({**row, "divergence": divergence(data, energy, KAPPA.get(name, 1.0))})
    return rows


def best(rows: list[Row], name: str, seconds: float) -> list[float]:
    """Divergences over seeds, at the rate whose mean is lower."""
    at: dict[str | float, list[float]] = {}
    for row in rows:
        if (row["step"], row["seconds"]) == (name, seconds):
            at.setdefault(row["rate"], []).append(float(row["divergence"]))
    return min(at.values(), key=lambda values: sum(values) / len(values))


def save_figure(rows: list[Row], times: tuple[float, ...], file: Path) -> None:
    """Divergence against time, mean over seeds and each seed."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axis = figure.subplots()
    for color, name in enumerate(STEPS):
        cells = [best(rows, name, seconds) for seconds in times]
        means = [sum(values) / len(values) for values in cells]
        axis.plot(times, means, marker=".", color=f"C{color}", label=name)
        for seconds, values in zip(times, cells, strict=True):
            axis.scatter([seconds] * len(values), values, s=5, alpha=0.5, color=f"C{color}")
    axis.set(xscale="log", yscale="log", xlabel="processor seconds of training")
    axis.set_ylabel("Kullback-Leibler divergence, nats")
    axis.set_xticks(times, [f"{t:g}" for t in times], minor=False)
    axis.legend(fontsize=7)
    figure.savefig(file, dpi=120)


def markdown(rows: list[Row], times: tuple[float, ...]) -> str:
    """Mean (worst) over seeds."""
    lines = [f"| divergence after | {' | '.join(f'{t:g} s' for t in times)} |"]
    lines.append("|---" * (1 + len(times)) + "|")
    for name in STEPS:
        cells = [best(rows, name, seconds) for seconds in times]
        texts = [f"{sum(v) / len(v):.3f} ({max(v):.3f})" for v in cells]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    """Compare on one density."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--density", default="2spirals")
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 3.0, 8.0])
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/time_to_quality"))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, for tests")
    arguments = parser.parse_args()
    torch.distributions.Distribution.set_default_validate_args(False)
    times, seeds = tuple(arguments.seconds), arguments.num_seeds
    if arguments.smoke:
        times, seeds = (0.05,), 1
    rows = measure(arguments.density, times, seeds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=2))
    save_figure(rows, times, arguments.out / "time_to_quality.png")
    print(markdown(rows, times))


if __name__ == "__main__":
    main()
