"""Peak memory of a training step, beyond weights, their gradients and the batch.

Traced by the allocator, so that figures repeat: what a step has allocated at most at one moment.
Beside it stands the most resident memory of a process that takes this step and nothing else,
libraries included. Prints Markdown.

    python benchmarks/peak_memory.py [--out DIR]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import pyro_rm
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy


class ConvolutionalEnergy(nn.Module):
    """A generic energy of 28 x 28 binary images: three layers of 32 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.state_space = pyro_rm.StateSpace(784)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, 2, 1), nn.SiLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(32, 32, 3, 2, 1), nn.SiLU(), nn.Flatten(), nn.Linear(512, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Energies."""
        images = x.reshape(-1, 1, 28, 28)
        return self.layers(images).view(x.shape[:-1])


def peak_bytes(step: Callable[[], Any]) -> int:
    """The most that a step holds at one moment, beyond what it started with."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    held = peak = 0
    for event in changes:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def step_peak(energy: nn.Module, batch_size: int, **options: Any) -> tuple[float, float]:
    """Peak of forward and backward, gradients in place, and that of the process; megabytes."""
    torch.manual_seed(0)
    torch.distributions.Distribution.set_default_validate_args(False)
    x = torch.randint(2, (batch_size, energy.state_space.num_sites)).float()

    def step() -> None:
        pyro_rm.estimate(energy, x, **options).mean().backward()

    for _ in range(2):  # the first allocates the gradients
        step()
        energy.zero_grad(set_to_none=False)
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return peak_bytes(step) / 1e6, resident


def cases(smoke: bool) -> dict[str, Callable[[], tuple[float, float]]]:
    """What is measured, by name."""
    sites, batch, hidden = (32, 2048), 256, (256, 256, 256)
    if smoke:
        sites, batch, hidden = (32, 64), 8, (16, 16)
    guided = {"num_neighbors": 10, "proposal": "gradient"}
    chunks = {"num_neighbors": "all", "max_neighbors_per_chunk": 20 * batch}
    some = {"num_neighbors": 50, "max_neighbors_per_chunk": 10 * batch}
    every: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
        "MLP, D = 32, uniform": (partial(MLPEnergy, sites[0], hidden), {"num_neighbors": 10}),
        "MLP, D = 2048, uniform": (partial(MLPEnergy, sites[1], hidden), {"num_neighbors": 10}),
        "MLP, D = 32, guided": (partial(MLPEnergy, sites[0], hidden), guided),
        "MLP, D = 2048, guided": (partial(MLPEnergy, sites[1], hidden), guided),
        "Ising, D = 2000, exact": (partial(IsingEnergy, 2000), {"num_neighbors": "all"}),
        "RBM 784 x 500, exact in chunks of 20 batches": (
            partial(RBMEnergy, 784, 16 if smoke else 500), chunks,
        ),
        "CNN, D = 784, 50 neighbors in chunks of 10 batches": (ConvolutionalEnergy, some),
        "CNN, D = 784, 50 neighbors": (ConvolutionalEnergy, {"num_neighbors": 50}),
    }  # fmt: skip
    return {
        name: lambda make=make, options=options: step_peak(make(), batch, **options)
        for name, (make, options) in every.items()
    }


def alone(name: str) -> tuple[float, float]:
    """Measure a case in a process of its own."""
    command = [sys.executable, __file__, "--only", name]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    peak, resident = json.loads(printed)
    return peak, resident


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/peak_memory"))
    parser.add_argument("--only", metavar="CASE", help="measure one, here, and print it as JSON")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, here, for tests")
    arguments = parser.parse_args()
    every = cases(arguments.smoke)
    if arguments.only is not None:
        print(json.dumps(every[arguments.only]()))
        return
    rows = {name: case() if arguments.smoke else alone(name) for name, case in every.items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=2))
    print("| step | peak, MB | process, MB |\n|---|---|---|")
    for name, (peak, resident) in rows.items():
        print(f"| {name} | {peak:.1f} | {resident:.0f} |")


if __name__ == "__main__":
    main()
