"""From locally right to right: spike words whose pairwise fit puts its probability elsewhere.

Sparse binary words with a common drive, as populations of neurons give them, are fitted by an Ising
model through the pseudolikelihood. Each conditional is right, and most of the probability is where
no datum is: with nearly all neurons on. The check says so; persistent chains, started at the data,
find that probability and remove it; the check is asked again.

--data takes a CSV of 0 and 1, or an .npz with the key x; rows are words, and the last tenth is held
out. Without it words are simulated. Saves spikes.png and results.json.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import numpy as np
import pyro
import torch
from torch import Tensor

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy
from pyro_rm.evaluation import FitCheck, check_fit, log_likelihood
from pyro_rm.infer import train, warmup_cosine

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def words(num_data: int, seed: int, num_sites: int = 50, correlation: float = 0.2) -> Tensor:
    """Thresholds of a Gaussian drive that the sites share and of one of their own."""
    generator = torch.Generator().manual_seed(seed)
    drive = torch.randn(num_data, 1, generator=generator)
    own = torch.randn(num_data, num_sites, generator=generator)
    threshold = torch.linspace(1.0, 1.9, num_sites)
    return (correlation**0.5 * drive + (1 - correlation) ** 0.5 * own > threshold).float()


def read(path: Path) -> Tensor:
    """Words from a file."""
    if path.suffix == ".npz":
        return torch.tensor(np.load(path)["x"]).float()
    return pyro_rm.datasets.read_csv_table(path)[0].float()


def fit_locally(x: Tensor) -> IsingEnergy:
    """The maximum of the pseudolikelihood, by L-BFGS."""
    energy = IsingEnergy(x.shape[1])
    optimizer = torch.optim.LBFGS(energy.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = pyro_rm.estimate(energy, x).mean() + energy.weight.square().sum() / len(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    return energy


def polish(energy: IsingEnergy, x: Tensor, num_steps: int) -> None:
    """Persistent chains, which go where the model has probability, and take it away."""

    def model(batch: Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("words", len(batch)):
            pyro.sample("x", EnergyModel(energy), obs=batch)

    def guide(batch: Tensor) -> None:
        pass

    pyro.clear_param_store()
    loss = pyro_rm.ContrastiveDivergence(persistent=True, num_chains=4096)
    optimizer = torch.optim.AdamW(energy.parameters(), lr=0.01, weight_decay=0.01)
    train(
        loss(model, guide),
        optimizer,
        x,
        num_steps=num_steps,
        batch_size=min(512, len(x)),
        schedule=warmup_cosine(optimizer, num_steps, num_warmup_steps=num_steps // 20),
        average=0.995,
        progress=False,
    )


def rate_from_anywhere(energy: IsingEnergy, num_steps: int) -> float:
    """The mean rate of samples whose chains start at uniform states."""
    model = EnergyModel(energy, sampler=pyro_rm.MarkovSampler(num_steps, progress=False))
    return model.sample((500,)).mean().item()


def main() -> None:
    """Fit, check, polish, check again, and draw both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--num-data", type=int, default=20_000, help="simulated words")
    parser.add_argument("--steps", type=int, default=3000, help="of the polish")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out/spikes"))
    options = parser.parse_args()
    few: dict[str, int] = {}
    num_steps, num_words, length = options.steps, options.num_data, 200
    if options.smoke:
        few, num_steps, num_words, length = {"num_samples": 100, "num_steps": 20}, 10, 400, 10
    torch.manual_seed(options.seed)
    x = words(num_words, options.seed) if options.data is None else read(options.data)
    held_out = max(1, len(x) // 10)
    x, test = x[:-held_out], x[-held_out:]
    start = time.process_time()
    energy = fit_locally(x)
    checks: dict[str, FitCheck] = {}
    rates = {}
    for phase in ("before", "after"):
        if phase == "after":
            polish(energy, x, num_steps)
        checks[phase] = check_fit(energy, x, seed=options.seed, progress=False, **few)
        rates[phase] = rate_from_anywhere(energy, length)
        print(f"{phase} the polish, samples from uniform starts have rate {rates[phase]:.3f}")
        print(checks[phase], end="\n\n")
    seconds = time.process_time() - start
    found = log_likelihood(
        energy, test, num_steps=length, inverse_temperatures=5 * length, progress=False
    )
    ends = sorted((found.mean, found.optimistic_mean))
    print(f"rate of the data {x.mean():.3f}; {seconds:.0f} CPU seconds")
    print(f"test log-likelihood between {ends[0]:.3f} and {ends[1]:.3f}")

    options.out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(2, 4, figsize=(14, 6.4), layout="constrained")
    for row, phase in zip(axes, checks, strict=True):
        checks[phase].plot(row)
        row[0].set_title(f"{phase} the polish")
    figure.savefig(options.out / "spikes.png", dpi=120)
    rate = x.mean().item()
    results = {
        "flagged_before": not checks["before"].ok,
        "flagged_after": not checks["after"].ok,
        "rate_error_before": abs(rates["before"] - rate),
        "rate_error_after": abs(rates["after"] - rate),
        "test_log_likelihood": ends,
        "seconds": seconds,
    }
    (options.out / "results.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
