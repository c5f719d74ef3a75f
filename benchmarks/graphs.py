"""Graph generation: quality beside its controls, and the cost of a step by graph size.

``choose`` compares recipes on held-out parts of the training graphs of Ego-small;
``ego-small`` and ``community`` are the comparison on their test graphs; ``cost`` needs no data.
Every table of distances is the squared MMD under the EMD kernels at the stated number of
generated graphs, and has the floor of as many resampled training graphs in its first row.
"""

import argparse
import functools
import resource
import runpy
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import networkx as nx
import numpy as np
import pyro
import torch

import pyro_rm
from pyro_rm.datasets import ego_small, encode_graphs
from pyro_rm.energies import RandomGraphEnergy, RelationalGraphEnergy
from pyro_rm.infer import NoiseLevels, generate_graphs
from pyro_rm.proposals import GradientGuided

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "graphs.py"))
COLUMNS = {
    "mmd_degree": "degree",
    "mmd_clustering": "cluster.",
    "mmd_orbit": "orbit",
    "mmd_average": "average",
    "mmd_average_tv": "avg. TV",
    "dominated_share": "ego",
    "novelty": "novel",
    "uniqueness": "unique",
    "log_likelihood_up_to_7_nodes": "log lik.",
    "seconds": "CPU s",
}
Graphs = list[nx.Graph]
Scores = dict[str, float | None]


def resampled(training: Graphs, count: int) -> Graphs:
    """Training graphs, drawn with replacement."""
    return [training[i] for i in torch.randint(len(training), (count,)).tolist()]


def erdos_renyi(training: Graphs, count: int) -> Graphs:
    """Random graphs with the sizes and densities of training graphs."""
    seeds = torch.randint(2**31, (count,)).tolist()
    return [
        nx.gnp_random_graph(len(graph), nx.density(graph), seed=seed)
        for graph, seed in zip(resampled(training, count), seeds, strict=True)
    ]


def star_plus_edges(training: Graphs, count: int) -> Graphs:
    """Stars with uniform further edges, of the sizes and edge numbers of training graphs."""
    graphs = []
    for model in resampled(training, count):
        graph = nx.star_graph(len(model) - 1)
        pairs = list(combinations(range(1, len(model)), 2))
        extra = model.number_of_edges() - graph.number_of_edges()
        graph.add_edges_from(pairs[i] for i in torch.randperm(len(pairs))[:extra].tolist())
        graphs.append(graph)
    return graphs


def exponential_family(training: Graphs, count: int) -> Graphs:
    """Four statistics, fitted by pseudolikelihood; tempered sweeps."""
    batch = encode_graphs(training)
    energy = RandomGraphEnergy(batch.max_nodes)
    optimizer = torch.optim.LBFGS(energy.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = pyro_rm.estimate(energy, batch.pairs, active=batch.active).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    sizes = batch.num_nodes[torch.randint(len(batch), (count,))]
    temperatures = [0.25, 0.5, 0.75, 1.0]
    return generate_graphs(energy, sizes, inverse_temperatures=temperatures, num_steps=5)


def learned(
    training: Graphs, test: Graphs, count: int, *, num_sweeps: int = 16, **options: object
) -> Scores:
    """Scores of the energy of the example."""
    start = time.process_time()
    energy = EXAMPLE["fit"](training, **options)
    seconds = time.process_time() - start
    generated = EXAMPLE["generate"](energy, training, count, num_sweeps)
    return {
        **EXAMPLE["scores"](generated, training, test),
        "log_likelihood_up_to_7_nodes": EXAMPLE["log_likelihood"](energy, test),
        "seconds": seconds,
    }


def control(generator: Callable[[Graphs, int], Graphs]) -> Callable[..., Scores]:
    """Scores of graphs that need no network."""

    def score(training: Graphs, test: Graphs, count: int) -> Scores:
        start = time.process_time()
        generated = generator(training, count)
        seconds = time.process_time() - start
        return {**EXAMPLE["scores"](generated, training, test), "seconds": seconds}

    return score


def report(
    rows: dict[str, Callable[..., Scores]],
    split: tuple[Graphs, Graphs],
    count: int,
    seeds: int,
) -> None:
    """Print the mean over seeds of each row, and for the average the worst seed."""
    print(f"{count} generated graphs, {len(split[1])} test graphs, {seeds} seeds: mean (worst)")
    print(f"{'':32s}" + "".join(f"{name:>9s}" for name in COLUMNS.values()) + "    worst avg.")
    for name, score in rows.items():
        results = []
        for seed in range(seeds):
            pyro.set_rng_seed(seed)
            results.append(score(*split, count))
        cells = ""
        for column in COLUMNS:
            values = [result.get(column) for result in results]
            known = [value for value in values if value is not None]
            cells += f"{statistics.mean(known):9.4f}" if known else f"{'-':>9s}"
        worst = max(result["mmd_average"] for result in results)
        print(f"{name:32s}{cells}{worst:14.4f}", flush=True)


CONTROLS = {
    "resampled training graphs": control(resampled),
    "Erdos-Renyi": control(erdos_renyi),
    "star + uniform edges": control(star_plus_edges),
    "exponential family, 4 statistics": control(exponential_family),
}


def choose(training: Graphs, seeds: int) -> None:
    """Recipes on held-out parts of the training graphs; the test graphs are not touched."""
    for fold in range(2):
        order = torch.randperm(160, generator=torch.Generator().manual_seed(100 + fold)).tolist()
        held_out = [training[i] for i in order[:40]]
        rest = [training[i] for i in order[40:]]
        rows = {
            f"{steps} steps, decay {decay}": functools.partial(
                learned, num_steps=steps, num_walks=0, weight_decay=decay
            )
            for steps in (1000, 2500)
            for decay in (0.01, 0.3)
        }
        rows = {"resampled training graphs": control(resampled), **rows}
        report(rows, (rest, held_out), 256, seeds)


def compare(split: tuple[Graphs, Graphs], count: int, seeds: int, dataset: str) -> None:
    """The recipe of the example beside that of the paper and the controls."""
    paper = functools.partial(
        learned,
        num_steps=800,
        num_walks=0,
        levels=NoiseLevels((0.0,)),
        rate=1e-3,
        weight_decay=0.0,
        objective="squared_ratio",
        num_neighbors=50,
        proposal=GradientGuided(uniform_share=0.0),
        design="unweighted",
    )
    settings, num_sweeps = EXAMPLE["SETTINGS"][dataset], EXAMPLE["NUM_SWEEPS"][dataset]
    rows = {
        **CONTROLS,
        "recipe of the paper, biased s = 50": paper,
        "eight levels of noise": functools.partial(learned, num_sweeps=num_sweeps, **settings),
    }
    if dataset != "ego-small":
        del rows["recipe of the paper, biased s = 50"]  # the paper has no such experiment
    report(rows, split, count, seeds)


def step(num_nodes: int, num_neighbors: int | str) -> float:
    """Seconds of a step on one graph, forward and backward."""
    energy = RelationalGraphEnergy(num_nodes)
    x = torch.bernoulli(torch.full((1, energy.state_space.num_sites), 0.1))
    start = time.process_time()
    loss = pyro_rm.estimate(energy, x, num_neighbors=num_neighbors, max_neighbors_per_chunk=200)
    loss.mean().backward()
    return time.process_time() - start


def step_cost(num_nodes: int, num_neighbors: int | str) -> tuple[float, float]:
    """Seconds of a step, and the peak memory in MB that it adds."""
    torch.set_num_threads(1)
    step(4, 2)  # loads what every step needs
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = step(num_nodes, num_neighbors)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return (step(num_nodes, num_neighbors) if seconds < 5 else seconds), memory


def cost(sizes: list[int]) -> None:
    """Print step time and memory by number of nodes, each in a process of its own."""
    print("one graph, neighbors in chunks of 200, one thread: seconds a step / added peak MB")
    print(f"{'nodes':>6s} {'pairs':>7s} {'s = 50':>16s} {'all pairs':>16s}")
    for nodes in sizes:
        cells = []
        for num_neighbors in (50, "all"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                seconds, memory = pool.submit(step_cost, nodes, num_neighbors).result()
            cells.append(f"{seconds:9.3f} /{memory:5.0f}")
        print(f"{nodes:6d} {nodes * (nodes - 1) // 2:7d} " + " ".join(cells), flush=True)


def stored_communities(path: Path) -> tuple[Graphs, Graphs]:
    """The community-small set from its archive of padded adjacency matrices."""
    with np.load(path, allow_pickle=False) as archive:
        graphs = [
            nx.from_numpy_array(matrix[:n, :n])
            for matrix, n in zip(archive["adj"], archive["n"], strict=True)
        ]
        split = archive["train_idx"].tolist(), archive["test_idx"].tolist()
    return [graphs[i] for i in split[0]], [graphs[i] for i in split[1]]


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["choose", "ego-small", "community", "cost"])
    parser.add_argument("--data", type=Path, help="edges of Citeseer, or community_small.npz")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=1024, help="graphs to generate")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 25, 50, 100, 200])
    arguments = parser.parse_args()
    if arguments.part == "cost":
        cost(arguments.sizes)
    elif arguments.data is None:
        parser.error(f"{arguments.part} needs --data")
    elif arguments.part == "choose":
        choose(ego_small(arguments.data)[0], arguments.seeds)
    elif arguments.part == "ego-small":
        compare(ego_small(arguments.data), arguments.count, arguments.seeds, arguments.part)
    else:
        split = stored_communities(arguments.data)
        compare(split, arguments.count, arguments.seeds, arguments.part)


if __name__ == "__main__":
    main()
