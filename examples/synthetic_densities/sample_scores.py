"""Discrepancies of a model's draws from the data, beside what true data would score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import trange

from pyro_rm import MarkovSampler
from pyro_rm.datasets import GrayCodedDensity
from pyro_rm.evaluation import exponential_hamming_mmd, linear_hamming_mmd

METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mmd_linear": linear_hamming_mmd,
    "mmd_exponential": exponential_hamming_mmd,
}


def draw(energy: nn.Module, num_samples: int, num_sweeps: int = 20) -> Tensor:
    """Ends of Gibbs chains from uniform starts that cool down to the model, ``(num_samples, D)``.

    At the model's own temperature throughout, chains stay in the first mode they meet: no single
    flip leads from one square of the checkerboard to another.
    """
    sampler = MarkovSampler(num_steps=num_sweeps, annealed=True)
    return sampler(energy, sample_shape=(num_samples,))


def scores(samples: Tensor, data: GrayCodedDensity) -> dict[str, float]:
    """Unbiased squared discrepancies from as many true draws."""
    truth = data.sample(len(samples))
    return {name: float(metric(samples, truth)) for name, metric in METRICS.items()}


def floors(
    data: GrayCodedDensity, num_samples: int, num_pairs: int, file: Path
) -> dict[str, float]:
    """99 % quantiles of the scores of true draws, kept in a file.

    :param num_pairs: Fresh pairs of samples that the quantiles are of.
    """
    wanted = {"num_samples": num_samples, "num_pairs": num_pairs}
    if file.exists():
        known = json.loads(file.read_text())
        if {name: known[name] for name in wanted} == wanted:
            return known["floors"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pairs = trange(num_pairs, desc="floors", leave=False)
        rows = [scores(data.sample(num_samples), data) for _ in pairs]
    table = torch.tensor([[row[name] for name in METRICS] for row in rows])
    quantiles = table.quantile(0.99, dim=0).tolist()
    result = {f"{name}_floor": q for name, q in zip(METRICS, quantiles, strict=True)}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**wanted, "floors": result}, indent=2))
    return result
