"""Ordinal networks: time, couplings beside exact maximum likelihood, coverage of intervals."""

import argparse
import copy
import time
import warnings

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from pyro_rm.energies import OrdinalEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.networks import OrdinalNetwork

SMALL = (3, 4, 5, 3, 4, 5)  # 3600 states
LARGE = (2, 3, 4, 5, 6, 7, 2, 3, 4, 5)
EDGES, SPREAD = 0.3, 0.4  # share of pairs, and standard deviation of couplings of spread scores


def truth(categories: tuple[int, ...], thresholds: str) -> OrdinalEnergy:
    """A model drawn at random."""
    scores = [tuple((torch.arange(k).double() / (k - 1) - 0.5).tolist()) for k in categories]
    energy = OrdinalEnergy(scores, thresholds=thresholds).double().requires_grad_(False)
    spread = torch.tensor([np.std(own) for own in scores])
    first, second = energy.edges.T
    sizes = SPREAD / (spread[first] * spread[second]) * torch.randn(len(first))
    energy.weight.copy_((sizes * (torch.rand(len(first)) < EDGES))[:, None, None])
    energy.fields.copy_(0.4 * torch.randn(energy.fields.shape) * energy.exists)
    return energy


def exact_states(energy: OrdinalEnergy) -> Tensor:
    """All states."""
    space = energy.state_space
    return states_at(space, torch.arange(space.num_states))


def maximum_likelihood(start: OrdinalEnergy, states: Tensor, x: Tensor) -> Tensor:
    """Couplings that make the observed cells most likely, by sums over all states."""
    energy = copy.deepcopy(start).requires_grad_(True)
    encoded = energy.state_space.encode(states, torch.float64)
    rows, counts = x.nan_to_num(-1).unique(dim=0, return_counts=True)
    shares = counts.double() / len(x)
    whole = bool((rows >= 0).all())
    if not whole:
        fits = (rows[:, None] == -1) | (rows[:, None] == states)
        bars = torch.where(fits.all(2), 0.0, -torch.inf)
    optimizer = torch.optim.LBFGS(
        energy.parameters(), max_iter=500, history_size=30, line_search_fn="strong_wolfe",
        tolerance_grad=1e-6, tolerance_change=1e-12,
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = -energy(encoded)
        seen = (
            -energy(energy.state_space.encode(rows, torch.float64))
            if whole
            else (bars + logits).logsumexp(1)
        )
        loss = logits.logsumexp(0) - seen @ shares
        loss.backward()
        return loss

    optimizer.step(closure)
    return energy.weight.detach()[:, 0, 0]


def fitted(x: Tensor, thresholds: str, seed: int) -> OrdinalNetwork:
    """A network of all pairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = OrdinalNetwork(
            selection=None, thresholds=thresholds, kinds="ordinal", random_state=seed
        )
        return network.fit(x)


def replicate(categories: tuple[int, ...], thresholds: str, blank: float, sets: int) -> str:
    """A row of the table: errors beside those of exact maximum likelihood, and coverage."""
    errors: list[Tensor] = []
    exact: list[Tensor] = []
    inside, seconds = [], 0.0
    for number in trange(sets):
        torch.manual_seed(number)
        energy = truth(categories, thresholds)
        true, states = energy.weight[:, 0, 0], None
        if energy.state_space.num_states <= 4000:
            states = exact_states(energy)
            chances = (-energy(energy.state_space.encode(states, torch.float64))).softmax(0)
            x = states[torch.multinomial(chances, 1000, replacement=True)].double()
        else:
            x = MarkovSampler(200, progress=False)(energy, sample_shape=(1000,)).double()
        x[torch.rand(x.shape) < blank] = torch.nan
        start = time.process_time()
        network = fitted(x, thresholds, number)
        seconds += time.process_time() - start
        weights = torch.as_tensor(network.weights_)
        known = ~torch.as_tensor(network.standard_errors_).isnan()
        if any(len(own) != k for own, k in zip(network.categories_, categories, strict=True)):
            continue  # a category that no row has: scores of another scale
        errors.append((weights - true)[known])
        ends = 1.6449 * torch.as_tensor(network.standard_errors_)[known]
        inside.append((errors[-1].abs() < ends).double())
        if states is not None:
            exact.append((maximum_likelihood(network.energy_, states, x) - true)[known])

    def rmse(parts: list[Tensor]) -> float:
        return float(torch.cat(parts).square().mean().sqrt())

    ratio = f"{rmse(exact):.3f} | {rmse(errors) / rmse(exact):.3f}" if exact else "- | -"
    covered = torch.stack([part.mean() for part in inside])
    noise = float(covered.std()) / len(covered) ** 0.5
    return (
        f"| {len(categories)} of {min(categories)} to {max(categories)} | {thresholds} | "
        f"{blank:.0%} | {len(errors)} | {rmse(errors):.3f} | {ratio} | {float(covered.mean()):.3f} "
        f"± {noise:.3f} | {seconds / sets:.2f} |"
    )


def time_of(sets: int, blank: float) -> list[str]:
    """Rows of the table of times, of 30 columns of 2 to 7 categories."""
    rows = []
    for thresholds in ("free", "blume_capel"):
        for selection in (None, "ebic"):
            seconds, found, right, there = [], 0, 0, 0
            for number in range(sets):
                torch.manual_seed(number)
                energy = truth(tuple(2 + d % 6 for d in range(30)), thresholds)
                energy.weight.mul_((torch.rand(len(energy.weight)) < 1 / 3)[:, None, None])
                x = MarkovSampler(200, progress=False)(energy, sample_shape=(1000,)).double()
                x[torch.rand(x.shape) < blank] = torch.nan
                start = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    network = OrdinalNetwork(
                        selection=selection, thresholds=thresholds, random_state=0
                    ).fit(x)
                seconds.append(time.process_time() - start)
                true = {tuple(e) for e in energy.edges[energy.weight[:, 0, 0] != 0].tolist()}
                own = {tuple(edge) for edge in network.edges_.tolist()}
                found, right, there = found + len(own), right + len(own & true), there + len(true)
            rows.append(
                f"| {thresholds} | {selection or 'all pairs'} | {np.median(seconds):.1f} | "
                f"{max(seconds):.1f} | {there} | {found} | {right} |"
            )
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=100, help="for coverage")
    parser.add_argument("--timed", type=int, default=3, help="sets for times")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.sets:
        print_errors(arguments.sets)
    if arguments.timed:
        print(
            "\n| thresholds | edges | seconds, median | seconds, worst | edges of the truth | "
            "found | right |\n|---|---|---|---|---|---|---|"
        )
        print("\n".join(time_of(arguments.timed, 0.2)))


def print_errors(sets: int) -> None:
    """Print the table of errors and intervals."""
    print(
        "| columns of categories | thresholds | blanks | sets | RMSE | exact RMSE | ratio | "
        "coverage of 90 % | seconds |\n|---|---|---|---|---|---|---|---|---|"
    )
    for categories, thresholds, blank in (
        (SMALL, "free", 0.0), (SMALL, "blume_capel", 0.0), (SMALL, "free", 0.2),
        (SMALL, "blume_capel", 0.2), (LARGE, "free", 0.0), (LARGE, "free", 0.2),
    ):  # fmt: skip
        print(replicate(categories, thresholds, blank, sets), flush=True)


if __name__ == "__main__":
    main()
