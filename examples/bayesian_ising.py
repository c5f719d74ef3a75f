"""Posteriors of couplings without a partition function, before and after calibration.

Six spins, so that the exact likelihood is at hand: NUTS with the enumerated partition function
stands beside NUTS and a normal guide on the pseudolikelihood, and beside the calibrated draws.
Saves bayesian_ising.png and results.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal
from torch import Tensor

from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.infer import calibrate
from pyro_rm.poutine import ratio_matching

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def pairs_of(num_sites: int) -> Tensor:
    """The first and the second site of each pair, ``(2, pairs)``."""
    return torch.triu_indices(num_sites, num_sites, 1)


def ising(flat: Tensor, num_sites: int) -> Ising:
    """The model with given couplings of pairs, then fields."""
    row, column = pairs_of(num_sites)
    matrix = flat.new_zeros((*flat.shape[:-1], num_sites, num_sites))
    matrix[..., row, column] = flat[..., : len(row)]
    return Ising(matrix + matrix.mT, flat[..., len(row) :], states=(-1, 1))


def prior(num_sites: int) -> Tensor:
    """Standard normal couplings and fields."""
    size = num_sites * (num_sites + 1) // 2
    return pyro.sample("flat", dist.Normal(0.0, 1.0).expand([size]).to_event(1))


def model(x: Tensor) -> None:
    """The model as one writes it; its likelihood is intractable."""
    flat = prior(x.shape[-1])
    with pyro.plate("data", len(x)):
        pyro.sample("x", ising(flat, x.shape[-1]), obs=x)


def enumerated(x: Tensor) -> None:
    """The same with a partition function that is a sum over all states."""
    exact = NormalizedModel(ising(prior(x.shape[-1]), x.shape[-1]))
    with pyro.plate("data", len(x)):
        pyro.sample("x", exact.expand([len(x)]), obs=x)


class Nuts:
    """NUTS, which remembers the draws and effective sample sizes of its runs."""

    def __init__(self, num_samples: int, warmup_steps: int) -> None:
        self.options = {"num_samples": num_samples, "warmup_steps": warmup_steps}
        self.draws: list[Tensor] = []
        self.sizes: list[Tensor] = []

    def __call__(self, handled: Callable[..., Any], x: Tensor) -> dict[str, Tensor]:
        """Draws by name."""
        mcmc = MCMC(NUTS(handled, max_tree_depth=6), **self.options)
        mcmc.run(x)
        self.draws.append(mcmc.get_samples()["flat"])
        self.sizes.append(mcmc.diagnostics()["flat"]["n_eff"].clamp(max=len(self.draws[-1])))
        return mcmc.get_samples()


def normal_guide(x: Tensor, num_steps: int, num_draws: int) -> Tensor:
    """Draws of a multivariate normal guide on the pseudolikelihood."""
    handled = ratio_matching(model)
    guide = AutoMultivariateNormal(handled, init_scale=0.05)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.02, "lrd": 0.02 ** (1 / num_steps)})
    elbo = Trace_ELBO(num_particles=8, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(handled, guide, optimizer, loss=elbo)
    for _ in range(num_steps):
        svi.step(x)
    return Predictive(guide, num_samples=num_draws)(x)["flat"].reshape(num_draws, -1)


def distances(draws: Tensor, nuts: Tensor, sizes: Tensor) -> dict[str, float]:
    """How far means and sds are from those of NUTS, in its Monte Carlo errors and in sd."""
    spread = nuts.std(0)
    mean = (draws.mean(0) - nuts.mean(0)).abs() / spread
    ratio = (draws.std(0) / spread - 1).abs()
    return {
        "mean_in_sd": float(mean.max()),
        "mean_in_monte_carlo_errors": float((mean * sizes.sqrt()).max()),
        "sd_relative": float(ratio.max()),
        "sd_in_monte_carlo_errors": float((ratio * (2 * sizes).sqrt()).max()),
    }


def plot(columns: dict[str, Tensor], true: Tensor, num_sites: int, path: Path) -> None:
    """Medians and 90 % intervals of the couplings, method by method."""
    row, column = pairs_of(num_sites).tolist()
    figure, axis = plt.subplots(figsize=(11, 4.5))
    place = np.arange(len(row))
    for number, (name, draws) in enumerate(columns.items()):
        low, middle, high = np.quantile(draws.numpy()[:, : len(row)], [0.05, 0.5, 0.95], 0)
        offset = place + 0.16 * (number - (len(columns) - 1) / 2)
        bars = [middle - low, high - middle]
        axis.errorbar(offset, middle, yerr=bars, fmt="o", markersize=3, capsize=2, label=name)
    axis.scatter(
        place, true.numpy()[: len(row)], marker="_", s=400, color="black", label="true", zorder=3
    )
    labels = [f"{i + 1}-{j + 1}" for i, j in zip(row, column, strict=True)]
    axis.set_xticks(place, labels)
    axis.set(xlabel="pair of sites", ylabel="coupling")
    axis.legend(ncols=3, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-sites", type=int, default=6)
    parser.add_argument("--num-data", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    sites = 3 if arguments.smoke else arguments.num_sites
    samples, warmup = (40, 60) if arguments.smoke else (arguments.num_samples, 300)
    true = 0.4 * torch.randn(sites * (sites + 1) // 2)
    x = NormalizedModel(ising(true, sites)).sample((arguments.num_data,))
    start = time.perf_counter()
    exact, sampler = Nuts(samples, warmup), Nuts(samples, warmup)
    exact(enumerated, x)
    calibrated = calibrate(model, (x,), sampler=sampler)
    guide = normal_guide(x, 20 if arguments.smoke else 1500, 4000)
    columns = {
        "exact likelihood, NUTS": exact.draws[0],
        "pseudolikelihood, NUTS": sampler.draws[0],
        "pseudolikelihood, normal guide": guide,
        "calibrated, NUTS": calibrated.draws["flat"],
    }
    inside = {}
    for name, draws in columns.items():
        low, high = draws.quantile(torch.tensor([0.05, 0.95]), 0)
        inside[name] = float(((low < true) & (true < high)).float().mean())
    results = {
        "weight": calibrated.weight,
        "eigenvalues": calibrated.eigenvalues.tolist(),
        "guide_against_nuts": distances(guide, sampler.draws[0], sampler.sizes[0]),
        "coverage_of_90": inside,
        "mean_sd_relative_to_exact": {
            name: float((draws.std(0) / exact.draws[0].std(0)).mean())
            for name, draws in columns.items()
        },
        "seconds": time.perf_counter() - start,
    }
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    plot(columns, true, sites, arguments.out / "bayesian_ising.png")
    print(json.dumps({key: results[key] for key in list(results)[2:]}, indent=2))
    print(f"saved {arguments.out / 'bayesian_ising.png'}")


if __name__ == "__main__":
    main()
