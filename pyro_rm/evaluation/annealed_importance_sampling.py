"""Annealed importance sampling, forward and reverse: partition functions in a bracket."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pyro_rm.checks import advise_on_memory, check_counts
from pyro_rm.evaluation.ais_estimate import AISEnd, AISEstimate
from pyro_rm.evaluation.annealing_paths import AnnealingPath, BaseDistribution, annealing_path
from pyro_rm.evaluation.annealing_plans import AnnealingPlan, anneal, pilot
from pyro_rm.evaluation.log_partition import single_target
from pyro_rm.markov_steps import MarkovStep
from pyro_rm.markov_steps.chains import burn_in_step
from pyro_rm.state_space import StateSpace

_PILOT_CHAINS = 32


def annealed_importance_sampling(
    model: Any,
    base: BaseDistribution,
    *,
    exact_samples: Tensor | None = None,
    approximate_samples: Tensor | None = None,
    step: MarkovStep | None = None,
    num_chains: int = 1024,
    inverse_temperatures: int | Tensor = 1000,
    chunk_size: int = 256,
    state_space: StateSpace | None = None,
    max_gap: float = 1.0,
    progress: bool = True,
) -> AISEstimate:
    r"""Estimate :math:`\log Z` by annealing chains from a base to the model, and back.

    Forward chains [1] start from the base and underestimate :math:`\log Z`: a stochastic
    lower bound. Reverse chains [2, 3] start from samples of the model. From *exact* samples
    they overestimate it: a stochastic upper bound. From data or from chains they are a
    diagnostic only, and the result says so.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`.
    :param base: Where chains start, e.g. ``IndependentSites.fit(data, space)``.
    :param exact_samples: Independent, exact draws from the model, ``(R, D)``, as
        :func:`exact_samples` gives them.
    :param approximate_samples: Instead: data, or the last states of chains.
    :param step: A step that leaves each energy of the path invariant; that of the energy if None.
        One that adapts does so on 32 chains that are not used.
    :param num_chains: Forward chains.
    :param inverse_temperatures: How many, evenly spaced, or increasing ones from 0 to 1.
    :param chunk_size: Chains that are annealed together.
    :param state_space: The space, where the energy does not say it.
    :param max_gap: Warn where the two ends are further apart than this.
    :param progress: Whether to show a progress bar.
    :returns: Both ends, with their standard errors and effective sample sizes.
    :raises ValueError: If base and model are on different spaces, or an option is wrong.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> from pyro_rm.evaluation import IndependentSites
        >>> space = StateSpace(3)
        >>> result = annealed_importance_sampling(
        ...     IsingEnergy(3), IndependentSites.uniform(space), inverse_temperatures=2
        ... )
        >>> round(result.lower.log_partition, 4)  # exact here: 3 log 2
        2.0794

    .. note:: Costs a step and two energies for each chain and temperature. Interrupted, it
        returns the batches that are complete, if there is one. Warns where few weights rule
        (the base and the model hardly overlap at this number of temperatures) and where
        the ends are far apart. A mode that no chain finds goes unseen.

    **References**

    [1] Radford Neal (2001) "Annealed importance sampling", Statistics and Computing 11.

    [2] Yuri Burda, Roger Grosse, Ruslan Salakhutdinov (2015) "Accurate and conservative
        estimates of MRF log-likelihood using reverse annealing", AISTATS.

    [3] Roger Grosse, Zoubin Ghahramani, Ryan Adams (2015) "Sandwiching the marginal
        likelihood using bidirectional Monte Carlo", arXiv:1511.02543.
    """
    target = single_target(model, state_space)
    samples = approximate_samples if exact_samples is None else exact_samples
    _check_options(target.space, exact_samples, approximate_samples, num_chains, chunk_size)
    if hasattr(base, "to"):
        base = base.to(target.device)
    path = annealing_path(base, target)
    plan = AnnealingPlan.of(_temperatures(inverse_temperatures), step_along(path, base, step))
    if plan.steps and plan.steps[0].is_adaptive:
        starts = base.sample(min(num_chains, _PILOT_CHAINS))
        plan, _ = pilot(path, plan, target.encode(starts))
    batches = [(starts, plan) for starts in base.sample(num_chains).split(chunk_size)]
    num_forward = len(batches)
    if samples is not None:
        batches += [(starts, plan.reversed) for starts in samples.split(chunk_size)]
    weights: list[Tensor] = []
    ends: list[Tensor] = []
    total = len(batches) * (len(plan.betas) - 1)
    with tqdm(total=total, desc="annealing", disable=not progress, leave=False) as bar:
        try:
            for starts, way in batches:
                last = anneal(path, way, target.encode(starts), bar)
                weights.append(last[0])
                ends.append(target.decode(last[1]))
        except RuntimeError as error:
            advise_on_memory(error, f"Set chunk_size to less than {len(starts)} chains.")
            raise
        except KeyboardInterrupt:
            if not weights:
                raise
            warnings.warn("Interrupted: only the complete batches are used.", stacklevel=2)
    constant, forward = path.log_partition_at_base, slice(num_forward)
    lower = AISEnd(torch.cat(weights[forward]) + constant, 1, torch.cat(ends[forward]))
    upper = None
    if len(weights) > num_forward:
        back = slice(num_forward, None)
        upper = AISEnd(torch.cat(weights[back]) - constant, -1, torch.cat(ends[back]))
    result = AISEstimate(
        lower, upper, upper_is_bound=upper is not None and exact_samples is not None
    )
    for problem in _problems(result, max_gap):
        warnings.warn(problem, stacklevel=2)
    return result


def step_along(path: AnnealingPath, base: BaseDistribution, step: MarkovStep | None) -> MarkovStep:
    """What moves the chains that are annealed: a given step, or the fastest of the model.

    :raises ValueError: If the step has replicas, or redraws levels.
    """
    if step is None:
        target = path.at(1.0)
        step = burn_in_step(target, target.encode(base.sample(2)))
    if step.num_replicas is not None or step.redraws_levels:
        raise ValueError(
            f"Expected a step that moves single chains at one level, but got {step!r}: annealing "
            "tempers already. Pass the step underneath."
        )
    return step


def _temperatures(given: int | Tensor) -> list[float]:
    if not isinstance(given, Tensor):
        check_counts(2, inverse_temperatures=given)
        given = torch.linspace(0, 1, given)
    betas = given.tolist()
    increasing = all(before < after for before, after in pairwise(betas))
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not increasing:
        raise ValueError(
            f"Expected at least two inverse temperatures, increasing from 0 to 1, but got {given}."
        )
    return betas


def _check_options(
    space: StateSpace,
    exact: Tensor | None,
    approximate: Tensor | None,
    num_chains: int,
    chunk_size: int,
) -> None:
    if exact is not None and approximate is not None:
        raise ValueError("Expected exact_samples or approximate_samples, but got both.")
    for samples in (exact, approximate):
        if samples is not None:
            space.validate(samples)
            if samples.dim() != 2 or len(samples) < 2:
                raise ValueError(
                    f"Expected at least two samples, (R, {space.num_sites}), but got "
                    f"{tuple(samples.shape)}."
                )
    check_counts(2, num_chains=num_chains)
    check_counts(chunk_size=chunk_size)


def _problems(result: AISEstimate, max_gap: float) -> Iterator[str]:
    """What a reader of the result should know first."""
    for name, end in (("forward", result.lower), ("reverse", result.upper)):
        if end is not None and end.effective_sample_size < 0.05 * len(end.log_weights):
            yield (
                f"Base and model hardly overlap at this number of temperatures: the {name} "
                f"weights have an effective sample size of {end.effective_sample_size:.1f} of "
                f"{len(end.log_weights)}. Use more temperatures, a base nearer to the model, or "
                "a step that mixes faster."
            )
    if abs(result.gap) > max_gap:
        yield (
            f"The ends are far apart: {result}. Use more temperatures, a base nearer to the "
            "model, or a step that mixes faster."
        )
