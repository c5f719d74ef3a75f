"""Size and power of the tests of group differences.

Pairs of tables are drawn from Ising models of 10 sites, whose couplings are there with probability
0.3 and normal then. Groups have the same model (size), with blanks, or differ in one coupling
(power), without blanks, where Wald's tests by the exact likelihood stand beside ours. Shares of
p-values below 0.05, with their Monte Carlo errors. Prints Markdown.
"""

import argparse
import time
import warnings
from itertools import combinations, product
from math import erfc, sqrt
from typing import Any

import numpy as np
import torch

from pyro_rm.networks import IsingNetwork, compare
from pyro_rm.networks.intervals import chi_square_tail

LEVEL = 0.05


def states_and_features(num_sites: int) -> tuple[Any, Any]:
    """All states, and what a log-probability is linear in: products of pairs, then sites."""
    states = np.array(list(product([0.0, 1.0], repeat=num_sites)))
    first, second = np.array(list(combinations(range(num_sites), 2))).T
    return states, np.hstack([states[:, first] * states[:, second], states])


def chances(features: Any, parameters: Any) -> Any:
    """Probabilities of all states."""
    logits = features @ parameters
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def exact_fit(features: Any, counts: Any) -> tuple[Any, Any]:
    """Maximum likelihood by Newton's method, and the inverse of the Fisher information."""
    size, parameters = counts.sum(), np.zeros(features.shape[1])
    data = counts @ features / size

    def value(at: Any) -> float:
        logits = features @ at
        return float(data @ at - logits.max() - np.log(np.exp(logits - logits.max()).sum()))

    for _ in range(100):
        own = chances(features, parameters)
        mean = own @ features
        centered = features - mean
        information = centered.T @ (own[:, None] * centered)
        step, length = np.linalg.solve(information, data - mean), 1.0
        while value(parameters + length * step) < value(parameters) and length > 1e-6:
            length /= 2
        parameters = parameters + length * step
        if np.abs(step).max() < 1e-9:
            break
    return parameters, np.linalg.inv(information) / size


def exact_p_values(features: Any, groups: list[Any], num_edges: int) -> tuple[Any, float]:
    """Wald's tests of each coupling and of all by the exact likelihood."""
    fits = [exact_fit(features, counts) for counts in groups]
    gap = (fits[0][0] - fits[1][0])[:num_edges]
    spread = (fits[0][1] + fits[1][1])[:num_edges, :num_edges]
    square = torch.tensor(float(gap @ np.linalg.solve(spread, gap)))
    each = [erfc(abs(z) / sqrt(2)) for z in gap / np.sqrt(np.diag(spread))]
    return np.array(each), float(chi_square_tail(square, torch.tensor(num_edges)))


def model(generator: Any, num_sites: int) -> Any:
    """Couplings and fields."""
    there = generator.random(num_sites * (num_sites - 1) // 2) < 0.3
    couplings = there * generator.normal(0, 0.8, len(there))
    return np.concatenate([couplings, generator.uniform(-1.0, 0.0, num_sites)])


def share(hits: Any) -> str:
    """A share with its Monte Carlo error."""
    mean = np.mean(hits)
    return f"{mean:.3f} ± {sqrt(mean * (1 - mean) / np.size(hits)):.3f}"


def pair_of_tables(
    generator: Any, states: Any, features: Any, parameters: list[Any], num_rows: int
) -> tuple[list[Any], list[Any]]:
    """Two tables without constant columns, and how often each state is in them."""
    while True:
        numbers = [
            generator.choice(len(states), num_rows, p=chances(features, own)) for own in parameters
        ]
        tables = [states[own] for own in numbers]
        if all(table.std(0).min() > 0 for table in tables):
            return tables, [np.bincount(own, minlength=len(states)) for own in numbers]


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500, help="of tables, for each part")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--blanks", type=float, default=0.1, help="share, where groups are alike")
    parser.add_argument("--difference", type=float, default=0.8, help="of one coupling")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    states, features = states_and_features(options.sites)
    num_edges = options.sites * (options.sites - 1) // 2
    network = IsingNetwork(selection=None, random_state=0)
    for part in ("size", "power"):
        start = time.process_time()
        generator = np.random.default_rng([options.seed, part == "power"])
        ours: Any = {"all edges": [], "each edge": [], "global strength": []}
        exact: Any = {"all edges": [], "each edge": []}
        for _ in range(options.pairs):
            parameters = [model(generator, options.sites)] * 2
            changed = slice(None) if part == "size" else int(generator.integers(num_edges))
            if part == "power":
                parameters[1] = parameters[0].copy()
                parameters[1][changed] += options.difference
            tables, counts = pair_of_tables(generator, states, features, parameters, options.rows)
            if part == "size":
                for table in tables:
                    table[generator.random(table.shape) < options.blanks] = np.nan
            fits = [IsingNetwork(**network.get_params()).fit(table) for table in tables]
            found = compare(*fits)
            ours["all edges"].append(found.all_edges.p_value < LEVEL)
            ours["each edge"].append(np.atleast_1d(found.table.p_value.to_numpy()[changed]) < LEVEL)
            ours["global strength"].append(found.global_strength.p_value < LEVEL)
            if part == "power":
                each, together = exact_p_values(features, counts, num_edges)
                exact["all edges"].append(together < LEVEL)
                exact["each edge"].append(each[changed] < LEVEL)
        print(
            f"\n{part}, {options.pairs} pairs\n\n| test | ours | exact likelihood |\n|---|---|---|"
        )
        for name, hits in ours.items():
            known = exact.get(name)
            print(f"| {name} | {share(hits)} | {share(known) if known else ''} |")
        print(f"\n{time.process_time() - start:.0f} processor seconds", flush=True)


if __name__ == "__main__":
    main()
