"""What annealing passes through: temperatures, the step at each, and how pilot runs choose them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from pyro_rm.evaluation.annealing_paths import AnnealingPath
from pyro_rm.markov_steps import Chains, MarkovStep
from pyro_rm.target import Target


@dataclass(frozen=True, eq=False)
class AnnealingPlan:
    """Inverse temperatures, and the step that is taken at each but the first and the last.

    :param betas: From 0 to 1, or from 1 to 0.
    :param steps: One for each of ``betas[1:-1]``.
    """

    betas: list[float]
    steps: list[MarkovStep]

    @classmethod
    def of(cls, betas: list[float], step: MarkovStep) -> AnnealingPlan:
        """The same step everywhere."""
        return cls(betas, [step] * (len(betas) - 2))

    @property
    def reversed(self) -> AnnealingPlan:
        """The way back."""
        return AnnealingPlan(self.betas[::-1], self.steps[::-1])

    def steps_at(self, betas: list[float]) -> list[MarkovStep]:
        """The steps for other temperatures: at each, the one of the next temperature here."""
        last = len(self.steps) - 1
        places = (bisect_left(self.betas, beta) - 1 for beta in betas[1:-1])
        return [self.steps[min(max(place, 0), last)] for place in places]


@torch.no_grad()
def anneal(
    path: AnnealingPath, plan: AnnealingPlan, encoded: Tensor, bar: tqdm | None = None
) -> tuple[Tensor, Tensor]:
    """Log weights of a batch of chains along a plan, in double precision, and their ends.

    :param path: From the base to the model.
    :param plan: Where to stop on it.
    :param encoded: Draws of the plan's first energy.
    :param bar: What counts the temperatures.
    :returns: Shapes ``(n,)`` and ``(n,) + encoded_shape``.
    """
    increments, chains, _ = _run(path, plan, encoded, bar, adapt=False)
    return torch.stack(increments).sum(0), chains


def pilot(
    path: AnnealingPath, plan: AnnealingPlan, encoded: Tensor, bar: tqdm | None = None
) -> tuple[AnnealingPlan, Tensor]:
    """Chains that are annealed to learn from, and then not used.

    :param path: From the base to the model.
    :param plan: Where to stop; steps that adapt start from the plan's first.
    :param encoded: Draws of the base.
    :param bar: What counts the temperatures.
    :returns: The plan with adapted steps, and the increments of the log weights,
        ``(len(betas) - 1, n)``.
    """
    increments, _, steps = _run(path, plan, encoded, bar, adapt=True)
    return AnnealingPlan(plan.betas, steps), torch.stack(increments)


def respaced(plan: AnnealingPlan, increments: Tensor, num_temperatures: int) -> AnnealingPlan:
    """Temperatures between which log weights spread equally, as far as a pilot run can tell.

    :param plan: That of the pilot run.
    :param increments: What it returned.
    :param num_temperatures: How many there shall be, two or more.
    """
    spread = increments.std(1)
    spread = spread + spread.mean().clamp(min=1e-12) / 100  # nowhere without a temperature
    length = torch.cat([spread.new_zeros(1), spread.cumsum(0)])
    ends = torch.linspace(0, float(length[-1]), num_temperatures, dtype=length.dtype)
    place = torch.searchsorted(length, ends[1:-1], right=True).clamp(1, len(spread))
    known = length.new_tensor(plan.betas)
    share = (ends[1:-1] - length[place - 1]) / (length[place] - length[place - 1])
    inner = known[place - 1] + share * (known[place] - known[place - 1])
    betas = [0.0, *inner.tolist(), 1.0]
    return AnnealingPlan(betas, plan.steps_at(betas))


def temperatures_for(increments: Tensor, num_chains: int, standard_error: float) -> int:
    r"""How many temperatures bring the error of :math:`\log Z` down to a given one.

    The variance :math:`v` of the log weights is inverse to the number of temperatures, and
    the estimate's is about :math:`(e^v - 1) / n`.

    :param increments: Of a pilot run at equally spread temperatures.
    :param num_chains: :math:`n`.
    :param standard_error: The error, in nats.
    """
    aim = math.log1p(num_chains * standard_error**2)
    return math.ceil(len(increments) * float(increments.sum(0).var()) / aim) + 1


def _run(
    path: AnnealingPath, plan: AnnealingPlan, encoded: Tensor, bar: tqdm | None, *, adapt: bool
) -> tuple[list[Tensor], Tensor, list[MarkovStep]]:
    betas, steps = plan.betas, list(plan.steps)
    first = path.at(betas[0])(encoded).double()  # before the next call of path.at
    ahead = path.at(betas[1])
    increments = [first - ahead(encoded)]
    chains = Chains(ahead, encoded, steps[0] if steps else None)
    if bar is not None:
        bar.update()

    def weigh(number: int) -> None:
        nonlocal ahead
        own = ahead(chains.encoded).double()
        ahead = path.at(betas[number + 2])
        increments.append(own - ahead(chains.encoded))
        if adapt:
            steps[number] = chains.step
        elif number + 1 < len(steps):
            chains.step = steps[number + 1]
        if bar is not None:
            bar.update()

    def current(number: int) -> Target:
        return ahead

    chains.run(len(steps), num_adapting=len(steps) if adapt else 0, schedule=current, observe=weigh)
    return increments, chains.encoded, steps
