"""Two ways to less gradient noise at the same cost: a control variate, and thinned backward passes.

Trains an MLP on two spirals by each way to estimate, the same steps and rate for all, and prints
what each reaches, the exact pseudolikelihood of new data in nats, over seeds, and the processor
time of a run on one thread. Then the variance of the gradient of a batch of 64, relative to the
squared norm of the exact gradient, at the energy that the default has trained; among them what is
not in the package because it does not pay: to visit more neighbors, and to go backward through some
of them only, drawn in proportion to their derivatives in the gap. Its cost counts an evaluation as
a third of an energy with its gradient, and what is drawn as evaluated again.

    python benchmarks/noise_reduction.py [--steps N] [--out DIR]
"""

import argparse
import json
import runpy
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import pyro_rm
from pyro_rm.datasets import synthetic_density
from pyro_rm.designs import ProportionalToSize
from pyro_rm.drawn_gaps import drawn_gaps
from pyro_rm.energies import MLPEnergy
from pyro_rm.infer import warmup_cosine
from pyro_rm.objectives import Pseudolikelihood
from pyro_rm.target import Target

flat_gradient = runpy.run_path(str(Path(__file__).with_name("guidance.py")))["flat_gradient"]
WAYS: dict[str, dict[str, Any]] = {
    "10 neighbors (default)": {"num_neighbors": 10},
    "10 neighbors, guided": {"num_neighbors": 10, "proposal": "gradient"},
    "10 neighbors, control variate": {"num_neighbors": 10, "control_variate": True},
    "4 neighbors, control variate": {"num_neighbors": 4, "control_variate": True},
}
THINNED = [(10, 5), (20, 5), (20, 3)]


def train(num_bits: int, num_steps: int, seed: int, **options: Any) -> tuple[MLPEnergy, Any, float]:
    """A trained energy, the source of its data, and the processor time."""
    torch.manual_seed(seed)
    data, energy = synthetic_density("2spirals", num_bits=num_bits), MLPEnergy(num_bits)
    test = data.sample(256)
    optimizer = torch.optim.Adam(energy.parameters(), lr=1e-3)
    schedule = warmup_cosine(optimizer, num_steps, num_warmup_steps=num_steps // 5)
    start = time.process_time()
    for _ in range(num_steps):
        optimizer.zero_grad()
        pyro_rm.estimate(energy, data.sample(128), **options).mean().backward()
        nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return energy, test, time.process_time() - start


def thinned_gradient(energy: MLPEnergy, x: Tensor, num_neighbors: int, kept: int) -> Tensor:
    """Of the visited neighbors of all data, ``kept`` a datum have their gradient taken."""
    objective = Pseudolikelihood()
    draw = ProportionalToSize().draw(torch.ones_like(x), num_neighbors)
    gaps = drawn_gaps(Target.of(energy), x, objective, draw)
    derivatives = gaps.detach().sigmoid() * draw.weights / len(x)
    again = ProportionalToSize().draw(derivatives.flatten()[None], kept * len(x))
    index, weights = again.candidates[:, 0], again.weights[:, 0]
    total = (gaps.flatten()[index] * derivatives.flatten()[index] * weights).sum()
    gradients = torch.autograd.grad(total, list(energy.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def variances(energy: MLPEnergy, x: Tensor, num_repeats: int) -> dict[str, tuple[float, float]]:
    """Relative variance and cost in energies, by way."""
    exact = flat_gradient(energy, x, num_neighbors="all")
    ways = {
        **{name: (lambda o=o: flat_gradient(energy, x, **o)) for name, o in WAYS.items()},
        "4 neighbors": lambda: flat_gradient(energy, x, num_neighbors=4),
        **{
            f"{s} neighbors, {m} backward": (lambda s=s, m=m: thinned_gradient(energy, x, s, m))
            for s, m in THINNED
        },
    }
    extra = dict(zip(WAYS, (0, 2, 3, 3), strict=True))
    costs = {name: 1.0 + o["num_neighbors"] + extra[name] for name, o in WAYS.items()}
    costs["4 neighbors"] = 5.0
    costs |= {f"{s} neighbors, {m} backward": (1 + s) / 3 + 1 + m for s, m in THINNED}
    found = {}
    for name, gradient in ways.items():
        errors = [(gradient() - exact).square().sum() for _ in range(num_repeats)]
        variance = float(torch.stack(errors).mean() / exact.square().sum())
        found[name] = (variance, costs[name])
    return found


def main() -> None:
    """Measure at two widths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/noise_reduction"))
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2, help="how many")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, for tests")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.distributions.Distribution.set_default_validate_args(False)
    bits, steps, seeds, repeats = arguments.bits, arguments.steps, arguments.seeds, 30
    if arguments.smoke:
        bits, steps, seeds, repeats = [32], 2, 1, 2
    lines = ["| bits | estimate | nats, by seed | seconds |", "|---|---|---|---|"]
    noise = ["| bits | estimate | energies | variance | times energies |", "|---|---|---|---|---|"]
    results = []
    for width in bits:
        trained = None
        for name, options in tqdm(WAYS.items(), desc=f"{width} bits"):
            runs = [train(width, steps, seed, **options) for seed in range(seeds)]
            with torch.no_grad():
                nats = [
                    float(pyro_rm.estimate(e, x, num_neighbors="all").mean()) for e, x, _ in runs
                ]
            trained = trained or runs[0]
            seconds = sum(run[2] for run in runs) / seeds
            results.append({"bits": width, "name": name, "nats": nats, "seconds": seconds})
            reached = ", ".join(f"{value:.2f}" for value in nats)
            lines.append(f"| {width} | {name} | {reached} | {seconds:.1f} |")
        for name, (value, cost) in variances(trained[0], trained[1][:64], repeats).items():
            results.append({"bits": width, "name": name, "variance": value, "energies": cost})
            noise.append(f"| {width} | {name} | {cost:.1f} | {value:.3g} | {value * cost:.3g} |")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    print("\n".join([*lines, "", *noise]))


if __name__ == "__main__":
    main()
