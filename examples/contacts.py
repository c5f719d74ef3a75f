"""Predict contacts in a protein from an alignment of its family by a Potts model.

Reads FASTA, A2M, A3M, Stockholm, CLUSTAL or npz (with distances ``dist_cb`` if the precision is to
be known); without --data it simulates a small family with known contacts. Saves contacts.png and
results.json.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import networkx as nx
import pyro
import torch

from pyro_rm.datasets import Alignment, read_alignment
from pyro_rm.energies import PottsEnergy
from pyro_rm.markov_steps import GibbsSweep, MarkovSampler
from pyro_rm.networks import PottsNetwork, contact_precision

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MIN_SEPARATION = 6


def simulated_family(num_sites: int = 30, num_sequences: int = 800) -> Alignment:
    """Sequences of a hairpin: each position of one strand prefers its partner's letter."""
    energy = PottsEnergy(num_sites, 5)
    distances = torch.full((num_sites, num_sites), 20.0)
    with torch.no_grad():
        for site in range(num_sites // 2 - MIN_SEPARATION // 2):
            partner = num_sites - 1 - site
            energy.weight.view(num_sites, 5, num_sites, 5)[site, :, partner] = 1.5 * torch.eye(5)
            distances[site, partner] = distances[partner, site] = 5.0
    sampler = MarkovSampler(30, GibbsSweep())
    codes = sampler(energy, sample_shape=(num_sequences,))
    return Alignment(codes.long(), distances)


def draw(strengths: torch.Tensor, distances: torch.Tensor | None, path: Path) -> None:
    """Strengths below the diagonal; predicted contacts above it, on true ones where known."""
    size = len(strengths)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6))
    picture = left.imshow(strengths.tril().numpy(), cmap="Greys", vmin=0)
    figure.colorbar(picture, ax=left, shrink=0.8, label="corrected strength")
    first, second = torch.triu_indices(size, size, MIN_SEPARATION)
    order = strengths[first, second].argsort(descending=True)[:size]
    first, second = first[order], second[order]
    if distances is None:
        left.plot(second.numpy(), first.numpy(), "o", color="tab:blue", markersize=3)
        right.set_axis_off()
    else:
        true = (distances < 8).triu(MIN_SEPARATION).nonzero()
        left.plot(true[:, 1].numpy(), true[:, 0].numpy(), "s", color="lightgray", markersize=4)
        hit = distances[first, second] < 8
        for chosen, color, name in ((hit, "tab:blue", "right"), (~hit, "tab:red", "wrong")):
            left.plot(
                second[chosen].numpy(), first[chosen].numpy(), "o",
                color=color, markersize=3, label=name,
            )  # fmt: skip
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2)
        curve = contact_precision(strengths, distances, min_separation=MIN_SEPARATION)[: 2 * size]
        right.plot(range(1, len(curve) + 1), curve.numpy())
        for share in (5, 2, 1):
            right.axvline(size / share, color="gray", linewidth=0.6)
        right.set(xlabel="pairs predicted", ylabel="share of true contacts", ylim=(0, 1.02))
    left.set(xlabel="position", ylabel="position", title=f"top {len(order)} pairs above diagonal")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="alignment, compressed or not")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--identity", type=float, default=0.8, help="of sequences that are one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.data is None:
        family = simulated_family(num_sequences=300 if arguments.smoke else 800)
        codes, distances = family.codes, family.distances
        num_categories = 5
    else:
        alignment = read_alignment(arguments.data)
        codes, distances = alignment.codes, alignment.distances
        num_categories = len(alignment.alphabet)
    start = time.perf_counter()
    network = PottsNetwork(
        num_categories=num_categories, identity=arguments.identity,
        skip_first=arguments.data is not None,
    ).fit(codes)  # fmt: skip
    size, strengths = codes.shape[1], torch.from_numpy(network.strengths_)
    results = {
        "num_sequences": len(codes),
        "effective_sequences": network.effective_size_,
        "num_positions": size,
        "seconds": time.perf_counter() - start,
    }
    if distances is not None:
        curve = contact_precision(strengths, distances, min_separation=MIN_SEPARATION)
        for name, count in (("L5", size // 5), ("L2", size // 2), ("L", size)):
            results[f"precision_at_{name}"] = float(curve[count - 1])
    strongest = nx.Graph(
        (a, b, d)
        for a, b, d in network.to_networkx().edges(data=True)
        if abs(a - b) >= MIN_SEPARATION
    )
    pairs = sorted(strongest.edges(data="weight"), key=lambda edge: -edge[2])[:size]
    results["pairs"] = [[min(a, b), max(a, b), weight] for a, b, weight in pairs]
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    draw(strengths, distances, arguments.out / "contacts.png")
    print(json.dumps({k: v for k, v in results.items() if k != "pairs"}, indent=2))


if __name__ == "__main__":
    main()
