"""Fit binarized handwritten digits by an RBM, an MLP and a pairwise Ising energy.

Prints the held-out pseudo-log-likelihood a site and saves data beside Gibbs samples.
"""

import argparse
import resource
import time
from pathlib import Path

import matplotlib
import pyro
import torch
from pyro.infer import SVI
from sklearn.datasets import load_digits
from tqdm import trange

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def fit(energy: torch.nn.Module, train: torch.Tensor, steps: int, rate: float, name: str) -> None:
    """Fit an energy by the step loop of Pyro, with the default loss."""

    def model(x: torch.Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    def guide(x: torch.Tensor) -> None:
        pass

    optimizer = pyro.optim.ClippedAdam({"lr": rate, "lrd": 0.1 ** (1 / steps)})
    svi = SVI(model, guide, optimizer, loss=pyro_rm.RatioMatchingLoss())
    progress = trange(steps, desc=f"{name:6s}")
    for step in progress:
        batch = train[torch.randint(len(train), (128,))]
        loss = svi.step(batch) / batch.numel()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss:.3f}")


@torch.no_grad()
def held_out(energy: torch.nn.Module, test: torch.Tensor) -> float:
    """Exact pseudo-log-likelihood a site, in nats."""
    return -pyro_rm.estimate(energy, test, num_neighbors="all").mean().item() / test.shape[1]


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the figure")
    arguments = parser.parse_args()
    pyro.set_rng_seed(0)
    images = torch.tensor(load_digits().data > 7).float()[torch.randperm(1797)]
    train, test = images[:1437], images[1437:]
    mean = (train.sum(0) + 0.5) / (len(train) + 1)
    independent = (test * mean.log() + (1 - test) * (1 - mean).log()).mean().item()
    rows = [("independent", independent, 0.0)]
    energies = {
        "Ising": (IsingEnergy(64), 2000, 0.01),
        "RBM": (RBMEnergy(64, 128), 3000, 0.01),
        "MLP": (MLPEnergy(64, (128, 128)), 1500, 0.002),
    }
    samples = {}
    for name, (energy, steps, rate) in energies.items():
        pyro.clear_param_store()
        start = time.perf_counter()
        fit(energy, train, 5 if arguments.smoke else steps, rate, name)
        rows.append((name, held_out(energy, test), time.perf_counter() - start))
        start_at = torch.bernoulli(mean.expand(10, 64))
        sampler = pyro_rm.MarkovSampler(1 if arguments.smoke else 100, initial=start_at)
        samples[name] = sampler(energy, sample_shape=(10,))
    print(f"{'model':12s} {'held-out log p(x_d | rest)':>26s} {'seconds':>8s}")
    for name, value, seconds in rows:
        print(f"{name:12s} {value:26.4f} {seconds:8.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")
    panels = {"data": test[:10], **samples}
    figure, axes = plt.subplots(len(panels), 10, figsize=(8, 3.6))
    for row, (name, batch) in zip(axes, panels.items(), strict=True):
        for axis, image in zip(row, batch, strict=True):
            axis.imshow(image.view(8, 8).numpy(), cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    arguments.out.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(arguments.out / "digits.png", dpi=120)
    print(f"saved {arguments.out / 'digits.png'}")


if __name__ == "__main__":
    main()
