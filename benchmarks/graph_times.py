"""Time and memory of fits of graph models to one large network, each in a process of its own."""

import argparse
import json
import resource
import time
import warnings
from multiprocessing import get_context
from typing import Any

import networkx as nx
import numpy as np
import torch

from pyro_rm.graphs import RandomGraphModel

TERMS = ["edges", "gwesp(0.5)", "gwdegree(0.5)", "nodematch('group')", "nodecov('size')"]
WAYS: dict[str, dict[str, Any]] = {
    "pseudolikelihood": {"method": "pseudolikelihood", "standard_errors": "naive"},
    "with Godambe errors": {"method": "pseudolikelihood"},
    "likelihood": {"method": "likelihood"},
}


def power_law(num_nodes: int) -> nx.Graph:
    """A power-law cluster graph with two attributes that say nothing about its edges."""
    graph = nx.powerlaw_cluster_graph(num_nodes, 3, 0.3, seed=1)
    random = np.random.default_rng(0)
    groups, sizes = random.choice(list("abc"), num_nodes), random.normal(size=num_nodes)
    nx.set_node_attributes(graph, dict(enumerate(groups.tolist())), "group")
    nx.set_node_attributes(graph, dict(enumerate(sizes.tolist())), "size")
    return graph


def drawn(num_nodes: int) -> nx.Graph:
    """A network of the model itself, with some eight edges a node."""
    graph = power_law(num_nodes)
    model = RandomGraphModel(TERMS, **WAYS["pseudolikelihood"]).fit(graph)
    point = [-np.log(num_nodes) + 1.0, 0.3, 0.5, 0.8, 0.2]
    model.coefficients_ = np.array(point)
    return model.simulate(1, num_steps=200 * num_nodes)[0]


NETWORKS = {"power law": power_law, "drawn": drawn}


def measured(network: str, num_nodes: int, way: str) -> dict[str, Any]:
    """Seconds, gigabytes and estimates of one fit."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = NETWORKS[network](num_nodes)
    start, busy = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = RandomGraphModel(TERMS, **WAYS[way]).fit(graph)
    return {
        "network": network,
        "nodes": num_nodes,
        "edges": graph.number_of_edges(),
        "way": way,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "converged": model.converged_,
        "estimates": model.coefficients_.round(3).tolist(),
        "errors": model.standard_errors_.round(3).tolist(),
        "warnings": [str(each.message)[:120] for each in said],
    }


def main() -> None:
    """Measure, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-nodes", type=int, default=1300)
    parser.add_argument("--network", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument("--way", choices=WAYS, nargs="+", default=list(WAYS))
    arguments = parser.parse_args()
    for network in arguments.network:
        for way in arguments.way:
            with get_context("spawn").Pool(1) as pool:
                print(json.dumps(pool.apply(measured, (network, arguments.num_nodes, way))))


if __name__ == "__main__":
    main()
