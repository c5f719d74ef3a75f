"""Coverage of 95 % intervals of graph models, over networks that a known model simulates."""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch

from pyro_rm.graphs import RandomGraphModel

TERMS = {"edges": -3.2, "gwesp(0.5)": 0.3, "gwdegree(0.5)": 0.4, "nodematch('group')": 0.7}

WAYS: dict[str, dict[str, Any]] = {
    "godambe": {"method": "pseudolikelihood"},
    "bootstrap": {"method": "pseudolikelihood", "standard_errors": "bootstrap"},
    "naive": {"method": "pseudolikelihood", "standard_errors": "naive"},
    "likelihood": {"method": "likelihood"},
}


def known_model(num_nodes: int) -> RandomGraphModel:
    """A model whose coefficients are set, on nodes of two groups."""
    graph = nx.gnp_random_graph(num_nodes, 0.1, seed=0)
    nx.set_node_attributes(graph, {node: "ab"[node % 2] for node in graph}, "group")
    model = RandomGraphModel(list(TERMS), method="pseudolikelihood", standard_errors="naive")
    model.fit(graph)
    model.coefficients_ = np.array(list(TERMS.values()))
    return model


def main() -> None:
    """Simulate, fit and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-networks", type=int, default=200)
    parser.add_argument("--num-nodes", type=int, default=50)
    parser.add_argument("--way", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path("out"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    start = time.perf_counter()
    truth = np.array(list(TERMS.values()))
    networks = known_model(arguments.num_nodes).simulate(arguments.num_networks, num_steps=20000)
    results: dict[str, Any] = {"edges": float(np.mean([len(graph.edges) for graph in networks]))}
    for way in arguments.way:
        inside, deviations = [], []
        for graph in networks:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = RandomGraphModel(list(TERMS), **WAYS[way]).fit(graph)
            errors = model.coefficients_ - truth
            inside.append(np.abs(errors) < 1.96 * model.standard_errors_)
            deviations.append(errors)
        results[way] = {
            "coverage": dict(zip(TERMS, np.mean(inside, 0).round(3).tolist(), strict=True)),
            "bias": np.mean(deviations, 0).round(3).tolist(),
            "deviation": np.std(deviations, 0).round(3).tolist(),
        }
        print(way, json.dumps(results[way]))
    results["seconds"] = time.perf_counter() - start
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "graph_intervals.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
