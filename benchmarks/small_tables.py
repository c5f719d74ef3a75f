"""What networks find in small and sparse tables: noise, structure, rare answers.

Four parts, each on tables that are drawn from models that are known:

* ``noise``: independent columns, of which the default should find no edges and refuse none;
* ``structure``: chains, stars and random graphs of moderate couplings, edges by the default;
* ``rare``: five columns of rates 0.04 to 0.5, 400 rows, whose rarest answers often never meet;
* ``sparse``: six columns of rates 0.05, 200 rows; both by all pairs, for the coverage of intervals.

Prints Markdown.
"""

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from typing import Any

import networkx as nx
import numpy as np

from pyro_rm.networks import IsingNetwork

Couplings = dict[tuple[int, int], float]
NOISE = [(40, 10), (40, 20), (100, 20), (60, 120)]
STRUCTURE = [(150, 8), (300, 10), (600, 12), (1000, 12)]
RARE = np.array([0.04, 0.08, 0.15, 0.3, 0.5])


def ising(rates: Any, couplings: Couplings) -> tuple[Any, Any]:
    """States and probabilities of the model with given rates and couplings."""
    states = np.array(list(product([0.0, 1.0], repeat=len(rates))))
    pairs = sum(J * states[:, a] * states[:, b] for (a, b), J in couplings.items())
    aim = np.log(rates / (1 - rates))
    fields = aim.copy()
    for _ in range(200):
        logits = states @ fields + pairs
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        means = chances @ states
        fields += aim - np.log(means / (1 - means))
    return states, chances


def table(generator: Any, num_rows: int, rates: Any, couplings: Couplings) -> Any:
    """Rows of the model, of which no column is constant, a copy of another or its opposite."""
    states, chances = ising(rates, couplings) if couplings else (None, None)
    while True:
        if couplings:
            x = states[generator.choice(len(states), num_rows, p=chances)]
        else:
            x = (generator.random((num_rows, len(rates))) < rates).astype(float)
        columns = {c.tobytes() for c in x.T} | {(1 - c).tobytes() for c in x.T}
        if x.std(0).min() > 0 and len(columns) == 2 * len(rates):
            return x


def some_couplings(generator: Any, graph: nx.Graph, low: float, high: float) -> Couplings:
    """Couplings of either sign on a graph."""
    size = generator.uniform(low, high, graph.number_of_edges())
    signs = generator.choice([-1, 1], len(size), p=[0.3, 0.7])
    return {(min(e), max(e)): float(J) for e, J in zip(graph.edges, size * signs, strict=True)}


def edge_sets(part: str, generator: Any, num_sets: int) -> Iterator[tuple[str, Any, Couplings]]:
    """Tables of noise or with structure, with what they are and their true couplings."""
    sizes = NOISE if part == "noise" else STRUCTURE
    for number in range(num_sets):
        rows, columns = sizes[number % len(sizes)]
        rates = generator.uniform(0.1 if part == "noise" else 0.25, 0.5, columns)
        couplings: Couplings = {}
        if part == "structure":
            seed = int(generator.integers(10**6))
            kind = number // len(sizes) % 3
            graph = [
                nx.path_graph(columns),
                nx.star_graph(columns // 2),
                nx.gnm_random_graph(columns, columns, seed=seed),
            ][kind]
            couplings = some_couplings(generator, graph, 1.0, 2.0)
        yield f"{rows} x {columns}", table(generator, rows, rates, couplings), couplings


def edges_found(part: str, generator: Any, num_sets: int) -> None:
    """Edges by the default: true, false and missed ones, by size of the table."""
    counts: Any = defaultdict(lambda: np.zeros(5, dtype=int))
    found = []
    for name, x, couplings in edge_sets(part, generator, num_sets):
        edges: set[tuple[int, int]] = set()
        try:
            edges = {(a, b) for a, b in IsingNetwork(random_state=0).fit(x).edges_.tolist()}
            refused = 0
        except ValueError:
            refused = 1
        right = len(edges & set(couplings))
        counts[name] += [1, refused, right, len(edges) - right, len(couplings) - right]
        found.append(sorted(edges))
    print("| rows x columns | sets | refused | true edges found | false edges | missed |")
    print("|---|---|---|---|---|---|")
    for name, row in [*counts.items(), ("all", sum(counts.values()))]:
        print(f"| {name} | {' | '.join(map(str, row))} |")
    if part == "structure":
        print(f"\nEdges of each set: {found}")


def coverage(part: str, generator: Any, num_sets: int) -> None:
    """Coverage of nominal 90 % intervals of all pairs, separated and others."""
    rows, rates = (400, RARE) if part == "rare" else (200, np.full(6, 0.05))
    inside: Any = defaultdict(list)
    refused = 0
    for _ in range(num_sets):
        graph = nx.gnm_random_graph(len(rates), len(rates), seed=int(generator.integers(10**6)))
        couplings = some_couplings(generator, graph, 0.3, 1.0)
        x = table(generator, rows, rates, couplings)
        try:
            network = IsingNetwork(selection=None, random_state=0).fit(x)
        except ValueError:
            refused += 1
            continue
        for row in network.summary(level=0.9).itertuples():
            truth = couplings.get((row.source, row.target), 0.0)
            inside[bool(row.separated)].append(bool(row.lower <= truth <= row.upper))
    print("| pairs | intervals | coverage | sets refused |\n|---|---|---|---|")
    parts = {"others": inside[False], "separated": inside[True]}
    for name, own in {**parts, "all": inside[False] + inside[True]}.items():
        print(f"| {name} | {len(own)} | {np.mean(own) if own else np.nan:.3f} | {refused} |")


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = {"noise": 60, "structure": 24, "rare": 150, "sparse": 150}
    parser.add_argument("--part", choices=sizes, nargs="+", default=list(sizes))
    parser.add_argument("--num-sets", type=int, help="of each part; the default is its own")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for part in arguments.part:
        start = time.process_time()
        generator = np.random.default_rng([arguments.seed, list(sizes).index(part)])
        num_sets = arguments.num_sets or sizes[part]
        print(f"\n{part}, {num_sets} sets\n")
        (edges_found if part in ("noise", "structure") else coverage)(part, generator, num_sets)
        print(f"\n{time.process_time() - start:.0f} processor seconds")


if __name__ == "__main__":
    main()
