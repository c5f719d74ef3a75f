"""Recover the couplings of an Ising model: simulated on a lattice, or from a CSV file.

    python examples/ising.py --lattice 10 --sigma 0.1 --num-samples 2000 --seed 0 --out out

Sigma is in the convention log p = sigma x'Ax over both entries of each pair, x = -1 or 1: the
couplings J of this library, in sums over pairs, are twice that, and errors are reported on the
D x D entries of J / 2. The support and the penalty are chosen from the data alone. Saves
ising.png and results.json.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import networkx as nx
import numpy as np
import pyro

from pyro_rm.datasets import lattice, read_csv_table
from pyro_rm.networks import IsingNetwork, negative_log_error, simulate_ising, support_f1
from pyro_rm.networks.plots import plot_intervals, plot_network

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def roc(strengths: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates as pairs are accepted from the strongest on."""
    pairs = np.triu_indices(len(true), 1)
    present = (true[pairs] != 0)[np.argsort(-np.abs(strengths[pairs]), kind="stable")]
    return np.cumsum(~present) / max(1, (~present).sum()), np.cumsum(present) / present.sum()


def draw_recovery(network: IsingNetwork, dense: IsingNetwork, true: np.ndarray, path: Path) -> None:
    """True against learned couplings, and the ROC of the support without selection."""
    pairs = np.triu_indices(len(true), 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    for learned, name, size in ((dense, "all pairs", 6), (network, "selected and refitted", 12)):
        left.scatter(true[pairs], learned.couplings_[pairs], s=size, label=name)
    limits = [true.min() - 0.1, true.max() + 0.1]
    left.plot(limits, limits, color="gray", linewidth=0.8)
    left.set(xlabel="true coupling", ylabel="learned coupling")
    left.legend()
    right.plot(*roc(dense.couplings_, true), label="all pairs, by size")
    found = network.couplings_[pairs] != 0
    right.plot(
        (found & (true[pairs] == 0)).sum() / (true[pairs] == 0).sum(),
        (found & (true[pairs] != 0)).sum() / (true[pairs] != 0).sum(),
        "o", label="selected",
    )  # fmt: skip
    right.set(xlabel="false positive rate", ylabel="true positive rate", title="support")
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_network(network: IsingNetwork, path: Path) -> None:
    """The network, and intervals of its strongest couplings."""
    graph = network.to_networkx()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5))
    plot_network(graph, left)
    plot_intervals(graph, right)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="CSV of two-valued columns, blanks allowed")
    parser.add_argument("--lattice", type=int, default=10, help="side of a periodic lattice")
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--num-samples", type=int, default=2000)
    parser.add_argument("--num-sweeps", type=int, default=500, help="of each simulated chain")
    parser.add_argument("--objective", default="pseudolikelihood")
    parser.add_argument("--selection", default="ebic", choices=["ebic", "held_out"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.smoke:
        arguments.lattice, arguments.num_sweeps = 4, 50
    options = {"selection": arguments.selection, "objective": arguments.objective}
    network, true = IsingNetwork(**options), None
    if arguments.data is None:
        graph = lattice(arguments.lattice, arguments.lattice, coupling=2 * arguments.sigma)
        true = nx.to_numpy_array(graph)
        table = simulate_ising(
            graph, arguments.num_samples, num_steps=arguments.num_sweeps, progress=True
        ).numpy()
    else:
        import pandas

        read = read_csv_table(arguments.data)
        table = pandas.DataFrame(read.values.numpy(), columns=read.columns)
    start = time.perf_counter()
    network.fit(table)
    results = {"seconds": time.perf_counter() - start, "num_edges": len(network.edges_)}
    if true is None:
        draw_network(network, arguments.out / "ising.png")
    else:
        results["neg_log_rmse"] = negative_log_error(network.couplings_, true)
        results["support_f1"] = support_f1(network.couplings_, true)
        dense = IsingNetwork(selection=None, objective=arguments.objective).fit(table)
        draw_recovery(network, dense, true, arguments.out / "ising.png")
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
