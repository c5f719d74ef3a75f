"""Annealing that is as long as an accuracy asks for and a budget of time allows."""

from __future__ import annotations

import time
import warnings

from torch import Tensor
from tqdm import tqdm

from pyro_rm.evaluation.ais_estimate import AISEnd, AISEstimate
from pyro_rm.evaluation.annealing_paths import AnnealingPath, BaseDistribution
from pyro_rm.evaluation.annealing_plans import (
    AnnealingPlan,
    anneal,
    pilot,
    respaced,
    temperatures_for,
)
from pyro_rm.markov_steps import MarkovStep
from pyro_rm.target import Target

NUM_CHAINS = 64  # at most, each way
_PILOT_CHAINS = 32
_PILOT_TEMPERATURES = (32, 128)
_FEWEST_TEMPERATURES, _MOST_TEMPERATURES = 32, 100_000
_LONGER = 4  # times as many temperatures after a bracket that was too wide
_SHARE = 0.9  # of the time that is left, as estimates of time are not exact
clock = time.monotonic


def anneal_within(
    path: AnnealingPath,
    base: BaseDistribution,
    target: Target,
    step: MarkovStep,
    samples: Tensor,
    *,
    seconds: float,
    accuracy: float,
    progress: bool,
) -> AISEstimate:
    """A bracket that is narrow enough, or the one that the time allows; it warns of the latter.

    Two pilot runs choose temperatures, steps and their number; then chains of their own give the
    bracket. Where it is too wide and there is time, only what is learned of the schedule is kept,
    and longer runs of new chains follow.

    :param path: From the base to the target.
    :param base: Where forward chains start.
    :param target: The model.
    :param step: What moves the chains.
    :param samples: Where reverse chains start, ``(R, D)``.
    :param seconds: The budget.
    :param accuracy: The largest width of the bracket, in nats.
    :param progress: Whether to show progress bars.
    """
    end = clock() + seconds
    plan, increments = _first_plan(path, base, target, step, progress)
    start = clock()
    with _bar("pilot", len(plan.betas) - 1, progress) as bar:
        plan, increments = pilot(path, plan, target.encode(base.sample(_PILOT_CHAINS)), bar)
    cost = (clock() - start) / (_PILOT_CHAINS * len(increments))  # of one chain at one temperature
    samples = samples[:NUM_CHAINS]
    wanted = temperatures_for(increments, min(NUM_CHAINS, len(samples)), accuracy / 4)
    while True:
        chains = NUM_CHAINS + len(samples)
        allowed = int(_SHARE * (end - clock()) / max(cost * chains, 1e-12))
        number = max(_FEWEST_TEMPERATURES, min(wanted, allowed, _MOST_TEMPERATURES))
        start = clock()
        estimate = _bracket(
            path, base, target, respaced(plan, increments, number), samples, progress
        )
        cost = (clock() - start) / (chains * number)
        if abs(estimate.gap) <= accuracy:
            return estimate
        wanted = _LONGER * number
        affordable = 2 * number * chains * cost <= _SHARE * (end - clock())
        if not affordable or number >= _MOST_TEMPERATURES:
            warnings.warn(
                f"The budget of {seconds:g} seconds ended before the bracket was {accuracy:g} nats "
                f"wide: {estimate}. Give a larger budget, or a step that mixes faster; if that "
                "does not help, the model has modes that hold its chains, or its samples are far "
                "from the data.",
                stacklevel=4,
            )
            return estimate


def _first_plan(
    path: AnnealingPath,
    base: BaseDistribution,
    target: Target,
    step: MarkovStep,
    progress: bool,
) -> tuple[AnnealingPlan, Tensor]:
    """Temperatures that spread the log weights equally, from evenly spaced ones."""
    few, more = _PILOT_TEMPERATURES
    even = AnnealingPlan.of([k / (few - 1) for k in range(few)], step)
    with _bar("pilot", few - 1, progress) as bar:
        plan, increments = pilot(path, even, target.encode(base.sample(_PILOT_CHAINS)), bar)
    return respaced(plan, increments, more), increments


def _bracket(
    path: AnnealingPath,
    base: BaseDistribution,
    target: Target,
    plan: AnnealingPlan,
    samples: Tensor,
    progress: bool,
) -> AISEstimate:
    constant = path.log_partition_at_base
    with _bar("annealing", 2 * (len(plan.betas) - 1), progress) as bar:
        forward, ends = anneal(path, plan, target.encode(base.sample(NUM_CHAINS)), bar)
        lower = AISEnd(forward + constant, 1, target.decode(ends))
        backward, ends = anneal(path, plan.reversed, target.encode(samples), bar)
        upper = AISEnd(backward - constant, -1, target.decode(ends))
    return AISEstimate(lower, upper)


def _bar(description: str, total: int, progress: bool) -> tqdm:
    return tqdm(total=total, desc=description, disable=not progress, leave=False)
