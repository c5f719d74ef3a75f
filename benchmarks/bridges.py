"""What the bridges promise: intervals of sample sets, and leave-one-out as ArviZ computes it.

Prints two tables. The first: how often nominal 90 % intervals of ``from_sampleset`` hold the truth,
over exact sample sets of models with known couplings, fields and temperature, and how often some
difference from the programmed model is found that is not there, at 5 % for all of them together.
The second: the expected log predictive density of Ising posteriors of six spins by ``arviz.loo``,
beside exact leave-one-out by importance sampling from the exact posterior.
"""

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import dimod
import networkx as nx
import numpy as np
import pyro
import pyro.distributions as dist
import torch

from pyro_rm import StateSpace, Target
from pyro_rm.bridges import from_bqm, from_sampleset, to_inference_data
from pyro_rm.datasets import coupling_matrix
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.enumeration import Enumeration, index_of, states_at
from pyro_rm.infer import calibrate
from pyro_rm.networks import IsingNetwork

SITES, PAIRS = 6, 15


def programmed(graph: nx.Graph, vartype: str, scale: float, rng: Any) -> Any:
    """Random couplings on a graph, and smaller fields."""
    bqm = dimod.BinaryQuadraticModel(vartype)
    for node in graph:
        bqm.add_linear(node, 0.3 * scale * rng.normal())
    for edge in graph.edges:
        bqm.add_quadratic(*edge, scale * rng.choice([-1, 1]) * rng.uniform(0.3, 1))
    return bqm


def intervals(num_sets: int, cold: bool) -> None:
    """Print the first table."""
    print("| model | samples | couplings | fields | 1 / T | differences | false alarm |")
    print("|---|---|---|---|---|---|---|")
    lattice = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4))
    cases = [
        ("lattice of 12 spins", lattice, "SPIN", 1.0, 1000),
        ("lattice of 12 spins", lattice, "SPIN", 1.0, 10_000),
        ("10 spins, all pairs", nx.complete_graph(10), "SPIN", 0.4, 2000),
        ("lattice of 12 bits", lattice, "BINARY", 2.0, 1000),
    ]
    if cold:
        cases = [("lattice of 12 spins, cold", lattice, "SPIN", 3.0, 1000)]
    for name, graph, vartype, scale, size in cases:
        rows = list(
            _held(programmed(graph, vartype, scale, np.random.default_rng(0)), size, num_sets)
        )
        edges = graph.number_of_edges()
        each = [row[0] for row in rows if row[0] is not None]
        whole = len(each) == len(rows)  # else some variables were merged in some sets
        shares = [
            np.mean([row[part] for row in each]) for part in (slice(edges), slice(edges, None))
        ]
        others = np.nanmean(np.array([row[1:] for row in rows], dtype=float), axis=0)
        cells = [f"{share:.3f}" if whole else "" for share in shares]
        cells += [f"{share:.3f}" for share in others]
        print(f"| {name} | {size} | {' | '.join(cells)} |", flush=True)


def _held(bqm: Any, size: int, num_sets: int, temperature: float = 1.5) -> Iterator[Any]:
    """Of each set which intervals hold, whether that of the temperature does, and more."""
    energy, names = from_bqm(bqm)
    truth = PairwiseFunction(
        energy.couplings / temperature, energy.fields / temperature, energy.state_space
    )
    exact = Enumeration(Target.of(truth))
    sums = exact.log_block_sums()
    for _ in range(num_sets):
        spins = exact.draw(size, sums).numpy().astype(int)
        samples = dimod.SampleSet.from_samples_bqm((spins, names), bqm)
        effective = from_sampleset(samples.aggregate(), bqm)
        table = effective.table
        held = None
        if effective.network.n_features_in_ == len(names) and table.lower.notna().all():
            first, second = effective.network.edges_.T
            values = np.concatenate([truth.couplings[first, second], truth.fields])
            held = (table.lower < values) & (values < table.upper)
        low, high = effective.temperature_interval
        known = table.difference.notna()
        apart = np.abs(table.difference) < 1.6449 * table.standard_error
        yield (
            held,
            low < temperature < high,
            apart[known].mean() if known.any() else np.nan,
            (table.p_adjusted < 0.05).any(),
        )


def program(x: torch.Tensor) -> None:
    """Six coupled spins."""
    couplings = pyro.sample("couplings", dist.Normal(0, 1).expand([PAIRS]).to_event(1))
    fields = pyro.sample("fields", dist.Normal(0, 1).expand([SITES]).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", Ising(coupling_matrix(couplings), fields, states=(-1, 1)), obs=x)


def exact_elpd(x: torch.Tensor, num_draws: int = 50_000) -> tuple[float, float]:
    """Exact leave-one-out, and the effective share of the draws that it is from."""
    space = StateSpace(SITES, states=(-1, 1))
    states, counts = states_at(space, torch.arange(2**SITES)).double(), torch.zeros(2**SITES)
    counts = counts.double().index_add(0, index_of(space, x), torch.ones(len(x)).double())
    first, second = torch.triu_indices(SITES, SITES, 1)
    statistics = torch.cat([states[:, first] * states[:, second], states], 1)

    def table(theta: torch.Tensor) -> torch.Tensor:
        return (theta @ statistics.mT).log_softmax(-1)

    def negative(theta: torch.Tensor) -> torch.Tensor:
        return 0.5 * theta.square().sum(-1) - table(theta) @ counts

    mode = torch.zeros(PAIRS + SITES, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([mode], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = negative(mode)
        loss.backward()
        return loss

    optimizer.step(closure)
    mode = mode.detach()
    curvature = torch.autograd.functional.hessian(negative, mode)
    about = dist.MultivariateNormal(mode, 1.2 * torch.linalg.inv(curvature))
    draws = about.sample((num_draws,))
    weights, rows = -negative(draws) - about.log_prob(draws), table(draws)
    each = weights.logsumexp(0) - (weights[:, None] - rows).logsumexp(0)
    share = float((2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp()) / num_draws
    return float(each[counts > 0] @ counts[counts > 0]), share


def leave_one_out(num_sets: int, size: int) -> None:
    """Print the second table."""
    import arviz

    print(f"\nArviZ {arviz.__version__}, {size} rows:\n")
    print("| data set | exact | calibrated | network | standard error of loo |")
    print("|---|---|---|---|---|")
    for seed in range(num_sets):
        pyro.set_rng_seed(seed)
        truth = Ising(coupling_matrix(0.4 * torch.randn(PAIRS)), states=(-1, 1))
        x = NormalizedModel(truth).sample((size,))
        network = IsingNetwork(selection=None, random_state=0).fit(x)
        found = [
            arviz.loo(to_inference_data(calibrate(program, (x,), progress=False), program, (x,))),
            arviz.loo(to_inference_data(network, data=x)),
        ]
        values = [float(getattr(each, "elpd_loo", None) or each.elpd) for each in found]
        exact, share = exact_elpd(x)
        print(
            f"| {seed} ({share:.0%} of draws effective) | {exact:.1f} | {values[0]:.1f} "
            f"| {values[1]:.1f} | {found[0].se:.1f} |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=400, help="sample sets of each model")
    parser.add_argument("--cold", action="store_true", help="only samples of few states, slowly")
    parser.add_argument("--posteriors", type=int, default=8)
    parser.add_argument("--size", type=int, default=400, help="rows of each posterior's data")
    arguments = parser.parse_args()
    pyro.set_rng_seed(0)
    warnings.simplefilter("ignore")  # of ArviZ, and of samples that are cold
    intervals(arguments.sets, arguments.cold)
    if not arguments.cold:
        leave_one_out(arguments.posteriors, arguments.size)


if __name__ == "__main__":
    main()
