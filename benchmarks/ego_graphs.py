"""Ego graphs of 4 to 60 nodes from a citation network, or grids: learned, drawn, and compared.

Nodes of the network (an edge list, two names a line) are centers; a graph is all nodes within two
steps, or one if these are too many. Grids have 4 x 4 to 5 x 6 nodes. Four of five graphs train;
where several numbers of steps are given, one in five of these chooses, by log probabilities that
are read off. Discrepancies of degrees, clustering and orbits from the held-out graphs, beside those
of the training graphs themselves (the floor, as many drawn), of random graphs of the same sizes and
densities (Erdos-Renyi), and of the exponential-family model of edges and shared partners, fitted to
each of some graphs. Log probabilities of held-out graphs are read off, beside those of Erdos-Renyi.
Prints Markdown.
"""

import argparse
import gzip
import time
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch

from pyro_rm.graphs import GraphGenerator, RandomGraphModel, graph_mmd, graph_mmd_floor


def ego_graphs(path: Path, count: int, seed: int) -> list[nx.Graph]:
    """Graphs around random nodes, their nodes numbered."""
    with gzip.open(path, "rt") as file:
        lines = [line.replace(",", " ").split()[:2] for line in file]
    network = nx.Graph([pair for pair in lines if len(pair) == 2 and pair[0] != pair[1]])
    rng, found = np.random.default_rng(seed), []
    for center in rng.permutation(sorted(network.nodes)).tolist():
        for radius in (2, 1):
            graph = nx.ego_graph(network, center, radius)
            if 4 <= len(graph) <= 60:
                found.append(nx.convert_node_labels_to_integers(nx.Graph(graph.edges)))
                break
        if len(found) == count:
            break
    return found


def grids(count: int, seed: int) -> list[nx.Graph]:
    """Grids of random sizes."""
    sizes = ((4, 4), (4, 5), (4, 6), (5, 5), (5, 6))
    chosen = np.random.default_rng(seed).integers(len(sizes), size=count).tolist()
    return [nx.convert_node_labels_to_integers(nx.grid_2d_graph(*sizes[k])) for k in chosen]


def fitted_on(train: list[nx.Graph], options: argparse.Namespace) -> GraphGenerator:
    """Fitted with the number of steps that is best for some of the graphs, to all of them."""
    settings = {"num_walks": 4, "num_sweeps": options.sweeps, "is_valid": nx.is_connected}
    some, others = train[len(train) // 5 :], train[: len(train) // 5]
    found = {}
    for steps in options.steps if len(options.steps) > 1 else ():
        torch.manual_seed(options.seed)
        generator = GraphGenerator(num_steps=steps, **settings).fit(some)
        found[steps] = float(generator.log_prob(others).mean())
        print(f"{steps} steps: {found[steps]:.1f} on validation data", flush=True)
    steps = max(found, key=found.__getitem__) if found else options.steps[0]
    torch.manual_seed(options.seed)
    return GraphGenerator(num_steps=steps, **settings).fit(train)


def random_like(graphs: list[nx.Graph], rng: np.random.Generator) -> list[nx.Graph]:
    """Random graphs of the same sizes and densities."""
    return [
        nx.gnp_random_graph(len(g), nx.density(g), seed=int(rng.integers(10**9))) for g in graphs
    ]


def explained(graphs: list[nx.Graph]) -> list[nx.Graph]:
    """One draw of a model of edges and shared partners that was fitted to each graph."""
    drawn = []
    for graph in graphs:
        model = RandomGraphModel(
            ["edges", "gwesp(0.5)"], method="pseudolikelihood", standard_errors="naive"
        )
        try:
            drawn += model.fit(graph).simulate(1)
        except ValueError:  # no estimate, as of a star without triangles: edges alone
            drawn += random_like([graph], np.random.default_rng(len(drawn)))
    return drawn


def independent(train: list[nx.Graph], graph: nx.Graph) -> float:
    """Log probability of a graph under independent edges, as dense as graphs of its size are."""
    size = len(graph)
    near = sorted(train, key=lambda other: abs(len(other) - size))[:20]
    share = np.mean([nx.density(other) for other in near])
    pairs, edges = size * (size - 1) / 2, graph.number_of_edges()
    return float(edges * np.log(share) + (pairs - edges) * np.log1p(-share))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--edges", type=Path, help="the edge list, gzipped")
    source.add_argument("--grids", action="store_true", help="grids, in place of ego graphs")
    parser.add_argument("--graphs", type=int, default=250)
    parser.add_argument("--steps", type=int, nargs="+", default=[700])
    parser.add_argument("--sweeps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if options.grids:
        graphs = grids(options.graphs, options.seed)
    else:
        graphs = ego_graphs(options.edges, options.graphs, options.seed)
    train, test = graphs[: 4 * len(graphs) // 5], graphs[4 * len(graphs) // 5 :]
    start = time.process_time()
    generator = fitted_on(train, options)
    fitted = time.process_time() - start
    drawn = generator.sample(len(test))
    sampled = time.process_time() - start - fitted
    rng = np.random.default_rng(options.seed)
    ways: dict[str, Any] = {
        "GraphGenerator": drawn,
        "Erdos-Renyi": random_like(test, rng),
        "edges and shared partners, one fit a graph": explained(test),
    }
    print(f"{len(train)} graphs to train, {len(test)} held out, {generator.num_steps} steps\n")
    print("| drawn by | degree | clustering | orbits |\n|---|---|---|---|")
    floors = graph_mmd_floor(train, test, num_samples=len(test))
    print(f"| the training graphs (floor) | {numbers(floors)} |")
    for name, some in ways.items():
        print(f"| {name} | {numbers(graph_mmd(some, test))} |", flush=True)
    read = generator.log_prob(test)
    plain = np.array([independent(train, graph) for graph in test])
    print(f"\nlog probability of a held-out graph, read off: {float(read.mean()):.1f}", end="")
    print(f"; independent edges: {plain.mean():.1f}")
    print(f"{fitted:.0f} processor seconds to fit, {sampled:.0f} to draw")


def numbers(found: Any) -> str:
    """Discrepancies of degree, clustering and orbits."""
    values = found if isinstance(found, dict) else vars(found)
    return " | ".join(f"{float(values[name]):.4f}" for name in ("degree", "clustering", "orbit"))


if __name__ == "__main__":
    main()
