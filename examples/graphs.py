"""Fit a graph energy on several levels of noise and generate graphs.

The default set of two-community graphs is made on the spot; Ego-small is built from the
edges of the Citeseer network. Saves training graphs beside generated ones, and their
distances from the test graphs beside those of resampled training graphs.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import pyro
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pyro_rm import estimate
from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.graphs import (
    active_pairs,
    class_log_likelihoods,
    community_graphs,
    dominated_share,
    ego_small,
    encode_graphs,
    generate_graphs,
    graph_mmd,
    graph_mmd_floor,
    novelty,
    size_buckets,
    uniqueness,
)
from pyro_rm.infer import NoiseLevels, train, warmup_cosine

LEVELS = NoiseLevels((0.0, 0.048, 0.12, 0.23, 0.37, 0.55, 0.76, 1.0))
SETTINGS: dict[str, dict[str, Any]] = {  # how to fit
    "community": {"num_steps": 3000, "num_walks": 4, "weight_decay": 0.1},
    "ego-small": {"num_steps": 700, "num_walks": 0, "weight_decay": 0.3},
}
NUM_SWEEPS = {"community": 32, "ego-small": 16}  # to generate a graph, over all levels
IS_VALID = {"community": nx.is_connected, "ego-small": None}  # others are drawn again


def fit(
    graphs: list[nx.Graph],
    *,
    num_steps: int,
    num_walks: int,
    weight_decay: float,
    rate: float = 2e-3,
    levels: NoiseLevels = LEVELS,
    **options: Any,
) -> RelationalGraphEnergy:
    """Fit an energy on levels of noise, by default by pseudolikelihood over 8 pairs a graph."""
    options = {"num_neighbors": 8, **options}
    everything = encode_graphs(graphs)
    densities = everything.densities()
    buckets = size_buckets(graphs, 4)
    num_pairs = torch.stack([bucket.active.sum() for bucket in buckets])
    energy = RelationalGraphEnergy(
        everything.max_nodes, num_walks=num_walks, num_levels=len(levels)
    )

    def batch(step: int) -> tuple[Tensor, Tensor]:
        # small graphs are learned soon, and overfitted while large ones are still learned
        bucket = buckets[int(torch.multinomial(num_pairs.double(), 1))]
        return bucket.pairs, bucket.num_nodes

    def loss(pairs: Tensor, num_nodes: Tensor) -> Tensor:
        largest = int(num_nodes.max())
        model, active = energy.resized(largest), active_pairs(num_nodes, largest)
        level, background = levels.draw(num_nodes.shape), densities[num_nodes][:, None]
        space = model.state_space
        noisy = levels.corrupt(space, pairs, level, background=background, active=active)
        context = (num_nodes, level)
        return estimate(model, noisy, context=context, active=active, **options).mean()

    optimizer = torch.optim.AdamW(energy.parameters(), lr=rate, weight_decay=weight_decay)
    schedule = warmup_cosine(optimizer, num_steps, num_warmup_steps=min(200, num_steps // 5))
    shared = {"num_steps": num_steps, "schedule": schedule, "clip_norm": 1.0, "average": 0.999}
    train(loss, optimizer, batch, **shared)
    return energy


def generate(
    energy: RelationalGraphEnergy,
    graphs: list[nx.Graph],
    num_graphs: int,
    num_sweeps: int,
    is_valid: Callable[[nx.Graph], bool] | None = None,
) -> list[nx.Graph]:
    """Generate graphs whose numbers of nodes are drawn from given graphs."""
    batch = encode_graphs(graphs)
    sizes = batch.num_nodes[torch.randint(len(batch), (num_graphs,))]
    levels = energy.num_levels
    return generate_graphs(
        energy,
        sizes,
        num_levels=levels,
        num_steps=num_sweeps // levels,
        densities=batch.densities(),
        is_valid=is_valid,
    )


def scores(
    generated: list[nx.Graph], training: list[nx.Graph], test: list[nx.Graph]
) -> dict[str, float]:
    """Distances from the test graphs beside their floor, and what they do not see."""
    distances = graph_mmd(generated, test)
    floor = graph_mmd_floor(training, test, num_samples=len(generated))
    return {
        **{f"mmd_{name}": value for name, value in distances.items()},
        "floor_average": floor["average"],
        "mmd_average_tv": graph_mmd(generated, test, kernel="tv")["average"],
        "floor_average_tv": graph_mmd_floor(
            training, test, num_samples=len(generated), kernel="tv"
        )["average"],
        "novelty": novelty(generated, training),
        "novelty_test": novelty(test, training),
        "uniqueness": uniqueness(generated),
        "dominated_share": dominated_share(generated),
    }


def log_likelihood(energy: RelationalGraphEnergy, test: list[nx.Graph]) -> float | None:
    """Exact log-likelihood of the isomorphism classes of the test graphs up to 7 nodes."""
    small = [graph for graph in test if len(graph) <= 7]
    if not small:
        return None
    at_the_data = class_log_likelihoods(
        lambda pairs, sizes: energy(pairs, sizes, torch.zeros_like(sizes)), small
    )
    return float(at_the_data.sum())


def draw(training: list[nx.Graph], generated: list[nx.Graph], path: Path) -> None:
    """Save training graphs above generated ones."""
    figure = Figure(figsize=(12, 3.4), layout="tight")
    axes = figure.subplots(2, 8)
    for row, (name, graphs) in zip(
        axes, {"training": training, "generated": generated}.items(), strict=True
    ):
        for axis, index in zip(row, torch.randperm(len(graphs))[:8].tolist(), strict=False):
            graph = graphs[index]
            places = nx.spring_layout(graph, seed=0, iterations=200)
            nx.draw_networkx_edges(graph, places, ax=axis, edge_color="0.6")
            nx.draw_networkx_nodes(graph, places, ax=axis, node_size=18, node_color="C0")
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color("0.9")
        row[0].set_ylabel(name)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=sorted(SETTINGS), default="community")
    parser.add_argument("--data", type=Path, help="edges of Citeseer, for ego-small")
    parser.add_argument("--num-graphs", type=int, default=100, help="graphs to generate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    start = time.perf_counter()
    if arguments.dataset == "community":
        sizes = (8, 10) if arguments.smoke else (12, 14, 16, 18, 20)
        graphs = community_graphs(100, sizes=sizes)
        training, test = graphs[len(graphs) // 5 :], graphs[: len(graphs) // 5]
    elif arguments.data is None:
        parser.error("--dataset ego-small needs --data path/to/citeseer_edges.csv.gz")
    else:
        training, test = ego_small(arguments.data)
    settings = SETTINGS[arguments.dataset]
    if arguments.smoke:
        settings = {**settings, "num_steps": 5}
    energy = fit(training, **settings)
    num_graphs = 4 if arguments.smoke else arguments.num_graphs
    generated = generate(
        energy, training, num_graphs, NUM_SWEEPS[arguments.dataset], IS_VALID[arguments.dataset]
    )
    results = {
        **scores(generated, training, test),
        "log_likelihood_up_to_7_nodes": log_likelihood(energy, test),
        "seconds": time.perf_counter() - start,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(training, generated, arguments.out / "graphs.png")
    for name, value in results.items():
        print(f"{name:30s} {'-' if value is None else f'{value:.4f}':>9s}")
    print(f"saved {arguments.out / 'graphs.png'} and results.json")


if __name__ == "__main__":
    main()
