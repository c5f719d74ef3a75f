"""Maximum likelihood of graph models, with expectations from Markov chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyro_rm.graphs.nodes import Array
from pyro_rm.graphs.tie_chains import TieChains

_SETTLING = 0.25  # share of each run that is not counted
_DRAWS = 24  # of the shortest runs
_LONG, _FAR, _PATIENCE = 8, 0.5, 3  # so often runs may be far off that are so many times as long


@dataclass(frozen=True, eq=False)
class LikelihoodFit:
    """A maximum of the likelihood, as far as simulation tells.

    :param coefficients: The estimate, ``(K,)``.
    :param covariance: The inverse Fisher information, ``(K, K)``; NaN if it is singular.
    :param monte_carlo_errors: Standard errors that are due to simulation alone, ``(K,)``.
    :param ratios: Simulated minus observed statistics at the last coefficients that were
        simulated, in their standard deviations, ``(K,)``.
    :param converged: Whether all ratios are below 0.1, chains have settled, and simulation
        errors are small.
    :param num_rounds: Rounds of simulation.
    :param chains: The chains, where they ended.
    :param stalled: Whether long runs went on to differ from each other, so that more of them
        would not help.
    """

    coefficients: Array
    covariance: Array
    monte_carlo_errors: Array
    ratios: Array
    converged: bool
    num_rounds: int
    chains: TieChains
    stalled: bool = False

    def shortfall(self, far: str) -> str:
        """Why it has not converged, and what to do.

        :param far: The statistics that differ from the observed ones, in words; empty if none.
        """
        why = f"simulated statistics still differ from the observed ones ({far})"
        how = "Raise max_rounds or tolerance, or change terms."
        if self.stalled:
            why = f"long simulations go on to differ, from each other and in {far}"
            how = (
                "Longer ones would not help: with these terms networks of several kinds are likely "
                "at once. Change terms, such as a smaller decay, or take method='pseudolikelihood'."
            )
        why = why if far else "the error of simulation is above tolerance"
        return f"The likelihood was not maximized in {self.num_rounds} rounds: {why}. {how}"


@dataclass(frozen=True, eq=False)
class Draws:
    """Statistics of chains, and of chains that fill missing pairs only: ``(draws, copies, K)``."""

    free: Array
    filled: Array


def maximum_likelihood(
    restart: Callable[[], TieChains],
    fills: TieChains | None,
    *,
    learned: Array,
    observed: Array,
    num_steps: int,
    tolerance: float = 0.05,
    max_rounds: int = 40,
) -> LikelihoodFit:
    r"""Maximize the likelihood by Newton's method on simulated moments.

    The score is :math:`s(x) - E_\theta[s]`, the information the covariance of :math:`s`. First,
    chains that start at the observed network stay near it, in longer and longer runs
    (contrastive divergence [1]), by steps that go part of the way only where it is far [2]. Then
    chains persist between rounds, and the likelihood ratio to the coefficients that were
    simulated is maximized by weights of the draws [3], in runs that, once near, are doubled until
    their halves agree, and the error of simulation is small beside the standard error. It ends
    where three long runs were far from the observed network, each after a step to where the one
    before said that they would be near: the model then has networks of several kinds. Where pairs
    are missing, :math:`s(x)` is replaced by its expectation given the observed ones [4].

    :param restart: Makes chains at the observed network, and at the coefficients to start from.
    :param fills: Chains that move the missing pairs of the observed network only, or None.
    :param learned: Which coefficients are learned, ``(K,)``.
    :param observed: Statistics of the network, ``(K,)``.
    :param num_steps: Steps of a chain that renew its edges several times.
    :param tolerance: The largest ratio of simulation error to standard error.
    :param max_rounds: Bound on rounds.
    :returns: The estimate, and whether it has converged.

    **References**

    [1] Pavel Krivitsky (2017) "Using contrastive divergence to seed Monte Carlo MLE for
        exponential-family random graph models", Computational Statistics & Data Analysis 107.
    [2] Ruth Hummel, David Hunter, Mark Handcock (2012) "Improving simulation-based algorithms
        for fitting ERGMs", Journal of Computational and Graphical Statistics 21(4).
    [3] Charles Geyer, Elizabeth Thompson (1992) "Constrained Monte Carlo maximum likelihood for
        dependent data", Journal of the Royal Statistical Society B 54(3).
    [4] Mark Handcock, Krista Gile (2010) "Modeling social networks from sampled data", The
        Annals of Applied Statistics 4(1).
    """
    chains, number = _approach(restart, learned, observed, num_steps, max(1, max_rounds - 1))
    point, length, left = chains.coefficients.copy(), num_steps, _PATIENCE
    while True:
        number += 1
        num_draws = min(_DRAWS * length // num_steps, 64 * _DRAWS)
        draws = Draws(*(
            _simulated(each, point, learned, observed, num_draws, length)
            for each in (chains, fills)
        ))  # fmt: skip
        mean, spread = _moments(draws)
        ratios = mean / np.sqrt(np.maximum(np.diag(_covariance(draws.free)), 1e-12))
        newton, distance = _step(mean, spread)
        estimate = _weighted(draws, newton)
        point[learned] += estimate.step
        errors = np.sqrt(np.diag(estimate.covariance))
        small = bool((estimate.errors <= tolerance * errors).all())
        settled = _settled(draws.free)
        converged = small and settled and bool((np.abs(ratios) < 0.1).all())
        left -= length >= _LONG * num_steps and float(np.abs(ratios).max()) > _FAR
        if converged or number >= max_rounds or left == 0:
            return LikelihoodFit(
                point[learned], estimate.covariance, estimate.errors, ratios, converged, number,
                chains, stalled=left == 0,
            )  # fmt: skip
        near = distance < 1  # else the next run starts elsewhere, and need not be precise
        if near and not (small and settled) and length < 64 * num_steps:
            length *= 2


def _approach(
    restart: Callable[[], TieChains],
    learned: Array,
    observed: Array,
    num_steps: int,
    max_rounds: int,
) -> tuple[TieChains, int]:
    """Chains that stayed near the observed network, at coefficients where they do; and rounds."""
    chains, length = restart(), max(8, num_steps // 64)
    point = chains.coefficients.copy()
    for number in range(1, max_rounds + 1):
        gaps = chains.run(length).statistics[:, learned] - observed[learned]
        step, distance = _step(gaps.mean(0), _covariance(gaps))
        if distance < 0.4:
            if length == num_steps:
                return chains, number
            length = min(4 * length, num_steps)
        point[learned] += step
        chains = restart()
        chains.coefficients = point.copy()
    return chains, max_rounds


def _step(mean: Array, spread: Array) -> tuple[Array, float]:
    """Newton's step, not beyond the spread of the statistics; and how far they are off."""
    step: Array = -np.linalg.pinv(spread, hermitian=True) @ mean
    distance = (max(float(-step @ mean), 0.0) / len(mean)) ** 0.5
    return step / max(1.0, distance), distance


def _simulated(
    chains: TieChains | None,
    point: Array,
    learned: Array,
    observed: Array,
    num_draws: int,
    length: int,
) -> Array:
    """Simulated minus observed statistics; zero, once, where nothing is simulated."""
    if chains is None:
        return np.zeros((1, 2, int(learned.sum())))
    chains.coefficients = point
    statistics = chains.sample(num_draws, max(1, length // num_draws))
    return statistics[int(_SETTLING * num_draws) :, :, learned] - observed[learned]


def _settled(statistics: Array) -> bool:
    """Whether the halves of the run differ no more than chance explains, in all statistics."""
    half = len(statistics) // 2
    drift = statistics[half:].mean(0) - statistics[:half].mean(0)
    errors = drift.std(0) / len(drift) ** 0.5
    return bool((np.abs(drift.mean(0)) <= 3 * errors).all())


def _covariance(statistics: Array) -> Array:
    return np.atleast_2d(np.cov(statistics.reshape(-1, statistics.shape[-1]).T))


def _moments(draws: Draws) -> tuple[Array, Array]:
    """Expected minus observed statistics, and the information."""
    gap = draws.free.mean((0, 1)) - draws.filled.mean((0, 1))
    return gap, _covariance(draws.free) - _covariance(draws.filled)


@dataclass(frozen=True, eq=False)
class _Weighted:
    step: Array
    covariance: Array
    errors: Array


def _weighted(draws: Draws, newton: Array) -> _Weighted:
    """The step that maximizes the weighted likelihood ratio; Newton's where weights fail."""
    step = newton
    for _ in range(20):
        free, filled = _weights(draws.free, step), _weights(draws.filled, step)
        if min(_effective(free), _effective(filled)) < 0.2:
            step = newton
            break
        gap, spread = _reweighted(draws, free, filled)
        change, _ = _step(gap, spread)
        step = step + change
        if np.abs(change).max() < 1e-9 * (1 + np.abs(step).max()):
            break
    free, filled = _weights(draws.free, step), _weights(draws.filled, step)
    gap, spread = _reweighted(draws, free, filled)
    covariance = np.linalg.pinv(spread, hermitian=True)
    noise = _noise(draws.free, free) + _noise(draws.filled, filled)
    errors = np.sqrt(np.maximum(np.diag(covariance @ noise @ covariance), 0))
    return _Weighted(step, covariance, errors)


def _noise(statistics: Array, weights: Array) -> Array:
    """The covariance of a weighted mean, by what each chain, independent of the others, adds."""
    mean = np.einsum("dc,dck->k", weights, statistics)
    parts = np.einsum("dc,dck->ck", weights, statistics - mean)
    number = len(parts)
    covariance: Array = number / (number - 1) * parts.T @ parts
    return covariance


def _weights(statistics: Array, step: Array) -> Array:
    logits = statistics @ step
    weights = np.exp(logits - logits.max())
    normalized: Array = weights / weights.sum()
    return normalized


def _effective(weights: Array) -> float:
    """Share of the draws that the weights are worth."""
    return float(1 / np.square(weights).sum() / weights.size)


def _reweighted(draws: Draws, free: Array, filled: Array) -> tuple[Array, Array]:
    gap, spread = 0.0, 0.0
    for sign, weights, statistics in ((1, free, draws.free), (-1, filled, draws.filled)):
        mean = np.einsum("dc,dck->k", weights, statistics)
        centered = statistics - mean
        gap = gap + sign * mean
        spread = spread + sign * np.einsum("dc,dck,dcl->kl", weights, centered, centered)
    return np.asarray(gap), np.asarray(spread)
