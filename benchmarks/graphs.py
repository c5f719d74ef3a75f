"""Graph generation: quality beside its controls, and the cost of a step by graph size.

``choose`` compares recipes on held-out quarters of the training graphs of Ego-small: chosen is
the one of the highest held-out log-likelihood among those whose graphs have a dominating node
in at least .95 of cases and are new in at least .25. ``ego-small`` and ``community`` are the
comparison on their test graphs; ``cost`` needs no data.
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
from pyro_rm.energies import RandomGraphEnergy, RelationalGraphEnergy
from pyro_rm.graphs import (
    GraphGenerator,
    ego_small,
    encode_graphs,
    generate_graphs,
    size_buckets,
)
from pyro_rm.infer import train, warmup_cosine
from pyro_rm.proposals import GradientGuided

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "graphs.py"))
COLUMNS = {
    "mmd_degree": "degree",
    "mmd_clustering": "clustering",
    "mmd_orbit": "orbit",
    "mmd_average": "average",
    "mmd_average_tv": "average, TV kernels",
    "dominated_share": "dominated",
    "novelty": "new",
    "uniqueness": "unique",
    "log_likelihood_up_to_7_nodes": "log-likelihood",
    "seconds": "CPU s",
}
FORMATS = {"log_likelihood_up_to_7_nodes": ".1f", "seconds": ".0f"}
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


def learned(training: Graphs, test: Graphs, count: int, **options: object) -> Scores:
    """Scores of the generator of the example."""
    start = time.process_time()
    generator = GraphGenerator(**options).fit(training)
    seconds = time.process_time() - start
    return judged(generator.energy_, generator.sample(count), training, test, seconds)


def paper(training: Graphs, test: Graphs, count: int) -> Scores:
    """Scores of the recipe of the RMwGGIS paper: no noise, biased, of 50 neighbors."""
    start = time.process_time()
    everything = encode_graphs(training)
    energy = RelationalGraphEnergy(everything.max_nodes, num_levels=1)
    buckets = size_buckets(training, 4)
    num_pairs = torch.stack([bucket.active.sum() for bucket in buckets])
    optimizer = torch.optim.AdamW(energy.parameters(), lr=1e-3, weight_decay=0.0)

    def loss(step: int) -> torch.Tensor:
        bucket = buckets[int(torch.multinomial(num_pairs.double(), 1))]
        return pyro_rm.estimate(
            energy.resized(bucket.max_nodes), bucket.pairs, context=bucket.num_nodes,
            active=bucket.active, objective="squared_ratio", num_neighbors=50,
            proposal=GradientGuided(uniform_share=0.0), design="unweighted",
        ).mean()  # fmt: skip

    schedule = warmup_cosine(optimizer, 800, num_warmup_steps=160)
    train(
        loss, optimizer, lambda step: step, num_steps=800, schedule=schedule, clip_norm=1.0,
        average=0.999,
    )  # fmt: skip
    seconds = time.process_time() - start
    sizes = everything.num_nodes[torch.randint(len(training), (count,))]
    generated = generate_graphs(energy, sizes, num_steps=16, densities=everything.densities())
    return judged(energy, generated, training, test, seconds)


def judged(
    energy: RelationalGraphEnergy, generated: Graphs, training: Graphs, test: Graphs, seconds: float
) -> Scores:
    """All scores of one fit."""
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


CONTROLS = {
    "resampled training graphs": control(resampled),
    "Erdos-Renyi": control(erdos_renyi),
    "star + uniform edges": control(star_plus_edges),
    "exponential family, 4 statistics": control(exponential_family),
}
GRID = {
    f"{steps} steps, weight decay {decay}": {"num_steps": steps, "weight_decay": decay}
    for steps, decay in ((700, 0.3), (1000, 0.3), (1500, 0.3), (1000, 1.0))
}


def rows_of(part: str) -> dict[str, Callable[..., Scores]]:
    """What a part compares."""
    if part == "choose":
        grid = {
            name: functools.partial(learned, num_walks=0, **options)
            for name, options in GRID.items()
        }
        return {"resampled training graphs": control(resampled), **grid}
    ours = functools.partial(learned, **EXAMPLE["SETTINGS"][part])
    if part == "community":  # the paper has no such experiment
        return {**CONTROLS, "eight levels of noise": ours}
    return {**CONTROLS, "recipe of the paper, biased s = 50": paper, "eight levels of noise": ours}


def score(part: str, name: str, split: tuple[Graphs, Graphs], count: int, seed: int) -> Scores:
    """One row for one seed."""
    torch.set_num_threads(1)
    pyro.set_rng_seed(seed)
    return rows_of(part)[name](*split, count)


def report(
    part: str,
    splits: list[tuple[Graphs, Graphs]],
    count: int,
    *,
    rows: list[str] | None = None,
    jobs: int = 1,
) -> None:
    """Print a table of means over seeds, one for each split, and the worst average."""
    header = ["", *COLUMNS.values(), "worst average"]
    print(f"{count} generated, {len(splits[0][1])} other graphs, {len(splits)} seeds\n")
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {
            name: [
                pool.submit(score, part, name, split, count, seed)
                for seed, split in enumerate(splits)
            ]
            for name in rows or rows_of(part)
        }
        for name, row in futures.items():
            results = [future.result() for future in row]
            cells = [name]
            for column in COLUMNS:
                known = [value for r in results if (value := r.get(column)) is not None]
                cells.append(
                    f"{statistics.mean(known):{FORMATS.get(column, '.4f')}}" if known else ""
                )
            cells.append(f"{max(result['mmd_average'] for result in results):.4f}")
            print(f"| {' | '.join(cells)} |", flush=True)


def quarters(training: Graphs) -> list[tuple[Graphs, Graphs]]:
    """Each quarter of the graphs held out from the rest, in a fixed random order."""
    order = torch.randperm(len(training), generator=torch.Generator().manual_seed(100)).tolist()
    return [
        (
            [training[i] for position, i in enumerate(order) if position % 4 != quarter],
            [training[i] for i in order[quarter::4]],
        )
        for quarter in range(4)
    ]


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
    print("One graph, neighbors in chunks of 200, one thread: CPU seconds a step / added peak MB\n")
    print("| nodes | pairs | s = 50 | all pairs |\n|---|---|---|---|")
    for nodes in sizes:
        cells = []
        for num_neighbors in (50, "all"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                seconds, memory = pool.submit(step_cost, nodes, num_neighbors).result()
            cells.append(f"{seconds:.3f} / {memory:.0f}")
        print(f"| {nodes} | {nodes * (nodes - 1) // 2} | {' | '.join(cells)} |", flush=True)


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
    parser.add_argument("--rows", nargs="+", help="names of rows; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 25, 50, 100, 200])
    arguments = parser.parse_args()
    if arguments.part == "cost":
        cost(arguments.sizes)
    elif arguments.data is None:
        parser.error(f"{arguments.part} needs --data")
    else:
        if arguments.part == "choose":
            splits = quarters(ego_small(arguments.data)[0])
        elif arguments.part == "ego-small":
            splits = [ego_small(arguments.data)] * arguments.seeds
        else:
            splits = [stored_communities(arguments.data)] * arguments.seeds
        shared = {"rows": arguments.rows, "jobs": arguments.jobs}
        report(arguments.part, splits, arguments.count, **shared)


if __name__ == "__main__":
    main()
