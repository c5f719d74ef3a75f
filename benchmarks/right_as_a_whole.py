"""Draw docs/figures/right_as_a_whole.png: what local fits get wrong as a whole, and the ways out.

Left, the four islands of examples/islands.py: their shares in the data, in a pseudolikelihood fit
and in one with levels of noise, by a sum over all states. Right, the words of examples/spikes.py:
how many of the neurons are on in a word, in the data and in samples of the pseudolikelihood fit and
of the polished one, whose chains start at uniform states.

    python benchmarks/right_as_a_whole.py [--seed 0]
"""

import argparse
import runpy
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import torch
from torch import Tensor

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.infer import NoiseLevels

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
islands = SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "islands.py")))
spikes = SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "spikes.py")))
COLORS = {"data": "0.65", "pseudolikelihood": "#d1495b", "right as a whole": "#31688e"}


def island_shares(seed: int, num_steps: int) -> dict[str, Tensor]:
    """Shares of the islands, in the data and in both fits."""
    p, centers = islands.islands(seed)
    generator = torch.Generator().manual_seed(seed)
    x = islands.STATES[torch.multinomial(p, islands.NUM_DATA, True, generator=generator)]
    torch.manual_seed(seed)
    levels = NoiseLevels.fit(x, islands.SPACE, spacing=0.7)
    fits = [islands.fit(x, None, num_steps), islands.fit(x, levels, num_steps)]
    learned = [islands.shares(islands.exact(energy)[0], centers) for energy in fits]
    nearest = (x[:, None] != centers).sum(-1).argmin(1)
    return dict(zip(COLORS, [nearest.bincount(minlength=4) / len(x), *learned], strict=True))


def words_on(seed: int, num_steps: int, num_words: int = 20_000) -> dict[str, Tensor]:
    """Neurons on in a word of the data, and of samples before and after the polish."""
    torch.manual_seed(seed)
    x = spikes.words(num_words, seed)
    energy = spikes.fit_locally(x)
    counts = [x.sum(-1)]
    for polished in (False, True):
        if polished:
            spikes.polish(energy, x, num_steps)
        model = EnergyModel(energy, sampler=pyro_rm.MarkovSampler(200, progress=False))
        counts.append(model.sample((4000,)).sum(-1))
    return dict(zip(COLORS, counts, strict=True))


def main() -> None:
    """Fit, draw and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    options = parser.parse_args()
    steps, words = ((4, 4), 500) if options.smoke else ((4000, 3000), 20_000)
    shares = island_shares(options.seed, steps[0])
    counts = words_on(options.seed, steps[1], words)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    for number, (name, values) in enumerate(shares.items()):
        place = torch.arange(4) + 0.26 * (number - 1)
        left.bar(place.numpy(), values.numpy(), 0.24, color=COLORS[name], label=name)
        print(f"islands, {name}:", *(f"{value:.3f}" for value in values.tolist()))
    left.set_xticks(range(4), [f"island {k + 1}" for k in range(4)])
    left.set(ylabel="share", title="four islands of probability, 16 bits")
    left.legend(frameon=False)
    for number, (name, values) in enumerate(counts.items()):
        weights = torch.full_like(values, 1 / len(values)).numpy()
        style = {"alpha": 0.6} if number == 0 else {"histtype": "step", "lw": 1.8}
        right.hist(values.numpy(), range(52), weights=weights, color=COLORS[name], **style)
        print(f"words, {name}: mean rate {values.mean().item() / 50:.3f}")
    right.set(xlabel="neurons on in a word", title="words of 50 sparse neurons")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    options.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out / "right_as_a_whole.png", dpi=150, facecolor="white")


if __name__ == "__main__":
    main()
