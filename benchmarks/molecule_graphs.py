"""Molecule-like graphs: rings of five or six atoms with substituents, learned and drawn.

Atoms are C, N and O, bonds single and double; no atom has more bonds than its valence (4, 3, 2).
Of 200 graphs 40 choose the number of steps, by log probabilities that are read off, and 160 train.
Drawn graphs, none of them rejected, are compared with as many fresh ones: the share that keeps
valences, that is connected, and that is new, and discrepancies of degrees and of the surroundings
of atoms (an element and its bonds). Beside them: the training graphs (the floor), graphs as fresh
ones with independent elements and bonds, and graphs with independent edges, too. Prints Markdown.
"""

import argparse
import time
import warnings
from collections import Counter

import networkx as nx
import numpy as np
import torch

from pyro_rm.graphs import GraphGenerator, graph_mmd
from pyro_rm.graphs.graph_types import GraphTypes

VALENCES = {"C": 4, "N": 3, "O": 2}
ORDERS = {"single": 1, "double": 2}
SUBSTITUENTS = (("C", "single"), ("N", "single"), ("O", "single"), ("O", "double"))


def bond_orders(graph: nx.Graph) -> dict[int, int]:
    """Sums of the orders of each atom's bonds."""
    return {
        node: sum(ORDERS[bond] for *_, bond in graph.edges(node, data="bond")) for node in graph
    }


def keeps_valences(graph: nx.Graph) -> bool:
    """Whether no atom has more bonds than it can have."""
    return all(
        order <= VALENCES[graph.nodes[node]["element"]]
        for node, order in bond_orders(graph).items()
    )


def molecule(rng: np.random.Generator) -> nx.Graph:
    """A ring, with double bonds in half of those of six, and one to three substituents."""
    size = int(rng.integers(5, 7))
    graph = nx.cycle_graph(size)
    aromatic = size == 6 and rng.random() < 0.5
    for node in graph:
        graph.nodes[node]["element"] = "N" if rng.random() < 0.15 else "C"
    if not aromatic and rng.random() < 0.3:
        graph.nodes[0]["element"] = "O"
    for start, stop in graph.edges:
        double = aromatic and min(start, stop) % 2 == 0 and abs(start - stop) == 1
        graph.edges[start, stop]["bond"] = "double" if double else "single"
    for _ in range(int(rng.integers(1, 4))):
        element, bond = SUBSTITUENTS[int(rng.integers(len(SUBSTITUENTS)))]
        place = int(rng.integers(size))
        free = VALENCES[graph.nodes[place]["element"]] - bond_orders(graph)[place]
        if free >= ORDERS[bond]:
            node = len(graph)
            graph.add_node(node, element=element)
            graph.add_edge(place, node, bond=bond)
    assert keeps_valences(graph)
    return graph


def independent_types(
    graphs: list[nx.Graph], types: GraphTypes, rng: np.random.Generator, *, edges: bool
) -> list[nx.Graph]:
    """The same graphs, or random ones as dense, with independent elements and bonds."""
    result = []
    for graph in graphs:
        same = nx.Graph(graph.edges)
        same.add_nodes_from(graph)
        if edges:
            same = nx.gnp_random_graph(len(graph), nx.density(graph), int(rng.integers(2**31)))
        for node in same:
            same.nodes[node]["element"] = drawn_type(types.nodes, rng)
        for start, stop in same.edges:
            same.edges[start, stop]["bond"] = drawn_type(types.edges, rng)
        result.append(same)
    return result


def drawn_type(shares: tuple[tuple[str, float], ...], rng: np.random.Generator) -> str:
    """A category by its share."""
    return str(rng.choice([name for name, _ in shares], p=[share for _, share in shares]))


def surroundings_mmd(samples: list[nx.Graph], reference: list[nx.Graph]) -> float:
    """Squared discrepancy of shares of atoms by element and bonds, as in graph_mmd's "tv"."""
    counts = [
        Counter(
            (element, *sorted(bond for *_, bond in graph.edges(node, data="bond")))
            for node, element in graph.nodes(data="element")
        )
        for graph in [*samples, *reference]
    ]
    kinds = sorted(set().union(*counts))
    table = torch.tensor([[c[kind] / c.total() for kind in kinds] for c in counts]).double()
    gram = torch.exp(-(torch.cdist(table, table, p=1) / 2).square() / 2)
    n = len(samples)
    return float(gram[:n, :n].mean() + gram[n:, n:].mean() - 2 * gram[:n, n:].mean())


def label(graph: nx.Graph) -> str:
    """Equal for graphs that are equal up to the order of atoms, and hardly ever for others."""
    return nx.weisfeiler_lehman_graph_hash(graph, edge_attr="bond", node_attr="element")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[700, 2000, 4000])
    parser.add_argument("--sweeps", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    graphs = [molecule(rng) for _ in range(200)]
    train, validation, test = graphs[40:], graphs[:40], [molecule(rng) for _ in range(200)]
    best = (-np.inf, GraphGenerator())
    for steps in options.steps:
        torch.manual_seed(options.seed)
        start = time.process_time()
        generator = GraphGenerator(
            node_attribute="element", edge_attribute="bond", num_walks=5, num_steps=steps,
            num_sweeps=options.sweeps,
        ).fit(train)  # fmt: skip
        read, seconds = float(generator.log_prob(validation).mean()), time.process_time() - start
        print(f"{steps} steps: {read:.2f} on validation data, {seconds:.0f} s", flush=True)
        best = max(best, (read, generator), key=lambda pair: pair[0])
    generator = best[1]
    start = time.process_time()
    drawn = generator.sample(len(test))
    seconds = time.process_time() - start
    resampled = [train[int(k)] for k in rng.integers(len(train), size=len(test))]
    ways = {
        "the training graphs (floor)": resampled,
        "GraphGenerator": drawn,
        "fresh graphs, independent types": independent_types(
            test, generator.types_, rng, edges=False
        ),
        "independent edges and types": independent_types(test, generator.types_, rng, edges=True),
        "other fresh graphs": [molecule(rng) for _ in test],
    }
    known = {label(graph) for graph in train}
    print(f"\n{len(train)} graphs to train, {generator.num_steps} steps\n")
    print("| drawn by | keep valences | connected | new | degree | surroundings |")
    print("|---|---|---|---|---|---|")
    for name, some in ways.items():
        shares = [
            np.mean([keeps_valences(graph) for graph in some]),
            np.mean([nx.is_connected(graph) for graph in some]),
            np.mean([label(graph) not in known for graph in some]),
        ]
        far = graph_mmd(some, test, kernel="tv")["degree"], surroundings_mmd(some, test)
        cells = [f"{share:.3f}" for share in shares] + [f"{value:.4f}" for value in far]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\nlog probability of a fresh graph, read off: {generator.log_prob(test).mean():.2f}")
    print(f"{seconds:.0f} processor seconds to draw {len(test)}")


if __name__ == "__main__":
    main()
