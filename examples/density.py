"""Density estimation with levels of noise: log-likelihoods without a chain, and their brackets.

A pairwise model plus a network over the columns' frequencies is fitted by the pseudolikelihood of
pairs of a datum and a level of noise, stopped on validation data. Log-likelihoods of test data are
read off the levels, and bracketed by annealing along them; they are exact up to 20 sites.

--data takes an .npz with arrays train, valid and test of 0 and 1, rows being data; bits that are
packed along rows have their number under D. Saves results.json.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import pyro_rm
from pyro_rm.energies import IsingEnergy, MLPEnergy, with_levels
from pyro_rm.evaluation import IndependentSites, log_likelihood
from pyro_rm.infer import NoiseLevels, TrainingResult, train, warmup_cosine


def read(path: Path) -> dict[str, Tensor]:
    """The three parts of a file."""
    with np.load(path, allow_pickle=False) as archive:
        parts = {name: archive[name] for name in ("train", "valid", "test")}
        if "D" in archive.files:
            width = int(archive["D"])
            parts = {k: np.unpackbits(v, axis=1, count=width) for k, v in parts.items()}
    return {name: torch.tensor(part).float() for name, part in parts.items()}


def fit(
    data: dict[str, Tensor], options: argparse.Namespace
) -> tuple[pyro_rm.Target, TrainingResult]:
    """A pairwise model and a network over independent sites, at levels of noise."""
    x, sites = data["train"], data["train"].shape[1]
    space = pyro_rm.StateSpace(sites)
    background = IndependentSites.fit(x, space)
    levels = NoiseLevels.fit(x, space, background=background)
    network = MLPEnergy(sites, (options.hidden, options.hidden), num_levels=len(levels))
    torch.nn.init.zeros_(network.layers[-1].weight)
    pairs = with_levels(IsingEnergy(sites), len(levels))
    energy = background + pairs + network

    def loss(batch: Tensor) -> Tensor:
        return pyro_rm.estimate(energy, batch, levels=levels, num_neighbors=min(sites, 16)).mean()

    decayed = [network.weight, *(p for p in network.layers[:-1].parameters() if p.dim() > 1)]
    known = {id(p) for p in decayed}
    free = [p for p in energy.parameters() if id(p) not in known]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": free}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, weight_decay=0.0)
    result = train(
        loss,
        optimizer,
        x,
        num_steps=options.steps,
        batch_size=256,
        schedule=warmup_cosine(optimizer, options.steps, num_warmup_steps=options.steps // 20),
        clip_norm=5.0,
        average=0.998,
        held_out=lambda: loss(data["valid"][torch.arange(4096) % len(data["valid"])]),
        evaluate_every=max(1, options.steps // 20),
        progress=False,
    )
    return pyro_rm.Target.of(energy, levels=levels), result


def main() -> None:
    """Fit, read off, bracket."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--hidden", type=int, help="units of both layers; the default is by rows")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--chains", type=int, default=100, help="of the annealing, each way")
    parser.add_argument("--temperatures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out/density"))
    options = parser.parse_args()
    if options.smoke:
        options.steps, options.hidden, options.chains, options.temperatures = 20, 16, 10, 10
    torch.manual_seed(options.seed)
    data = read(options.data)
    if options.hidden is None:  # chosen on validation data of one table with each
        num_rows, num_sites = data["train"].shape
        options.hidden = 512 if num_rows >= 500 * num_sites else 256
    start = time.process_time()
    target, result = fit(data, options)
    seconds = time.process_time() - start
    found = log_likelihood(
        target,
        data["test"],
        num_chains=options.chains,
        inverse_temperatures=options.temperatures,
        num_steps=50,
        progress=False,
    )
    ends = sorted((found.mean, found.optimistic_mean))
    background = target.levels.background
    independent = background.log_prob(data["test"]).mean().item()
    print(f"{target.space.num_sites} sites, {len(target.levels)} levels")
    print(f"step {result.best_step} of {options.steps} was best on validation data")
    print(f"independent sites {independent:.3f}")
    print(f"read off          {found.read_off_mean:.3f}")
    print(f"bracket           {ends[0]:.3f} to {ends[1]:.3f}")
    if found.annealed is not None:
        print(found.annealed)
    print(f"{seconds:.0f} CPU seconds to fit, {time.process_time() - start - seconds:.0f} to check")
    options.out.mkdir(parents=True, exist_ok=True)
    results = {
        "test_log_likelihood": ends,
        "read_off": found.read_off_mean,
        "independent": independent,
        "seconds": seconds,
    }
    (options.out / "results.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
