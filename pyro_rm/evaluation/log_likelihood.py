"""Log-likelihoods of data, exact or with the partition function's pessimistic end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.enumeration import TooManyStatesError
from pyro_rm.evaluation.ais_estimate import AISEstimate
from pyro_rm.evaluation.annealed_importance_sampling import (
    annealed_importance_sampling,
    step_along,
)
from pyro_rm.evaluation.annealing_budgets import NUM_CHAINS, anneal_within
from pyro_rm.evaluation.annealing_paths import annealing_path
from pyro_rm.evaluation.independent_sites import IndependentSites
from pyro_rm.evaluation.log_partition import log_partition, single_target
from pyro_rm.markov_steps import MarkovSampler, MarkovStep
from pyro_rm.read_off import read_off
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    r"""Log probabilities of data under a model.

    :param per_datum: :math:`-E(x) - \log Z` with the larger end of :math:`\log Z`,
        ``batch_shape``.
    :param log_partition: The :math:`\log Z` that was used.
    :param annealed: Where it comes from; None if it is exact.
    :param read_off_mean: The mean with the partition function that is read off levels of noise;
        None if the model has none. Far from the others, the model puts probability where neither
        data nor noise are.

    Example:

        >>> LogLikelihood(torch.tensor([-2.0, -4.0]), log_partition=3.0).mean
        -3.0
    """

    per_datum: Tensor
    log_partition: float
    annealed: AISEstimate | None = None
    read_off_mean: float | None = None

    @property
    def mean(self) -> float:
        """The mean over the data."""
        return self.per_datum.mean().item()

    @property
    def standard_error(self) -> float:
        """Of the mean over the data, the partition function taken as it is."""
        return self.per_datum.std().item() / math.sqrt(self.per_datum.numel())

    @property
    def optimistic_mean(self) -> float:
        """The mean with the smaller end of the partition function."""
        if self.annealed is None or self.annealed.upper is None:
            return self.mean
        return self.mean + abs(self.annealed.gap)


@torch.no_grad()
def log_likelihood(
    model: Any,
    data: Tensor,
    *,
    partition: AISEstimate | float | None = None,
    budget: float | None = None,
    accuracy: float | None = None,
    step: MarkovStep | None = None,
    num_chains: int | None = None,
    inverse_temperatures: int | Tensor | None = None,
    num_steps: int = 100,
    max_states: int = 2**20,
    state_space: StateSpace | None = None,
    progress: bool = True,
) -> LogLikelihood:
    r"""Log-likelihoods of data; where they are not exact, pessimistic ones.

    The partition function is exact where :func:`log_partition` needs at most
    ``max_states``. Otherwise it is bracketed by :func:`annealed_importance_sampling`: forward from
    independent sites fitted to the data, and in reverse from the data after ``num_steps`` steps
    under the model. The larger end counts. Pilot runs choose temperatures, steps and how many, so
    that the bracket is as narrow as ``accuracy`` asks; it warns where ``budget`` ends first.
    Where the model has levels of noise, chains anneal along them, from their background, and what
    is read off them is reported beside.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`.
    :param data: Held-out data, ``(N, D)``.
    :param partition: The partition function, where it is known or bracketed already.
    :param budget: Seconds that annealing may take; 60 if None.
    :param accuracy: The width of the bracket, in nats, that it stops at; 0.2 if None.
    :param step: A step for annealing; that of the energy if None.
    :param num_chains: Forward chains, and reverse ones at most, instead of a budget.
    :param inverse_temperatures: How many, or which, instead of a budget. Given one of the two,
        the other is 1024 chains or 1000 temperatures.
    :param num_steps: Steps from the data to where reverse chains start.
    :param max_states: Largest exact sum.
    :param state_space: The space, where the energy does not say it.
    :param progress: Whether to show progress bars.
    :returns: Log-likelihoods of each datum, their mean, and the bracket.
    :raises ValueError: If a budget or an accuracy is not positive, or given beside a number of
        chains or temperatures.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> round(log_likelihood(IsingEnergy(3), torch.zeros(5, 3)).mean, 4)
        -2.0794

    .. note:: One energy a datum, and the partition function's cost. Reverse chains from data
        bound nothing: the bracket is a diagnostic. For a stochastic bound pass the
        result of annealing from exact samples. Within a budget, runs are repeated until a bracket
        is narrow enough: the chance that an end of it is wrong is that of a run times their number.
    """
    _check_limits(budget, accuracy, num_chains, inverse_temperatures)
    check_counts(0, num_steps=num_steps)
    target = single_target(model, state_space)
    encoded = target.bind(data)
    if partition is None:
        try:
            partition = float(log_partition(target, max_states=max_states))
        except TooManyStatesError:
            base = _base(target, encoded)
            if num_chains is None and inverse_temperatures is None:
                path = annealing_path(base, target)
                partition = anneal_within(
                    path,
                    base,
                    target,
                    step_along(path, base, step),
                    _starts(target, encoded, NUM_CHAINS, num_steps, step, progress),
                    seconds=60.0 if budget is None else budget,
                    accuracy=0.2 if accuracy is None else accuracy,
                    progress=progress,
                )
            else:
                chains = 1024 if num_chains is None else num_chains
                betas = 1000 if inverse_temperatures is None else inverse_temperatures
                partition = annealed_importance_sampling(
                    target,
                    base,
                    approximate_samples=_starts(target, encoded, chains, num_steps, step, progress),
                    step=step,
                    num_chains=chains,
                    inverse_temperatures=betas,
                    progress=progress,
                )
    free, read_off_mean = -target(encoded), None
    if target.levels is not None:
        read_off_mean = float(free.mean() - read_off(target).log_partition)
    if isinstance(partition, AISEstimate):
        annealed, value = partition, partition.pessimistic
    else:
        annealed, value = None, partition
    return LogLikelihood(free - value, value, annealed, read_off_mean)


def _base(target: Target, encoded: Tensor) -> IndependentSites:
    """Where forward chains start: the background of the levels, else independent sites."""
    if target.levels is None:
        base = IndependentSites.fit(target.decode(encoded), target.space)
    else:
        base = target.levels.background or IndependentSites.uniform(target.space)
    return base.to(target.device)


def _starts(
    target: Target,
    encoded: Tensor,
    num_chains: int,
    num_steps: int,
    step: MarkovStep | None,
    progress: bool,
) -> Tensor:
    """Where reverse chains start: at data, after some steps under the model."""
    starts = target.decode(encoded[torch.randperm(len(encoded))[:num_chains]])
    sampler = MarkovSampler(num_steps, step, initial=starts, progress=progress)
    return sampler(target, sample_shape=(len(starts),))


def _check_limits(
    budget: float | None,
    accuracy: float | None,
    num_chains: int | None,
    inverse_temperatures: int | Tensor | None,
) -> None:
    for name, given in (("budget", budget), ("accuracy", accuracy)):
        if given is not None and not given > 0:
            raise ValueError(f"Expected {name} above 0, but got {given}.")
    if num_chains is not None:
        check_counts(2, num_chains=num_chains)
    is_fixed = num_chains is not None or inverse_temperatures is not None
    if is_fixed and not (budget is None and accuracy is None):
        raise ValueError(
            "Expected budget and accuracy, or num_chains and inverse_temperatures, but got both. "
            "A budget chooses chains and temperatures itself."
        )
