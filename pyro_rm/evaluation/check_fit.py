"""Whether a fitted model is right as a whole: its samples from several starts beside the data."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real
from pyro_rm.enumeration import TooManyStatesError
from pyro_rm.evaluation.ais_estimate import AISEstimate
from pyro_rm.evaluation.annealed_importance_sampling import annealed_importance_sampling
from pyro_rm.evaluation.independent_sites import IndependentSites
from pyro_rm.evaluation.log_partition import exact_samples, log_partition, single_target
from pyro_rm.evaluation.sample_comparison import SampleComparison
from pyro_rm.markov_steps import MarkovSampler, MarkovStep
from pyro_rm.noise_levels import draw_background
from pyro_rm.read_off import read_off
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

_LARGEST_EXACT = 2**16


@dataclass(frozen=True, eq=False)
class FitCheck:
    """What :func:`check_fit` found; its ``str()`` says it in words.

    :param problems: What is wrong with the model as a whole, a sentence each; empty if nothing is.
    :param remarks: What else a reader should know, such as starts from which chains do not arrive.
    :param share_outside: About how much of the model's probability is where no datum is.
    :param samples: Comparisons with the data by where the samples come from.
    :param log_likelihood: Mean log-likelihood of the data, lower and upper end.
    :param independent_log_likelihood: That of independent sites with the data's frequencies.

    Example:

        >>> FitCheck(["It is wrong."], [], 0.4, {}, (-3.0, -2.5), -2.0).ok
        False
    """

    problems: list[str]
    remarks: list[str]
    share_outside: float
    samples: dict[str, SampleComparison]
    log_likelihood: tuple[float, float]
    independent_log_likelihood: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong beyond what sampling explains."""
        return not self.problems

    def __str__(self) -> str:
        verdict = "No difference between model and data was found." if self.ok else "Not right:"
        low, high = self.log_likelihood
        between = f"{low:.3f}" if high - low < 5e-4 else f"between {low:.3f} and {high:.3f}"
        likelihood = (
            f"Log-likelihood of a datum {between}; independent sites "
            f"{self.independent_log_likelihood:.3f}."
        )
        details = [f"Samples from {name}: {found}" for name, found in self.samples.items()]
        return "\n".join([verdict, *self.problems, *self.remarks, likelihood, *details])

    def plot(self, axes: Any = None) -> Any:
        """Draw data against samples: rates, pair correlations, numbers and energies; matplotlib.

        :param axes: Four axes; None: a new figure.
        :returns: The axes.
        """
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots(2, 2, figsize=(8, 6.4), layout="constrained")[1].ravel()
        for name, found in self.samples.items():
            found.plot(axes, name)
        axes[-1].legend(fontsize="small")
        return axes


@torch.no_grad()
def check_fit(
    model: Any,
    data: Tensor,
    *,
    state_space: StateSpace | None = None,
    num_samples: int = 1000,
    num_steps: int = 200,
    step: MarkovStep | None = None,
    seed: int = 0,
    progress: bool = True,
) -> FitCheck:
    """Compare a model's samples with data, to find probability where no datum is.

    Objectives that look at single flips fit conditionals, and can be right there while most of the
    probability sits elsewhere. Chains start at the data, at independent sites with the data's
    frequencies and at uniform states; those of a model with levels of noise start at the data and
    at the background, and move through the levels. A small model is drawn from exactly instead. Of
    each sample five things are compared: rates, pair correlations, and the distributions of three
    numbers (sites off their commonest value, the energy, the distance to the nearest datum), with
    the sampling error of both sides. Annealing [1] from the independent sites, and from uniform
    states too where chains end where no datum is, weighs what the chains find, and brackets the
    log-likelihood.

    "Where no datum is" means values of a number that at most a fiftieth of the data have. A correct
    model is called wrong with probability below .001 by sampling error; the differences must
    beside be larger than .05, and shifts within the range of the data than .2, so that neither the
    error of a fit to few data is a finding nor the limits of a model's form: smaller shifts are
    remarks. What it calls right may differ in what it does not look at.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`, of all sites without context.
    :param data: Complete data, ``(N, D)``, at least 20; those of the fit or held-out ones.
    :param state_space: The space, where the energy does not say it.
    :param num_samples: Chains from each start.
    :param num_steps: Steps of each chain, and temperatures of the annealing.
    :param step: The step; that of the energy if None.
    :param seed: Of the draws; the global generator is left alone.
    :param progress: Whether to show bars.
    :returns: Findings: ``ok``, words as ``str()``, a figure by ``plot()``.
    :raises TypeError: If the data are not a tensor of real numbers.
    :raises ValueError: If they are too few or not of the space, or the model has a batch shape, a
        context or inactive sites.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> x = torch.bernoulli(torch.full((500, 4), 0.5))
        >>> print(str(check_fit(IsingEnergy(4), x)).splitlines()[0])
        No difference between model and data was found.

    .. note:: Costs ``3 * num_samples`` chains of ``num_steps`` steps and twice as many steps of
        annealing, or an energy a state where there are at most 65 536.

    **References**

    [1] Radford Neal (2001) "Annealed importance sampling", Statistics and Computing 11.
    """
    check_counts(20, num_samples=num_samples)
    check_counts(2, num_steps=num_steps)
    check_real(data)
    target = single_target(model, state_space)
    if data.dim() != 2 or len(data) < 20:
        raise ValueError(f"Expected at least 20 data, (N, D), but got {tuple(data.shape)}.")
    value = target.decode(target.bind(data))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        base = IndependentSites.fit(value, target.space).to(target.device)
        own = base.log_prob(value).mean().item()
        few = value[torch.randperm(len(value))[:5000]]
        try:
            return _exactly(target, few, own, num_samples)
        except TooManyStatesError:
            return _by_chains(target, few, base, own, num_samples, num_steps, step, progress)


def _exactly(target: Target, data: Tensor, own: float, num_samples: int) -> FitCheck:
    """By exact draws."""
    draws = exact_samples(target, max(num_samples, 5000), max_states=_LARGEST_EXACT)
    found = SampleComparison.of(target, draws, data)
    log_z = log_partition(target, max_states=_LARGEST_EXACT)
    mean = float(-target(target.encode(data)).mean() - log_z)
    problems = [*_outside(found, "exact draws", "are"), *found.differences]
    problems += _worse_than(own, mean)
    share, samples = found.share_outside, {"exact draws": found}
    return FitCheck(problems, found.remarks, share, samples, (mean, mean), own)


def _by_chains(
    target: Target,
    data: Tensor,
    base: IndependentSites,
    own: float,
    num_samples: int,
    num_steps: int,
    step: MarkovStep | None,
    progress: bool,
) -> FitCheck:
    """By chains from several starts, and by annealing, which weighs them."""
    some = data[torch.randint(len(data), (num_samples,))]
    starts = {"the data": some}
    if target.levels is not None:
        background = target.levels.background
        starts["the background"] = draw_background(target.space, some, background)
    else:
        starts["independent sites"] = base.sample(num_samples)
        starts["noise"] = draw_background(target.space, some)
    samples, ends = {}, {}
    for name, start in starts.items():
        sampler = MarkovSampler(num_steps, step, initial=start, progress=progress)
        ends[name] = sampler(target, sample_shape=(num_samples,))
        samples[name] = SampleComparison.of(target, ends[name], data)
    annealed = [_annealed(target, base, num_samples, num_steps, step, progress, ends["the data"])]
    if any(found.share_outside > 0 for found in samples.values()):
        uniform = IndependentSites.uniform(target.space).to(target.device)
        annealed.append(_annealed(target, uniform, num_samples, num_steps, step, progress))
    forward = max((result.lower for result in annealed), key=lambda end: end.log_partition)
    assert forward.ends is not None
    weighed = SampleComparison.of(
        target, forward.ends, data, weights=forward.log_weights.softmax(0)
    )
    energy = target(target.encode(data)).mean().item()
    all_ends = [end for result in annealed for end in (result.lower, result.upper) if end]
    log_z = [end.log_partition for end in all_ends]
    likelihood = (-energy - max(log_z), -energy - min(log_z))

    stay = samples["the data"]
    problems = _outside(stay, "chains from the data", "end")
    if not problems:
        problems = _outside(weighed, "the model's draws, as annealing weighs them,", "are")
    problems = [*problems, *stay.differences, *_worse_than(own, likelihood[1])]
    remarks = [
        f"Chains from {name} end elsewhere ({found.share_outside:.0%} where no datum is), and may "
        "need more steps."
        for name, found in samples.items()
        if found.share_outside > 0 and found is not stay
    ]
    remarks += stay.remarks
    if target.levels is not None:
        read = -energy - float(read_off(target).log_partition)
        remarks.append(f"Log-likelihood read off the levels: {read:.3f}.")
        if read > likelihood[1] + 1 + 3 * forward.standard_error:
            problems.append(
                f"Annealing finds {read - likelihood[1]:.1f} nats more probability than the levels "
                "know of: some is where neither data nor noise are."
            )
    share = max(stay.share_outside, weighed.share_outside)
    return FitCheck(problems, remarks, share, samples, likelihood, own)


def _annealed(
    target: Target,
    base: IndependentSites,
    num_chains: int,
    num_temperatures: int,
    step: MarkovStep | None,
    progress: bool,
    ends: Tensor | None = None,
) -> AISEstimate:
    """Annealing from a base, and back from where chains from the data have come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # far ends are the finding, not a surprise
        return annealed_importance_sampling(
            replace(target, levels=None),
            base,
            approximate_samples=ends,
            step=step,
            num_chains=num_chains,
            inverse_temperatures=num_temperatures,
            progress=progress,
        )


def _outside(found: SampleComparison, who: str, verb: str) -> list[str]:
    """The finding that samples are where no datum is."""
    if found.share_outside == 0:
        return []
    return [
        f"Probability where no datum is: about {found.share_outside:.0%}. So many of {who} {verb} "
        f"at {found.where} that data hardly have."
    ]


def _worse_than(own: float, likelihood: float) -> list[str]:
    """The finding that independent sites are likelier."""
    if likelihood > own - 0.05 or math.isnan(likelihood):
        return []
    return [f"The data are likelier under independent sites ({own:.3f} against {likelihood:.3f})."]
