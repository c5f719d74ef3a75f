"""Posteriors of couplings without a partition function, before and after calibration.

Six spins, so that the exact likelihood is at hand: NUTS with the enumerated partition function
stands beside NUTS and a normal guide on the pseudolikelihood, and beside the calibrated draws.

NUTS and the guide are compared by the largest difference of their means and standard deviations
in units of its Monte Carlo error, and by the probability that as large a one comes by chance. What
the normal shape itself costs is told apart by reweighting draws of the guide to the posterior that
it approximates. Saves bayesian_ising.png and results.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import matplotlib
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal
from pyro.ops.stats import effective_sample_size
from torch import Tensor

import pyro_rm
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
    """NUTS, which remembers the draws of its runs."""

    def __init__(self, num_samples: int, warmup_steps: int) -> None:
        self.options = {"num_samples": num_samples, "warmup_steps": warmup_steps}
        self.draws: list[Tensor] = []

    def __call__(self, handled: Callable[..., Any], x: Tensor) -> dict[str, Tensor]:
        """Draws by name."""
        mcmc = MCMC(NUTS(handled, max_tree_depth=6), **self.options)
        mcmc.run(x)
        self.draws.append(mcmc.get_samples()["flat"])
        return mcmc.get_samples()


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and standard deviations of parameters, with their Monte Carlo errors."""

    mean: Tensor
    sd: Tensor
    mean_error: Tensor
    sd_error: Tensor

    @classmethod
    def of_chain(cls, draws: Tensor) -> "Moments":
        """Of dependent draws, which never count for more than independent ones."""
        mean, sd = draws.mean(0), draws.std(0)
        squares = (draws - mean).square()
        sizes = [
            effective_sample_size(part[None]).clamp(max=len(draws)) for part in (draws, squares)
        ]
        square_error = squares.std(0) / sizes[1].sqrt()
        return cls(mean, sd, sd / sizes[0].sqrt(), square_error / (2 * sd))

    @classmethod
    def of_weighted(cls, draws: Tensor, log_weights: Tensor) -> "Moments":
        """Of independent draws from elsewhere, reweighted."""
        weights = log_weights.softmax(0)[:, None]
        mean = (weights * draws).sum(0)
        squares = (draws - mean).square()
        variance = (weights * squares).sum(0)
        square_error = (weights * (squares - variance)).square().sum(0).sqrt()
        mean_error = (weights * (draws - mean)).square().sum(0).sqrt()
        return cls(mean, variance.sqrt(), mean_error, square_error / (2 * variance.sqrt()))

    def against(self, other: "Moments") -> dict[str, float]:
        """The largest differences, in sd and in Monte Carlo errors.

        ``chance`` bounds the probability of the largest of them if there were none, by
        Bonferroni's inequality.
        """
        mean, sd = (self.mean - other.mean).abs(), (self.sd - other.sd).abs()
        by_error = torch.cat([
            mean / torch.hypot(self.mean_error, other.mean_error),
            sd / torch.hypot(self.sd_error, other.sd_error),
        ])  # fmt: skip
        tails = 2 * len(by_error) * NormalDist().cdf(-float(by_error.max()))
        return {
            "mean_in_sd": float((mean / other.sd).max()),
            "sd_relative": float((sd / other.sd).max()),
            "in_monte_carlo_errors": float(by_error.max()),
            "chance": min(1.0, tails),
        }


class NormalGuide:
    """A multivariate normal guide on the pseudolikelihood.

    At a constant rate iterates wander around the optimum; their average over the second half is
    the guide, and how averages over tenths of it differ tells its error.
    """

    def __init__(self, x: Tensor, num_steps: int) -> None:
        handled = ratio_matching(model)
        guide = AutoMultivariateNormal(handled, init_scale=0.05)
        elbo = Trace_ELBO(num_particles=32, vectorize_particles=True, max_plate_nesting=1)
        svi = SVI(handled, guide, pyro.optim.Adam({"lr": 0.01}), loss=elbo)
        blocks: list[dict[str, Tensor]] = []
        for step in range(num_steps):
            svi.step(x)
            later = 20 * step // num_steps - 10
            if later >= 0:
                state = {name: value.clone() for name, value in guide.state_dict().items()}
                if later == len(blocks):
                    blocks.append(state)
                else:
                    for name, value in state.items():
                        blocks[later][name] += value
        means = [self._normal(guide, block, num_steps / 20) for block in blocks]
        whole = {name: sum(block[name] for block in blocks) for name in blocks[0]}
        self.normal = self._normal(guide, whole, num_steps / 2)
        error = [
            torch.stack([getattr(mean, name) for mean in means]).std(0) / len(means) ** 0.5
            for name in ("mean", "stddev")
        ]
        self.moments = Moments(self.normal.mean, self.normal.stddev, error[0], error[1])

    @staticmethod
    def _normal(
        guide: AutoMultivariateNormal, total: dict[str, Tensor], count: float
    ) -> dist.MultivariateNormal:
        guide.load_state_dict({name: value / count for name, value in total.items()})
        found = guide.get_posterior()
        return dist.MultivariateNormal(
            found.mean.detach().clone(), scale_tril=found.scale_tril.detach().clone()
        )

    def reweighted(self, x: Tensor, num_draws: int) -> tuple[Moments, float]:
        """Moments of the posterior that the guide approximates, and the share of draws kept.

        The share is the effective number of reweighted draws over their number.
        """
        draws = self.normal.sample((num_draws,))
        log_weights = torch.cat([log_density(part, x) for part in draws.split(500)])
        log_weights -= self.normal.log_prob(draws)
        share = 1 / (num_draws * log_weights.softmax(0).square().sum())
        return Moments.of_weighted(draws, log_weights), float(share)


def log_density(flat: Tensor, x: Tensor) -> Tensor:
    """The logarithm of prior and pseudolikelihood at each of many points."""
    energies = ising(flat[:, None], x.shape[-1]).energy
    losses = pyro_rm.estimate(energies, x.expand(len(flat), *x.shape)).sum(-1)
    return dist.Normal(0.0, 1.0).log_prob(flat).sum(-1) - losses


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
    start = time.process_time()
    exact, sampler = Nuts(samples, warmup), Nuts(samples, warmup)
    exact(enumerated, x)
    calibrated = calibrate(model, (x,), sampler=sampler)
    guide = NormalGuide(x, 300 if arguments.smoke else 2000)
    target, share = guide.reweighted(x, 1000 if arguments.smoke else 20_000)
    by_nuts = Moments.of_chain(sampler.draws[0])
    columns = {
        "exact likelihood, NUTS": exact.draws[0],
        "pseudolikelihood, NUTS": sampler.draws[0],
        "pseudolikelihood, normal guide": guide.normal.sample((4000,)),
        "calibrated, NUTS": calibrated.draws["flat"],
    }
    inside = {}
    for name, draws in columns.items():
        low, high = draws.quantile(torch.tensor([0.05, 0.95]), 0)
        inside[name] = float(((low < true) & (true < high)).float().mean())
    results = {
        "weight": calibrated.weight,
        "eigenvalues": calibrated.eigenvalues.tolist(),
        "guide_against_nuts": guide.moments.against(by_nuts),
        "nuts_against_reweighted_guide": by_nuts.against(target),
        "guide_against_reweighted_guide": guide.moments.against(target),
        "share_of_draws_kept": share,
        "coverage_of_90": inside,
        "mean_sd_relative_to_exact": {
            name: float((draws.std(0) / exact.draws[0].std(0)).mean())
            for name, draws in columns.items()
        },
        "processor_seconds": time.process_time() - start,
    }
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    plot(columns, true, sites, arguments.out / "bayesian_ising.png")
    print(json.dumps({key: results[key] for key in list(results)[2:]}, indent=2))
    print(f"saved {arguments.out / 'bayesian_ising.png'}")


if __name__ == "__main__":
    main()
