"""Couplings of an Ising model from data of which a fifth is missing.

Cells are missing completely at random (MCAR), or at random given the first two sites, which are
always seen (MAR). Prints Markdown: the root mean square error (RMSE) of couplings over R
replications; the root mean square over couplings of the mean error, beside the RMSE, once as it
is, where unbiased replications show ``1 / sqrt(R)``, and once with that noise subtracted (0 where
more than all of it is noise); and the RMSE beside that of maximum likelihood on the observed
cells. Then the coverage of 90 % intervals around fills, with and without Louis' correction. At
``--large`` data only methods whose bias matters there are run.
"""

import argparse

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI
from pyro.infer.autoguide import AutoDelta, init_to_value
from torch import Tensor
from tqdm import trange

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.infer import Marginalized, calibrate
from pyro_rm.posteriors.posterior_modes import posterior_mode
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.state_space import StateSpace

SITES = 10
SPACE = StateSpace(SITES, states=(-1, 1))
ROW, COLUMN = torch.triu_indices(SITES, SITES, 1)
PAIRS = len(ROW)


def matrix_of(flat: Tensor) -> Tensor:
    """The symmetric couplings."""
    matrix = torch.zeros(SITES, SITES).index_put((ROW, COLUMN), flat[:PAIRS])
    return matrix + matrix.mT


def model(x: Tensor) -> None:
    """Wide priors; cells that are NaN are missing."""
    flat = pyro.sample("flat", dist.Normal(0.0, 10.0).expand([PAIRS + SITES]).to_event(1))
    energy = PairwiseFunction(matrix_of(flat), flat[PAIRS:], SPACE)
    with pyro.plate("data", len(x)):
        active = ~x.isnan() if x.isnan().any() else None
        pyro.sample("x", EnergyModel(energy, active=active), obs=x)


def zeros_for_missing(x: Tensor) -> None:
    """The same, where missing cells count as 0 in the terms of observed ones."""
    flat = pyro.sample("flat", dist.Normal(0.0, 10.0).expand([PAIRS + SITES]).to_event(1))
    local = x.nan_to_num() @ matrix_of(flat) + flat[PAIRS:]
    terms = torch.nn.functional.softplus(-2 * x.nan_to_num() * local)
    pyro.factor("x", -(terms * ~x.isnan()).sum())


def fill(x: Tensor, num_steps: int = 100) -> Tensor:
    """Gibbs fill: the default of the loss, averaged over the last half of the steps."""
    pyro.clear_param_store()
    start = init_to_value(values={"flat": observed_zeros(x)})
    guide = AutoDelta(model, init_loc_fn=start)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.02, "lrd": 0.3 ** (1 / num_steps)})
    svi = SVI(model, guide, optimizer, loss=pyro_rm.RatioMatchingLoss(num_neighbors="all"))
    kept = torch.zeros(PAIRS + SITES)
    for step in range(num_steps):
        svi.step(x)
        if step >= num_steps // 2:
            kept += guide.median()["flat"].detach() / (num_steps - num_steps // 2)
    return kept


def mode(x: Tensor, estimator: Estimator | Marginalized | None = None) -> Tensor:
    """The mode under a deterministic estimator."""
    chosen = Estimator(num_neighbors="all") if estimator is None else estimator
    program = UnconstrainedProgram(model, chosen, (x,))
    return posterior_mode(program, program.start)


def minimize(loss_of: object, start: Tensor) -> Tensor:
    """L-BFGS on a function of the parameters."""
    point = start.clone().requires_grad_()
    search = torch.optim.LBFGS([point], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss: Tensor = loss_of(point)  # type: ignore[operator]
        loss.backward()
        return loss

    search.step(closure)
    return point.detach()


def observed_zeros(x: Tensor) -> Tensor:
    """Terms of observed sites with 0 in the place of missing ones."""
    trace = pyro.poutine.trace

    def loss_of(flat: Tensor) -> Tensor:
        fixed = pyro.poutine.condition(zeros_for_missing, {"flat": flat})
        return -trace(fixed).get_trace(x).log_prob_sum() / len(x)

    return minimize(loss_of, torch.zeros(PAIRS + SITES))


def exact_likelihood(x: Tensor) -> Tensor:
    """Maximum likelihood on observed cells, by enumeration of all states."""
    states = states_at(SPACE, torch.arange(SPACE.num_states))
    patterns, counts = x.nan_to_num().unique(dim=0, return_counts=True)
    agrees = (patterns.abs() @ torch.ones(SITES))[:, None] == patterns @ states.mT

    def loss_of(flat: Tensor) -> Tensor:
        log_mass = -PairwiseFunction(matrix_of(flat), flat[PAIRS:], SPACE)(states)
        rows = log_mass.expand(agrees.shape).masked_fill(~agrees, -torch.inf).logsumexp(1)
        return log_mass.logsumexp(0) - (counts * rows).sum() / len(x)

    return minimize(loss_of, torch.zeros(PAIRS + SITES))


def listwise(x: Tensor) -> Tensor:
    """Complete rows only."""
    return mode(x[~x.isnan().any(-1)])


def with_holes(x: Tensor, at_random: bool) -> Tensor:
    """A fifth of the cells removed; if at random, more of them where the first two are 1."""
    share = torch.full(x.shape, 0.2)
    if at_random:
        both = (x[:, :2] == 1).all(-1, keepdim=True)
        often = both.float().mean()
        rest = ((0.25 - 0.6 * often) / (1 - often)).clamp(min=0.02)
        share = torch.where(both, torch.full_like(share, 0.6), rest)
        share[:, :2] = 0.0
    return x.masked_fill(torch.rand_like(x) < share, torch.nan)


def report(true: Tensor, found: dict[str, list[Tensor]], title: str) -> None:
    """Print a table of errors of couplings."""
    print(
        f"\n{title}\n\n| method | RMSE | mean error / RMSE | bias / RMSE, noise subtracted "
        "| RMSE / exact | R |\n|---|---|---|---|---|---|"
    )
    errors = {name: torch.stack(fits)[:, :PAIRS] - true[:PAIRS] for name, fits in found.items()}
    root = {name: float(error.square().mean().sqrt()) for name, error in errors.items()}
    exact = root.get("exact likelihood of observed cells")
    for name, error in errors.items():
        raw = error.mean(0).square().mean()
        bias = (raw - error.var(0).mean() / len(error)).clamp(min=0)
        beside = "–" if exact is None else f"{root[name] / exact:.3f}"  # noqa: RUF001
        print(
            f"| {name} | {root[name]:.4f} | {float(raw.sqrt()) / root[name]:.3f} "
            f"| {float(bias.sqrt()) / root[name]:.3f} | {beside} | {len(error)} |"
        )


def covered(true: Tensor, x: Tensor, fitted: Tensor) -> Tensor:
    """Shares of couplings within 90 % intervals, with Louis' correction and without it."""
    shares = []
    posterior = calibrate(model, (x,), values={"flat": fitted}, num_fills=20, progress=False)
    for draws in (posterior.draws["flat"], posterior.uncalibrated["flat"]):
        low, high = draws.quantile(torch.tensor([0.05, 0.95]), 0)
        shares.append(((low < true) & (true < high))[:PAIRS].float().mean())
    return torch.stack(shares)


METHODS = {
    "Gibbs fill": fill,
    "exact likelihood of observed cells": exact_likelihood,
    "marginalized": lambda x: mode(x, Marginalized()),
    "0 for missing": observed_zeros,
    "listwise deletion": listwise,
}
AT_LARGE = ("Gibbs fill", "0 for missing", "listwise deletion")


def replicate(
    true: Tensor, truth: NormalizedModel, count: int, arguments: argparse.Namespace, at_random: bool
) -> None:
    """Fit replications of one size and kind by all methods, and print the tables."""
    found: dict[str, list[Tensor]] = {}
    inside = []
    small = count == arguments.num_data
    for k in trange(arguments.replications):
        complete = truth.sample((count,))
        x = with_holes(complete, at_random)
        for name, method in METHODS.items():
            slow = name == "marginalized" and k >= arguments.num_marginal
            if not slow and (small or name in AT_LARGE):
                found.setdefault(name, []).append(method(x))
        found.setdefault("complete data", []).append(mode(complete))
        if small and k < arguments.num_intervals:
            inside.append(covered(true, x, found["Gibbs fill"][-1]))
    kind = "MAR" if at_random else "MCAR"
    missing, rows = x.isnan().float().mean(), (~x.isnan().any(-1)).float().mean()
    noise = arguments.replications**-0.5
    report(
        true, found, f"{kind}, N = {count}: {missing:.2f} of cells missing, {rows:.2f} of rows "
        f"complete; R unbiased replications show a mean error / RMSE of {noise:.3f}",
    )  # fmt: skip
    if inside:
        with_it, without = torch.stack(inside).mean(0).tolist()
        print(
            f"\n{kind}, N = {count}: coverage of 90 % intervals around the Gibbs fill, over "
            f"{len(inside)} data sets: {with_it:.3f} with Louis' correction, {without:.3f} without"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-data", type=int, default=1000)
    parser.add_argument("--large", type=int, default=8000)
    parser.add_argument("--replications", type=int, default=24)
    parser.add_argument("--num-intervals", type=int, default=12, help="of them, with intervals")
    parser.add_argument("--num-marginal", type=int, default=6, help="of them, marginalized")
    parser.add_argument("--scale", type=float, default=0.3, help="sd of the true parameters")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    true = arguments.scale * torch.randn(PAIRS + SITES)
    truth = NormalizedModel(Ising(matrix_of(true), true[PAIRS:], states=(-1, 1)))
    for count in (arguments.large, arguments.num_data):
        for at_random in (False, True):
            replicate(true, truth, count, arguments, at_random)


if __name__ == "__main__":
    main()
