"""Evidence for and against edges, on simulated spins whose edges are known.

    python examples/evidence.py --sites 8 --num-data 500 --sets 20 --seed 0 --out out

In each set an edge is there with probability 0.3, with a coupling from N(0, 0.4^2), and the prior
says so. Evidence is from the pseudolikelihood estimate and, for comparison, from the maximum
likelihood one with the inverse of its information, a sum over all states. Saves evidence.png,
of the last set, and results.json: false edges at Bayes factors above 10, the mean log probability
given to what is true of an edge, and the share of true edges among those with a probability in
(0.9, 0.99].
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch

from pyro_rm.enumeration import states_at
from pyro_rm.networks import EdgeEvidence, IsingNetwork
from pyro_rm.state_space import StateSpace

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PROBABILITY, SLAB, FIELD = 0.3, 0.4, 0.3


class Exact:
    """Statistics of all states of spins, for draws and for maximum likelihood."""

    def __init__(self, num_sites: int) -> None:
        space = StateSpace(num_sites, states=(-1, 1))
        self.states = states_at(space, torch.arange(space.num_states)).double()
        self.pairs = torch.triu_indices(num_sites, num_sites, 1)
        products = self.states[:, self.pairs[0]] * self.states[:, self.pairs[1]]
        self.statistics = torch.cat([products, self.states], 1)

    def estimate(self, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The maximum likelihood couplings of the cells that are not NaN, and their covariance."""
        fits = (table[:, None] == self.states) | table.isnan()[:, None]
        fits, counts = fits.all(2).unique(dim=0, return_counts=True)
        excluded = torch.zeros(fits.shape).double().masked_fill(~fits, -torch.inf)

        def loss(theta: torch.Tensor) -> torch.Tensor:
            logits = self.statistics @ theta
            return counts.double() @ (logits.logsumexp(0) - (logits + excluded).logsumexp(1))

        theta = torch.zeros(self.statistics.shape[1]).double().requires_grad_()
        search = torch.optim.LBFGS(
            [theta], max_iter=300, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            search.zero_grad()
            value = loss(theta)
            value.backward()
            return value

        search.step(closure)
        covariance = torch.linalg.inv(torch.autograd.functional.hessian(loss, theta.detach()))
        count = self.pairs.shape[1]
        return theta.detach()[:count], covariance[:count, :count]


def log_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The mean log probability of what is true."""
    kept = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return float(np.log(np.where(truth, kept, 1 - kept)).mean())


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=8, help="14 at most, for the exact likelihood")
    parser.add_argument("--num-data", type=int, default=500)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--blanks", type=float, default=0.0, help="share of cells to leave out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.sites, arguments.sets = 5, 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    rng, exact = np.random.default_rng(arguments.seed), Exact(arguments.sites)
    found, likely, truths, seconds, false_edges = [], [], [], 0.0, 0
    for _ in range(arguments.sets):
        truth = rng.random(exact.pairs.shape[1]) < PROBABILITY
        couplings = np.where(truth, rng.normal(0, SLAB, len(truth)), 0)
        theta = np.concatenate([couplings, rng.normal(0, FIELD, arguments.sites)])
        chances = (exact.statistics @ torch.as_tensor(theta)).softmax(0).numpy()
        chosen = rng.choice(len(chances), arguments.num_data, p=chances / chances.sum())
        table = exact.states[chosen].numpy()
        table[rng.random(table.shape) < arguments.blanks] = np.nan
        start = time.process_time()
        network = IsingNetwork(selection=None, states=(-1, 1), random_state=0).fit(table)
        evidence = network.edge_evidence(prior=PROBABILITY, slab_scale=SLAB)
        false_edges += int(((evidence.bayes_factors > 10) & ~truth).sum())
        seconds += time.process_time() - start
        found.append(evidence.probabilities)
        alike = EdgeEvidence(
            range(arguments.sites), exact.pairs.mT.numpy(), *exact.estimate(torch.as_tensor(table)),
            slab_scale=SLAB, prior=PROBABILITY,
        )  # fmt: skip
        likely.append(alike.probabilities)
        truths.append(truth)
    truth, probabilities = np.concatenate(truths), np.concatenate(found)
    high = (probabilities > 0.9) & (probabilities <= 0.99)
    results = {
        "false_edges_per_set": false_edges / arguments.sets,
        "log_score": log_score(probabilities, truth),
        "log_score_exact": log_score(np.concatenate(likely), truth),
        "share_true_above_90": float(truth[high].mean()) if high.any() else None,
        "num_above_90": int(high.sum()),
        "seconds_per_set": seconds / arguments.sets,
    }
    figure, axis = plt.subplots(figsize=(5, 5))
    evidence.plot(axis)
    figure.savefig(arguments.out / "evidence.png", dpi=120)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
