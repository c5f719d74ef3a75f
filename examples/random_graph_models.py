"""Explain real networks that come with networkx by exponential-family random graph models.

Fits each network, and saves the estimates with their intervals, and how well simulated
networks are like the observed one.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pyro
from matplotlib.figure import Figure

from pyro_rm.graphs import RandomGraphModel

WEALTH = {
    "Acciaiuoli": 10, "Albizzi": 36, "Barbadori": 55, "Bischeri": 44, "Castellani": 20,
    "Ginori": 32, "Guadagni": 8, "Lamberteschi": 42, "Medici": 103, "Pazzi": 48, "Peruzzi": 49,
    "Pucci": 3, "Ridolfi": 27, "Salviati": 10, "Strozzi": 146, "Tornabuoni": 48,
}  # fmt: skip  # of the families, in thousands of lire, as in the R package ergm


def florentine() -> nx.Graph:
    """Marriages of 16 families, among them the Pucci, who married nobody."""
    graph = nx.florentine_families_graph()
    graph.add_node("Pucci")
    nx.set_node_attributes(graph, WEALTH, "wealth")
    return graph


def power_law(num_nodes: int = 1300) -> nx.Graph:
    """A power-law cluster graph whose nodes have a group and a size."""
    graph = nx.powerlaw_cluster_graph(num_nodes, 3, 0.3, seed=1)
    random = np.random.default_rng(0)
    groups, sizes = random.choice(list("abc"), num_nodes), random.normal(size=num_nodes)
    nx.set_node_attributes(graph, dict(enumerate(groups.tolist())), "group")
    nx.set_node_attributes(graph, dict(enumerate(sizes.tolist())), "size")
    return graph


NETWORKS: dict[str, tuple[Any, list[str], str]] = {
    "florentine": (florentine, ["edges", "nodecov('wealth')", "gwesp(0.5)"], "likelihood"),
    "karate": (
        nx.karate_club_graph,
        ["edges", "gwesp(0.5)", "gwdegree(0.5)", "nodematch('club')"],
        "likelihood",
    ),
    "davis": (
        nx.davis_southern_women_graph,
        ["edges", "gwb1degree(0.5)", "gwdsp(0.3)"],
        "likelihood",
    ),
    "miserables": (
        nx.les_miserables_graph,
        ["edges", "gwesp(0.7)", "gwdegree(1.0)"],
        "pseudolikelihood",
    ),
    "power law": (
        power_law,
        ["edges", "gwesp(0.5)", "gwdegree(0.5)", "nodematch('group')", "nodecov('size')"],
        "pseudolikelihood",
    ),
}


def explain(name: str, *, smoke: bool) -> tuple[RandomGraphModel, dict[str, Any]]:
    """Fit the model of a network; it, and what it found."""
    make, terms, method = NETWORKS[name]
    graph, start = make(), time.perf_counter()
    options: dict[str, Any] = {"max_rounds": 3, "num_simulations": 5} if smoke else {}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = RandomGraphModel(terms, method=method, **options).fit(graph)
    return model, {
        "nodes": len(graph),
        "edges": graph.number_of_edges(),
        "method": method,
        "terms": model.summary().set_index("term").round(4).to_dict("index"),
        "converged": model.converged_,
        "degenerate": model.degenerate_,
        "warnings": [str(each.message) for each in said],
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two networks, for tests")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    names = ["florentine", "karate"] if arguments.smoke else arguments.networks
    figure = Figure(figsize=(12, 2.6 * len(names)), layout="tight")
    axes = figure.subplots(len(names), 3, squeeze=False)
    results = {}
    for row, name in zip(axes, names, strict=True):
        model, results[name] = explain(name, smoke=arguments.smoke)
        print(f"{name}: {'converged' if model.converged_ else 'not converged'}")
        print(model.summary().iloc[:, :5].round(3).to_string(index=False))
        for text in results[name]["warnings"]:
            print(text)
        tables = model.goodness_of_fit(num_simulations=5 if arguments.smoke else 50)
        model.plot_goodness_of_fit(row[: len(tables)], tables=tables)
        for axis in row[len(tables) :]:
            axis.set_axis_off()
        row[0].set_title(name)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    figure.savefig(arguments.out / "random_graph_models.png", dpi=100)
    print(f"saved {arguments.out / 'random_graph_models.png'} and results.json")


if __name__ == "__main__":
    main()
