"""The inverse Ising problem: recovery, support, standard errors and cost.

    python benchmarks/ising.py --part lattice   # -log RMSE beside the known support, PCD, kappa
    python benchmarks/ising.py --part graphs    # support F1 against sample size, a figure
    python benchmarks/ising.py --part errors    # coverage of nominal 95 % intervals
    python benchmarks/ising.py --part cost      # a full batch beside its matrix products
    python benchmarks/ising.py --part path      # the path and the refit at many sites
    python benchmarks/ising.py --part sparse    # a training step at 100000 sites, its memory

Supports and penalties are chosen from the data alone. Errors are in the convention
log p = x'Jx over both entries of each pair. Prints mean and worst over seeds.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pyro
import torch
from pyro.infer import SVI

import pyro_rm
from pyro_rm.datasets import coupling_matrix, lattice, with_couplings
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel
from pyro_rm.energies import IsingEnergy, SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.markov_steps import GibbsWithGradients
from pyro_rm.networks import IsingNetwork, negative_log_error, simulate_ising, support_f1
from pyro_rm.networks.observations import Observations, mean_objective


def timed_fit(network: IsingNetwork, x: torch.Tensor) -> tuple[IsingNetwork, float, float]:
    """A fit, its seconds on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    network.fit(x)
    return network, time.perf_counter() - clock, time.process_time() - processor


def persistent_contrastive_divergence(x: torch.Tensor, seconds: float) -> np.ndarray:
    """Couplings after so many processor seconds of SVI, averaged over the second half."""
    energy = IsingEnergy(x.shape[1], states=(-1, 1)).double()
    pyro.clear_param_store()

    def model(batch: torch.Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(batch)):
            pyro.sample("x", EnergyModel(energy), obs=batch)

    step = GibbsWithGradients(num_proposals=10)
    loss = pyro_rm.ContrastiveDivergence(1, step=step, persistent=True, num_chains=256)
    svi = SVI(model, lambda batch: None, pyro.optim.Adam({"lr": 3e-3}), loss)
    start, total, count = time.process_time(), torch.zeros_like(energy.weight), 0
    while (spent := time.process_time() - start) < seconds:
        svi.step(x[torch.randint(len(x), (256,))])
        if spent > seconds / 2:
            total, count = total + energy.couplings.detach(), count + 1
    return (total / max(count, 1)).numpy()


def compared(graph: nx.Graph, true: np.ndarray, x: torch.Tensor, seconds: float) -> dict:
    """The known support, the squared ratio as learned and times kappa, PCD at equal time."""
    known = IsingNetwork(graph=graph).fit(x)
    shrunk = IsingNetwork(objective="squared_ratio").fit(x).couplings_
    pcd = persistent_contrastive_divergence(x, seconds)
    return {
        "known_support": negative_log_error(known.couplings_, true),
        "squared_ratio": negative_log_error(shrunk, true),
        "squared_ratio_kappa": negative_log_error(4 * shrunk, true),
        "pcd_equal_time": negative_log_error(pcd, true),
    }


def lattice_part(arguments: argparse.Namespace) -> list[dict]:
    """Recovery on lattices, with what it is to be compared with."""
    pyro.enable_validation(False)
    rows = []
    for side, sigma in ((10, 0.1), (10, 0.2), (9, -0.1)):
        for seed in range(arguments.seeds):
            pyro.set_rng_seed(seed)
            graph = lattice(side, side, coupling=2 * sigma)
            true = nx.to_numpy_array(graph)
            x = simulate_ising(graph, 2000, num_steps=arguments.num_sweeps)
            network, seconds, processor = timed_fit(IsingNetwork(), x)
            row = {
                "side": side, "sigma": sigma, "seed": seed, "seconds": seconds,
                "processor_seconds": processor,
                "neg_log_rmse": negative_log_error(network.couplings_, true),
                "f1": support_f1(network.couplings_, true),
            }  # fmt: skip
            if seed < arguments.compared_seeds:
                row |= compared(graph, true, x, processor)
            rows.append(row)
            print({k: round(v, 3) for k, v in row.items()}, flush=True)
    for side, sigma in ((10, 0.1), (10, 0.2), (9, -0.1)):
        these = [row for row in rows if (row["side"], row["sigma"]) == (side, sigma)]
        for key in list(rows[0])[3:]:
            values = [row[key] for row in these if key in row]
            worst = max(values) if "seconds" in key else min(values)
            print(f"{side} {sigma} {key:20s} mean {statistics.mean(values):.3f} worst {worst:.3f}")
    return rows


def random_glass(num_sites: int) -> nx.Graph:
    """A random graph of degree 4 with couplings of 0.3 and either sign."""
    seed = int(torch.randint(2**31 - 1, ()))
    graph = nx.random_regular_graph(4, num_sites, seed=seed)
    signs = 2.0 * torch.randint(2, (graph.number_of_edges(),)) - 1
    return with_couplings(graph, 0.3 * signs)


def graphs_part(arguments: argparse.Namespace) -> list[dict]:
    """Support F1 on random graphs with 200 sites of degree 4, couplings of either sign."""
    pyro.enable_validation(False)
    objectives = ("pseudolikelihood", "ratio_matching", "minimum_probability_flow")
    sizes = (250, 500, 1000, 2000)
    rows = []
    for seed in range(arguments.seeds):
        pyro.set_rng_seed(seed)
        graph = random_glass(200)
        true = nx.to_numpy_array(graph)
        x = simulate_ising(graph, max(sizes), num_steps=100)
        for size in sizes:
            for objective in objectives:
                network, seconds, _ = timed_fit(IsingNetwork(objective=objective), x[:size])
                f1 = support_f1(network.couplings_, true)
                rows.append({
                    "seed": seed, "size": size, "objective": objective,
                    "f1": f1, "seconds": seconds,
                })  # fmt: skip
                print(rows[-1], flush=True)
    draw_graphs(rows, objectives, sizes, arguments.out / "support.png")
    return rows


def draw_graphs(rows: list[dict], objectives: tuple, sizes: tuple, path: Path) -> None:
    """Mean and range of F1 over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for shift, objective in enumerate(objectives):
        f1 = [
            [r["f1"] for r in rows if (r["objective"], r["size"]) == (objective, n)] for n in sizes
        ]
        mean = np.array([statistics.mean(values) for values in f1])
        spread = np.array([[m - min(v), max(v) - m] for m, v in zip(mean, f1, strict=True)]).T
        places = np.array(sizes) * 1.03 ** (shift - 1)
        pyplot.errorbar(places, mean, spread, marker="o", capsize=3, label=objective)
    pyplot.xscale("log")
    pyplot.xticks(sizes, sizes)
    pyplot.minorticks_off()
    pyplot.xlabel("samples")
    pyplot.ylabel("F1 of the support, mean and range over seeds")
    pyplot.legend()
    pyplot.tight_layout()
    pyplot.savefig(path, dpi=120)


def errors_part(arguments: argparse.Namespace) -> list[dict]:
    """Coverage of nominal 95 % intervals: 10 sites, 1000 data, all couplings."""
    pyro.set_rng_seed(0)
    torch.set_default_dtype(torch.float64)
    pyro.enable_validation(False)
    hits = []
    for _ in range(arguments.sets):
        couplings = (0.3 * torch.randn(10, 10)).triu(1)
        couplings = couplings + couplings.mT
        model = NormalizedModel(Ising(couplings, 0.2 * torch.randn(10), states=(-1, 1)))
        network = IsingNetwork(selection=None).fit(model.sample((1000,)))
        first, second = network.edges_.T
        distance = np.abs(network.weights_ - couplings.numpy()[first, second])
        hits.append(distance < 1.959964 * network.standard_errors_)
    each = np.mean(hits, 0)
    row = {"sets": arguments.sets, "coverage": float(np.mean(hits)),
           "lowest_coupling": float(each.min()), "highest_coupling": float(each.max())}  # fmt: skip
    print(row)
    return [row]


def cost_part(arguments: argparse.Namespace) -> list[dict]:
    """One exact full-batch loss and gradient beside the two products that it needs."""
    size, count = arguments.num_sites, 10 * arguments.num_sites
    x = 2.0 * torch.randint(2, (count, size)) - 1
    energy = IsingEnergy(size, states=(-1, 1))
    observations = Observations.of(x, energy.state_space)
    estimator, matrix, slopes = Estimator(num_neighbors="all"), torch.randn(size, size), 0.1 * x

    def gradient() -> None:
        energy.zero_grad()
        mean_objective(energy, observations, estimator, backward=True)

    def products() -> None:
        x @ matrix, x.mT @ slopes

    spent: dict[str, list[float]] = {"gradient": [], "products": []}
    for _ in range(6):
        for name, run in (("gradient", gradient), ("products", products)):
            start = time.process_time()
            run()
            spent[name].append(time.process_time() - start)
    best = {name: min(values[1:]) for name, values in spent.items()}
    row = {"num_sites": size, "num_data": count, **best,
           "ratio": best["gradient"] / best["products"]}  # fmt: skip
    print(row)
    return [row]


def path_part(arguments: argparse.Namespace) -> list[dict]:
    """The path, the selection and the refit on a random graph with many sites."""
    pyro.set_rng_seed(0)
    pyro.enable_validation(False)
    graph = random_glass(arguments.num_sites)
    x = simulate_ising(graph, 10 * arguments.num_sites, num_steps=30).float()
    network, seconds, processor = timed_fit(IsingNetwork(dtype=torch.float32), x)
    true = coupling_matrix(graph).numpy()
    row = {"num_sites": arguments.num_sites, "num_data": len(x), "seconds": seconds,
           "processor_seconds": processor, "edges": len(network.edges_),
           "f1": support_f1(network.couplings_, true)}  # fmt: skip
    print(row)
    return [row]


def sparse_part(arguments: argparse.Namespace) -> list[dict]:
    """SVI steps with 128 data at 100000 sites and 200000 edges, and the memory they take."""
    sites, batch = 100_000, 128
    first = torch.arange(sites)
    edges = torch.cat([torch.stack([first, (first + k) % sites], 1) for k in (1, 317)])
    energy = SparseIsingEnergy(sites, edges, states=(-1, 1))
    x = 2.0 * torch.randint(2, (batch, sites)) - 1

    def model(data: torch.Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(data)):
            pyro.sample("x", EnergyModel(energy), obs=data)

    svi = SVI(model, lambda data: None, pyro.optim.Adam({"lr": 1e-3}), pyro_rm.RatioMatchingLoss())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peaks, seconds = [], []
    for _ in range(10):
        start = time.process_time()
        svi.step(x)
        seconds.append(time.process_time() - start)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    row = {"num_sites": sites, "num_edges": len(edges), "batch": batch,
           "data_megabytes": x.numel() * 4 / 2**20, "dense_megabytes": sites**2 * 4 / 2**20,
           "megabytes_before": before, "megabytes_after_2": peaks[1],
           "megabytes_after_10": peaks[-1],
           "processor_seconds_per_step": statistics.median(seconds)}  # fmt: skip
    print(row)
    return [row]


def main() -> None:
    """Run a part."""
    parts = {
        "lattice": lattice_part, "graphs": graphs_part, "errors": errors_part,
        "cost": cost_part, "path": path_part, "sparse": sparse_part,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=list(parts), required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--compared-seeds", type=int, default=5, help="seeds with comparisons")
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--num-sweeps", type=int, default=300)
    parser.add_argument("--num-sites", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("out"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = parts[arguments.part](arguments)
    (arguments.out / f"ising_{arguments.part}.json").write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
