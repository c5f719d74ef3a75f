"""How often intervals of networks hold the truth, under three truths, the worst first.

Truths over all states of a few columns: the model itself; the same with rare answers; and a mixture
of two classes, in each of which columns are independent, which no pairwise model is. There the
truth is what the fit tends to as rows grow: the fit to the distribution itself. Nominal level 90 %,
all pairs of columns together. Prints Markdown.
"""

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pyro_rm.networks import IsingNetwork, OrdinalNetwork, compare

LEVEL, BLANKS = 0.9, 0.15
KINDS = {"binary": (IsingNetwork, 2, 6), "ordinal": (OrdinalNetwork, 3, 5)}


def truths(kind: str, rng: np.random.Generator) -> Iterator[tuple[str, Any, Any]]:
    """Name, states and probabilities of each truth."""
    _, categories, num_sites = KINDS[kind]
    states = np.array(list(itertools.product(range(categories), repeat=num_sites)), dtype=float)
    scores = states / (categories - 1)
    first, second = np.array(list(itertools.combinations(range(num_sites), 2))).T
    couplings = rng.normal(0, 0.8, len(first)) * (rng.random(len(first)) < 0.6)
    for name, level in (("the model", -0.3), ("rare answers", -2.4)):
        fields = rng.normal(level, 0.2, num_sites)
        logits = scores @ fields + (scores[:, first] * scores[:, second]) @ couplings
        weights = np.exp(logits - logits.max())
        yield name, states, weights / weights.sum()
    parts = []
    for level in (-1.2, 0.9):
        logits = scores @ rng.normal(level, 0.3, num_sites)
        weights = np.exp(logits - logits.max())
        parts.append(weights / weights.sum())
    yield "two classes", states, 0.5 * parts[0] + 0.5 * parts[1]


def blank(rng: np.random.Generator, table: Any) -> Any:
    """The table with a share of its cells blank, at random."""
    return np.where(rng.random(table.shape) < BLANKS, np.nan, table)


def fitted(kind: str, table: Any, **options: Any) -> Any:
    """A network of all pairs."""
    weights = options.pop("sample_weight", None)
    make = KINDS[kind][0]
    extra = {"kinds": "ordinal"} if kind == "ordinal" else {}
    network = make(selection=None, random_state=0, **extra, **options)
    return network.fit(table, sample_weight=weights)


def inside(table: Any, truth: Any) -> list[bool]:
    """Whether each interval holds the truth, of pairs that have a standard error."""
    known = table.standard_error.notna().to_numpy()
    held = (table.lower <= truth) & (truth <= table.upper)
    return held.to_numpy()[known].tolist()


def ways(kind: str, states: Any, chances: Any, num_rows: int) -> dict[str, Callable[[Any], Any]]:
    """What a set of intervals is from: a function of a generator."""
    exact = fitted(kind, states, sample_weight=1e7 * chances)
    truth = exact.weights_

    def rows(rng: Any, shares: Any = chances) -> Any:
        while True:
            chosen = rng.choice(len(states), num_rows, p=shares)
            if states[chosen].std(0).min() > 0:
                return chosen

    def whole(rng: Any) -> list[bool]:
        return inside(fitted(kind, states[rows(rng)]).summary(level=LEVEL), truth)

    def blanks(rng: Any) -> list[bool]:
        return inside(fitted(kind, blank(rng, states[rows(rng)])).summary(level=LEVEL), truth)

    def weighted(rng: Any) -> list[bool]:
        often = np.where(states[:, 0] > 0, 2.0, 1.0)  # rows of one kind were sampled twice as often
        shares = chances * often
        chosen = rows(rng, shares / shares.sum())
        network = fitted(
            kind, states[chosen], sample_weight=1 / often[chosen], weighting="sampling"
        )
        return inside(network.summary(level=LEVEL), truth)

    def groups(rng: Any) -> list[bool]:
        pair = [fitted(kind, states[rows(rng)]) for _ in range(2)]
        return inside(compare(*pair, level=LEVEL).table, 0.0)

    return {"all rows": whole, "blanks": blanks, "sampling weights": weighted, "groups": groups}


def main() -> None:
    """Run all combinations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found, start = [], time.process_time()
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([options.seed, number])
        for truth, states, chances in truths(kind, rng):
            for way, draw in ways(kind, states, chances, options.rows).items():
                held, refused = [], 0
                for _ in range(options.sets):
                    try:
                        held += draw(rng)
                    except ValueError:
                        refused += 1
                found.append((float(np.mean(held)), kind, truth, way, len(held), refused))
    found.sort(key=lambda row: -abs(row[0] - LEVEL))
    print("| coverage | columns | truth | intervals from | intervals | sets refused |")
    print("|---|---|---|---|---|---|")
    for share, *words in found:
        print(f"| {share:.3f} | {' | '.join(map(str, words))} |")
    print(f"\n{time.process_time() - start:.0f} processor seconds")


if __name__ == "__main__":
    main()
