"""The way of a batch: what one training step calls within the package, and through which files.

One ``SVI.step`` with the default loss, after another that warms up: of an MLP energy, whose
neighbors are sampled, and of an Ising energy, whose sum over all neighbors is exact. A profiler's
hook counts the calls of Python functions of the package (a generator counts whenever it is
resumed), the files that they lie in, and how often two consecutive calls lie in different files.
Only public names are used and the counts are exact, so that commits can be compared on one version
of Python (up to 3.11, a list comprehension is a call, too). Prints Markdown.

    python benchmarks/walk.py [--calls]
"""

import argparse
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pyro
import torch
from torch import Tensor, nn

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy

PACKAGE = Path(pyro_rm.__file__).parent
NUM_SITES = 64
Call = tuple[str, str]  #: The file, relative to the package, and the function's name.


def calls_of(step: Callable[[], Any]) -> list[Call]:
    """All calls into the package that a step makes, in their order."""
    calls: list[Call] = []

    def hook(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            calls.append((str(path.relative_to(PACKAGE)), frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        step()
    finally:
        sys.setprofile(before)
    return calls


def summary(calls: list[Call]) -> tuple[int, int, int]:
    """Number of calls, of files, and of changes from one file to another."""
    files = [file for file, _ in calls]
    return len(files), len(set(files)), sum(a != b for a, b in pairwise(files))


def training_step(energy: nn.Module) -> Callable[[], Any]:
    """A step on a batch of bits, as a user would take it, already warm."""
    x = torch.bernoulli(torch.full((128, NUM_SITES), 0.3))

    def model(x: Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    optimizer = pyro.optim.Adam({"lr": 0.003})
    svi = pyro.infer.SVI(model, lambda x: None, optimizer, pyro_rm.RatioMatchingLoss())
    svi.step(x)
    return lambda: svi.step(x)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", action="store_true", help="list the calls, too")
    arguments = parser.parse_args()
    pyro.enable_validation(True)
    energies = {
        "sampled: MLPEnergy, 10 neighbors": MLPEnergy(NUM_SITES),
        "exact: IsingEnergy": IsingEnergy(NUM_SITES),
    }
    print("| step | calls | files | changes of file |\n|---|---|---|---|")
    lists: dict[str, list[Call]] = {}
    for name, energy in energies.items():
        pyro.clear_param_store()
        lists[name] = calls_of(training_step(energy))
        print(f"| {name} | {' | '.join(map(str, summary(lists[name])))} |")
    if arguments.calls:
        for name, calls in lists.items():
            print(f"\n{name}\n" + "\n".join(f"    {file}  {function}" for file, function in calls))


if __name__ == "__main__":
    main()
