"""Single precision against double, and tables at the edge of what can be estimated.

First the largest relative difference between single and double precision, over all registered
energies, of energies, estimates and their gradients, and log partition functions, with parameters
of ordinary size and as large as 50. An entry is the difference over the largest number of the
result, or over 1 if that is larger. Then fits of tables with rare answers, copies, more columns
than rows and couplings that run off: whether the answer is finite, or what is said instead. Prints
Markdown.
"""

import argparse
import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

import pyro_rm
from pyro_rm.energies import IsingEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import log_partition
from pyro_rm.networks import IsingNetwork, OrdinalNetwork, PottsNetwork
from pyro_rm.testing.registry import ENERGIES

OBJECTIVES = ("pseudolikelihood", "ratio_matching", "minimum_probability_flow", "squared_ratio")


def modules() -> Iterator[tuple[str, nn.Module]]:
    """The registered energies that are modules and need no context."""
    for name, examples in ENERGIES.items():
        for make in examples:
            energy = make()
            if isinstance(energy, nn.Module) and not getattr(energy, "num_levels", None):
                yield name, energy


def results(energy: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is computed in both precisions."""
    target = pyro_rm.Target.of(energy)
    dtype = next(energy.parameters()).dtype
    found = {"energy": target(target.space.encode(x, dtype)).detach()}
    data = x.to(dtype) if target.space.is_binary else x
    for objective in OBJECTIVES:
        energy.zero_grad()
        try:
            value = pyro_rm.estimate(energy, data, objective=objective, num_neighbors="all")
        except ValueError:  # an overflow, in words
            continue
        value.sum().backward()
        found[objective] = value.detach()
        gradients = [p.grad.flatten() for p in energy.parameters() if p.grad is not None]
        found[f"{objective}, gradient"] = torch.cat(gradients)
    found["log partition"] = log_partition(energy).detach().view(1)
    return found


def precision(largest: float) -> dict[str, tuple[float, str]]:
    """The worst relative difference of each result, and the energy that has it."""
    worst: dict[str, tuple[float, str]] = {}
    for name, energy in modules():
        torch.manual_seed(0)
        single, double = copy.deepcopy(energy).float(), copy.deepcopy(energy).double()
        with torch.no_grad():
            for one, other in zip(single.parameters(), double.parameters(), strict=True):
                one.uniform_(-largest, largest)
                other.copy_(one)
        space = pyro_rm.Target.of(energy).space
        x = states_at(space, torch.arange(min(space.num_states, 256)))
        wanted, found = results(double, x), results(single, x)
        for key in wanted.keys() - found.keys():
            print(f"{name}: {key} is refused in single precision only\n")
        for key, value in found.items():
            scale = wanted[key].abs().max().clamp(min=1.0)
            gap = float(((value.double() - wanted[key]).abs() / scale).max())
            worst[key] = max(worst.get(key, (0.0, "")), (gap, name))
    return worst


def tables() -> dict[str, Callable[[], Any]]:
    """Fits at the edge."""
    rng = np.random.default_rng(0)
    rare = (rng.random((100_000, 6)) < 1e-4).astype(float)
    wide = (rng.random((20, 40)) < 0.4).astype(float)
    wide[0], wide[1] = 0, 1
    plain = (rng.random((300, 5)) < 0.4).astype(float)
    copied = np.hstack([plain, plain[:, :1]])
    nearly = copied.copy()
    nearly[0, -1] = 1 - nearly[0, -1]
    strong = IsingEnergy(5)
    with torch.no_grad():
        strong.weight.fill_(50.0)
        strong.fields.fill_(-100.0)
    drawn = pyro_rm.MarkovSampler(50, progress=False)(strong, sample_shape=(400,)).numpy()
    half = rng.random(400) < 0.5
    drawn[half] = 1 - drawn[half]
    drawn[:5] = np.eye(5)
    scales = rng.integers(0, 4, (60, 5))
    scales[:, 1] = np.where(rng.random(60) < 0.97, scales[:, 0], scales[:, 1])

    def fit(network: Any, table: Any) -> Any:
        return network(selection=None, random_state=0).fit(table)

    return {
        "rates of 1e-4, 100 000 rows": lambda: fit(IsingNetwork, rare),
        "20 rows, 40 columns": lambda: fit(IsingNetwork, wide),
        "20 rows, 40 columns, selected": lambda: IsingNetwork(random_state=0).fit(wide),
        "a copied column": lambda: fit(IsingNetwork, copied),
        "a column that is a copy but for one cell": lambda: fit(IsingNetwork, nearly),
        "couplings of 50": lambda: fit(IsingNetwork, drawn),
        "two scales that hardly differ": lambda: fit(OrdinalNetwork, scales),
        "two categorical columns that hardly differ": lambda: fit(PottsNetwork, scales),
    }


def outcome(fit: Callable[[], Any]) -> str:
    """What a fit gives, in words."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            network = fit()
        except ValueError as error:
            return f"refused: {str(error)[:110]}"
    couplings = np.abs(network.weights_)
    largest = couplings.max() if len(couplings) else 0.0
    separated = len(network.separated_)
    finite = np.isfinite(couplings).all() and np.isfinite(network.fields_).all()
    return (
        f"{'finite' if finite else 'NOT FINITE'}, largest coupling {largest:.2f}, "
        f"{separated} separated, {len(said)} warnings"
    )


def main() -> None:
    """Run both parts."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    print("| result | parameters up to 1 | worst | up to 50 | worst |\n|---|---|---|---|---|")
    small, large = precision(1.0), precision(50.0)
    for key in {**small, **large}:
        cells = [part.get(key, (float("nan"), "")) for part in (small, large)]
        print(f"| {key} | " + " | ".join(f"{gap:.1e} | {name[:60]}" for gap, name in cells) + " |")
    print("\n| table | outcome |\n|---|---|")
    for name, fit in tables().items():
        print(f"| {name} | {outcome(fit)} |", flush=True)


if __name__ == "__main__":
    main()
