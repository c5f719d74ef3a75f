"""Fit a graph energy and its levels of noise, and generate graphs.

The default set of two-community graphs is made on the spot; Ego-small is built from the
edges of the Citeseer network. Saves training graphs beside generated ones, and their
distances from the test graphs beside those of resampled training graphs. Log-likelihoods are exact
for classes of up to seven nodes, and read off the levels for graphs as their nodes are numbered.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import networkx as nx
import pyro
import torch
from matplotlib.figure import Figure

from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.graphs import (
    GraphGenerator,
    class_log_likelihoods,
    community_graphs,
    dominated_share,
    ego_small,
    graph_mmd,
    graph_mmd_floor,
    novelty,
    uniqueness,
)

SETTINGS: dict[str, dict[str, Any]] = {  # how to fit and to draw
    "community": {  # graphs that are not connected are drawn again
        "num_steps": 3000, "num_walks": 4, "weight_decay": 0.1, "num_sweeps": 32,
        "is_valid": nx.is_connected,
    },
    "ego-small": {"num_steps": 700, "num_walks": 0, "weight_decay": 0.3, "num_sweeps": 16},
}  # fmt: skip


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
    generator = GraphGenerator(**settings, progress=True).fit(training)
    generated = generator.sample(4 if arguments.smoke else arguments.num_graphs)
    fitting = [graph for graph in test if len(graph) <= max(map(len, training))]
    results = {
        **scores(generated, training, test),
        "log_likelihood_up_to_7_nodes": log_likelihood(generator.energy_, test),
        "log_likelihood_read_off": float(generator.log_prob(fitting).mean()),
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
