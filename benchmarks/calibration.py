"""Frequentist coverage of 90 % intervals for the couplings and fields of an Ising model.

Data sets of one true model are drawn exactly; each gets posteriors under the exact likelihood, and
under each objective without calibration, with the scalar weight, and calibrated. Draws come from
the normal approximation at the mode, the default of ``calibrate``. Then some of these data sets are
sampled by NUTS, at both weights that calibration asks for, and the calibrated intervals are set
beside those of the default on the same data. Prints Markdown: mean coverage over parameters (the
least of them) / mean length.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor
from tqdm import tqdm, trange

from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.infer import calibrate
from pyro_rm.posteriors.posterior_modes import posterior_mode
from pyro_rm.posteriors.sandwich import sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.state_space import StateSpace

SITES = 8
ROW, COLUMN = torch.triu_indices(SITES, SITES, 1)
PAIRS = len(ROW)
NORMAL_90 = 1.6448536


def ising(couplings: Tensor, fields: Tensor) -> Ising:
    """The model with given couplings of pairs."""
    matrix = torch.zeros(SITES, SITES).index_put((ROW, COLUMN), couplings)
    return Ising(matrix + matrix.mT, fields, states=(-1, 1))


def model(x: Tensor) -> None:
    """Standard normal priors."""
    couplings = pyro.sample("couplings", dist.Normal(0.0, 1.0).expand([PAIRS]).to_event(1))
    fields = pyro.sample("fields", dist.Normal(0.0, 1.0).expand([SITES]).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", ising(couplings, fields), obs=x)


def statistics_of(x: Tensor) -> Tensor:
    """Sufficient statistics, pairs first."""
    return torch.cat([x[:, ROW] * x[:, COLUMN], x], -1)


def exact_intervals(x: Tensor, start: Tensor) -> Tensor:
    """Normal approximation of the exact posterior, by Newton steps from a point nearby."""
    states = states_at(StateSpace(SITES, states=(-1, 1)), torch.arange(2**SITES))
    table, total = statistics_of(states).double(), statistics_of(x).double().sum(0)
    flat = start.double()
    for _ in range(20):
        weights = (table @ flat).softmax(0)
        mean = weights @ table
        covariance = (table.mT * weights) @ table - torch.outer(mean, mean)
        precision = len(x) * covariance + torch.eye(len(flat), dtype=torch.double)
        flat = flat + torch.linalg.solve(precision, total - len(x) * mean - flat)
    return normal_intervals(flat, torch.linalg.inv(precision))


def normal_intervals(mean: Tensor, covariance: Tensor) -> Tensor:
    """Central 90 % intervals, ``(2, p)``."""
    half = NORMAL_90 * covariance.diagonal().sqrt()
    return torch.stack([mean - half, mean + half])


def flat_draws(draws: dict[str, Tensor]) -> Tensor:
    """Draws of all parameters, couplings first, ``(num_draws, p)``."""
    return torch.cat([draws["couplings"], draws["fields"]], -1).double()


def flat_intervals(draws: dict[str, Tensor]) -> Tensor:
    """Central 90 % intervals of draws, couplings first, ``(2, p)``."""
    return flat_draws(draws).quantile(torch.tensor([0.05, 0.95], dtype=torch.double), dim=0)


def intervals(x: Tensor, true: Tensor, objectives: list[str]) -> dict[str, Tensor]:
    """Intervals of one data set by every method."""
    found = {"exact likelihood": exact_intervals(x, true)}
    for name in objectives:
        estimator = Estimator(name, "all")
        program = UnconstrainedProgram(model, estimator, (x,))
        mode = posterior_mode(program, program.start)
        covariance = sandwich_at(program, mode).posterior_covariance(1.0)
        assert covariance is not None
        found[f"{name}, uncalibrated"] = normal_intervals(mode.double(), covariance)
        posterior = calibrate(model, (x,), estimator=estimator, num_draws=2000)
        if posterior.method == "affine":
            found[f"{name}, scalar weight"] = flat_intervals(posterior.uncalibrated)
        found[f"{name}, calibrated"] = flat_intervals(posterior.draws)
    return found


def nuts(handled: Callable[..., Any], x: Tensor) -> dict[str, Tensor]:
    """Draws by NUTS."""
    mcmc = MCMC(NUTS(handled), num_samples=600, warmup_steps=150, disable_progbar=True)
    mcmc.run(x)
    return mcmc.get_samples()


def holds(bounds: Tensor, true: Tensor) -> Tensor:
    """Which intervals ``(..., 2, p)`` hold the truth."""
    return (bounds[..., 0, :] <= true) & (true <= bounds[..., 1, :])


def report(true: Tensor, results: list[dict[str, Tensor]]) -> None:
    """Print coverage and length, couplings and fields apart."""
    print(
        "| method | couplings: coverage (least) / length | fields | data sets |\n|---|---|---|---|"
    )
    for name in results[0]:
        bounds = torch.stack([result[name] for result in results if name in result])
        inside = holds(bounds, true).double().mean(0)
        length = (bounds[:, 1] - bounds[:, 0]).mean(0)
        cells = [
            f"{inside[part].mean():.3f} ({inside[part].min():.3f}) / {length[part].mean():.3f}"
            for part in (slice(None, PAIRS), slice(PAIRS, None))
        ]
        print(f"| {name} | {cells[0]} | {cells[1]} | {len(bounds)} |")


def report_nuts(
    true: Tensor, data: list[Tensor], results: list[dict[str, Tensor]], objectives: list[str]
) -> None:
    """Print coverage pooled over parameters, and how far interval ends are from the default's.

    Last, how much further from zero the draws' mean was before it was moved to the mode.
    """
    print(
        "\n| objective | coverage, NUTS | default, same data | ends off by, in sd: mean (worst) "
        "| length, NUTS / default | mean beyond the mode, in sd | processor s a data set |"
        "\n|---|---|---|---|---|---|---|"
    )
    for name in objectives:
        start, found, beyond = time.process_time(), [], []
        for x in tqdm(data, desc=f"NUTS, {name}"):
            posterior = calibrate(model, (x,), estimator=Estimator(name, "all"), sampler=nuts)
            found.append(flat_intervals(posterior.draws))
            mode, spread = (f(flat_draws(posterior.draws), 0) for f in (torch.mean, torch.std))
            shift = flat_draws(posterior.uncalibrated).mean(0) - mode
            beyond.append((shift * mode.sign() / spread).mean())
        seconds = (time.process_time() - start) / len(data)
        ends = torch.stack(found)
        reference = torch.stack([result[f"{name}, calibrated"] for result in results[: len(data)]])
        length = reference[:, 1] - reference[:, 0]
        off = (ends - reference).abs() / (length / (2 * NORMAL_90))[:, None]
        ratio = ((ends[:, 1] - ends[:, 0]) / length).mean()
        shares = [holds(bounds, true).double().mean() for bounds in (ends, reference)]
        print(
            f"| {name} | {shares[0]:.3f} | {shares[1]:.3f} | {off.mean():.3f} ({off.max():.2f}) "
            f"| {ratio:.3f} | {torch.stack(beyond).mean():.2f} | {seconds:.0f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-sets", type=int, default=300)
    parser.add_argument("--num-nuts", type=int, default=12, help="data sets sampled by NUTS")
    parser.add_argument("--num-data", type=int, default=500)
    parser.add_argument("--scale", type=float, default=0.4, help="sd of the true parameters")
    parser.add_argument("--seed", type=int, default=0)
    objectives = ["pseudolikelihood", "ratio_matching"]
    parser.add_argument("--objectives", nargs="+", default=objectives)
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    warnings.simplefilter("once")
    true = arguments.scale * torch.randn(PAIRS + SITES)
    truth = NormalizedModel(ising(true[:PAIRS], true[PAIRS:]))
    data = [truth.sample((arguments.num_data,)) for _ in range(arguments.num_sets)]
    results = [intervals(data[k], true, arguments.objectives) for k in trange(len(data))]
    print(f"{SITES} sites, N = {arguments.num_data}, parameters N(0, {arguments.scale}^2)\n")
    report(true.double(), results)
    if arguments.num_nuts > 0:
        sampled = data[: arguments.num_nuts]
        print(f"\nNUTS on {len(sampled)} of the data sets, {len(true)} parameters each")
        report_nuts(true.double(), sampled, results, arguments.objectives)


if __name__ == "__main__":
    main()
