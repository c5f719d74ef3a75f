"""Structured prediction by a conditional random field: clean images from noisy ones.

Handwritten digits lose a share of their pixels to random flips. The energy of a clean image given
a noisy one has fields that are linear in the noisy pixels, or a convolutional network of them, and
couplings between all pairs of pixels, which a model of separate pixels cannot have. Fitted by
minibatches; predictions are marginals of clamped chains. Saves conditional.png and results.json.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI
from sklearn.datasets import load_digits
from torch import Tensor, nn
from tqdm import trange

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.site_walks import SiteWalk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIDE = 8
PIXELS = SIDE**2
STATES = pyro_rm.StateSpace(PIXELS, states=(-1, 1))


class ConditionalIsing(nn.Module):
    """An Ising energy whose fields depend on a context."""

    state_space = STATES

    def __init__(self, fields: nn.Module, *, coupled: bool = True) -> None:
        super().__init__()
        self.fields = fields
        zeros = torch.zeros(PIXELS, PIXELS)
        if coupled:
            self.weight = nn.Parameter(zeros)
        else:
            self.register_buffer("weight", zeros)

    @property
    def couplings(self) -> Tensor:
        """Symmetric with zero diagonal."""
        upper = self.weight.triu(1)
        return upper + upper.mT

    def _at(self, noisy: Tensor) -> PairwiseFunction:
        """The pairwise energy in the fields of given images."""
        return PairwiseFunction(self.couplings, self.fields(noisy), STATES)

    def forward(self, x: Tensor, noisy: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        return self._at(noisy)(x)

    def gap_table(self, x: Tensor, noisy: Tensor) -> Tensor:
        """Gaps of all flips, at the cost of one energy."""
        return self._at(noisy).gap_table(x)

    def site_walk(self, x: Tensor, noisy: Tensor) -> SiteWalk:
        """Gibbs sweeps at the cost of one matrix product."""
        return self._at(noisy).site_walk(x)


class LinearFields(nn.Module):
    """A slope and an intercept for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(PIXELS))
        self.intercept = nn.Parameter(torch.zeros(PIXELS))

    def forward(self, noisy: Tensor) -> Tensor:
        """Fields, in the shape of the context."""
        return self.slope * noisy + self.intercept


class NetworkFields(nn.Module):
    """Fields by two convolutions."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, 1, 3, padding=1)
        )

    def forward(self, noisy: Tensor) -> Tensor:
        """Fields, in the shape of the context."""
        return self.layers(noisy.reshape(-1, 1, SIDE, SIDE)).reshape(noisy.shape)


def fit(energy: ConditionalIsing, clean: Tensor, noisy: Tensor, num_steps: int) -> None:
    """Fit by minibatches of a plate; couplings have a normal prior, as a penalty."""
    size = len(clean)

    def model(rows: Tensor) -> None:
        pyro.module("energy", energy)
        penalty = dist.Normal(0.0, 0.3).log_prob(energy.weight.triu(1)).sum()
        pyro.factor("penalty", penalty)
        with pyro.plate("data", size, subsample=rows) as chosen:
            pyro.sample("x", EnergyModel(energy, context=noisy[chosen]), obs=clean[chosen])

    def guide(rows: Tensor) -> None:
        pass

    optimizer = pyro.optim.ClippedAdam({"lr": 0.02, "lrd": 0.02 ** (1 / num_steps)})
    svi = SVI(model, guide, optimizer, loss=pyro_rm.RatioMatchingLoss())
    for _ in trange(num_steps, desc="fit", leave=False):
        svi.step(torch.randint(size, (128,)))


@torch.no_grad()
def predict(energy: ConditionalIsing, noisy: Tensor, num_chains: int, num_steps: int) -> Tensor:
    """Probabilities that pixels are on: means over chains, each seen at five times."""
    total = torch.zeros_like(noisy)
    context = noisy.expand(num_chains, *noisy.shape)
    sampler = pyro_rm.MarkovSampler(num_steps, initial=noisy)
    for _ in range(5):
        chains = EnergyModel(energy, context=context, sampler=sampler).sample()
        sampler = pyro_rm.MarkovSampler(max(1, num_steps // 5), initial=chains)
        total += (chains.mean(0) + 1) / 2
    return total / 5


def calibration(probability: Tensor, clean: Tensor) -> list[dict[str, float]]:
    """Share of pixels that are on, among those of about equal probability."""
    bins = (probability * 10).long().clamp(max=9)
    rows = []
    for k in range(10):
        here = bins == k
        if here.any():
            on = float((clean[here] > 0).double().mean())
            rows.append({"probability": float(probability[here].mean()), "on": on})
    return rows


def plot(panels: dict[str, Tensor], curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Images, and calibration of the probabilities."""
    figure = plt.figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.6, 1])
    axes = left.subplots(len(panels), 8)
    for row, (name, images) in zip(axes, panels.items(), strict=True):
        for axis, image in zip(row, images, strict=False):
            axis.imshow(image.view(SIDE, SIDE).numpy(), cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    axis = right.subplots()
    axis.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
    for name, rows in curves.items():
        axis.plot([r["probability"] for r in rows], [r["on"] for r in rows], "o-", label=name)
    axis.set(xlabel="predicted probability", ylabel="share of pixels that are on")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=float, default=0.2, help="share of pixels flipped")
    parser.add_argument("--num-steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    images = torch.tensor(load_digits().data > 7).float()[torch.randperm(1797)] * 2 - 1
    noisy = torch.where(torch.rand_like(images) < arguments.flips, -images, images)
    test = slice(1437, 1500 if arguments.smoke else None)
    energies = {
        "separate pixels": ConditionalIsing(LinearFields(), coupled=False),
        "network, no couplings": ConditionalIsing(NetworkFields(), coupled=False),
        "linear fields, coupled": ConditionalIsing(LinearFields()),
        "network fields, coupled": ConditionalIsing(NetworkFields()),
    }
    results: dict[str, dict[str, object]] = {}
    panels = {"clean": (images[test] + 1) / 2, "noisy": (noisy[test] + 1) / 2}
    curves = {}
    for name, energy in energies.items():
        pyro.clear_param_store()
        start = time.perf_counter()
        fit(energy, images[:1437], noisy[:1437], 20 if arguments.smoke else arguments.num_steps)
        seconds = time.perf_counter() - start
        probability = predict(energy, noisy[test], *((2, 2) if arguments.smoke else (10, 40)))
        wrong = float(((probability > 0.5) != (images[test] > 0)).double().mean())
        curves[name] = calibration(probability, images[test])
        results[name] = {"pixel_error": wrong, "seconds": seconds, "calibration": curves[name]}
        panels[name] = probability
        print(f"{name:24s} pixel error {wrong:.4f}, {seconds:.1f} s")
    results["noisy"] = {"pixel_error": float((noisy[test] != images[test]).double().mean())}
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    plot(panels, curves, arguments.out / "conditional.png")
    print(f"noisy {results['noisy']}; saved {arguments.out / 'conditional.png'}")


if __name__ == "__main__":
    main()
