"""Which entries of a normal mean are zero: spikes and slabs, by enumeration or collapsed Gibbs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rm.networks.edge_priors import EdgePrior

MAX_ENUMERATED = 12  # edges, up to which all structures are summed over
_WAITING = 32  # changes of rank one that are applied together
_SWEEPS_TO_REFRESH = 50  # after which rounding of the updates is removed
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CouplingPosterior:
    r"""A posterior of couplings as a mixture over structures.

    Edge :math:`k` is there with log odds :math:`\ell_{sk}` in component :math:`s`: infinite ones if
    components are structures, and those given all other edges if they are the sweeps of a chain,
    which are averaged and not its draws (Rao and Blackwell). Its coordinates, one or more, are then
    normal, and else zero.

    :param structures: Booleans, ``(S, E)``.
    :param weights: Probabilities of the components, ``(S,)``.
    :param log_odds: :math:`\ell`, ``(S, E)``.
    :param means: Of a coordinate of an edge that is there, ``(S, P)``.
    :param variances: The same.
    :param owners: The edge of each coordinate, ``(P,)``.

    Example:

        >>> there = np.array([[True]])
        >>> zeros = np.zeros((1, 1))
        >>> posterior = CouplingPosterior(
        ...     there, np.ones(1), zeros, zeros + 2, zeros + 1, np.zeros(1, dtype=int)
        ... )
        >>> posterior.averages()
        array([1.])
    """

    structures: NDArray[np.bool_]
    weights: Array
    log_odds: Array
    means: Array
    variances: Array
    owners: NDArray[np.int64]

    @cached_property
    def _shares(self) -> Array:
        """Weights of the components' normal parts, ``(S, E)``."""
        return self.weights[:, None] * _expit(self.log_odds)

    def probabilities(self) -> Array:
        """Of each edge, ``(E,)``."""
        return np.clip(self._shares.sum(0), 0, 1)

    def log_posterior_odds(self) -> Array:
        """Log odds of each edge, ``(E,)``; exact where probabilities round to 0 or 1."""
        absent = self.weights @ _expit(-self.log_odds)
        with np.errstate(divide="ignore"):
            return np.log(self._shares.sum(0)) - np.log(absent)

    def averages(self) -> Array:
        """Means of the coordinates over all structures, zeros included, ``(P,)``."""
        return (self._shares[:, self.owners] * self.means).sum(0)

    def quantiles(self, probability: float, num_halvings: int = 60) -> Array:
        """Quantiles of the coordinates over all structures, zeros included, ``(P,)``."""
        spread = np.sqrt(self.variances)
        low = np.minimum((self.means - 9 * spread).min(0), -1e-9)
        high = np.maximum((self.means + 9 * spread).max(0), 1e-9)
        means, spreads = torch.from_numpy(self.means), torch.from_numpy(spread)
        shares = torch.from_numpy(self._shares[:, self.owners])
        zero = (self.weights @ _expit(-self.log_odds))[self.owners]

        def below(x: Array) -> Array:
            normal = torch.special.ndtr((torch.from_numpy(x) - means) / spreads)
            return np.asarray((shares * normal).sum(0).numpy())

        at_zero = below(np.zeros_like(low))
        for _ in range(num_halvings):
            middle = (low + high) / 2
            too_low = below(middle) + zero * (middle >= 0) < probability
            low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
        in_atom = (at_zero < probability) & (probability <= at_zero + zero)
        return np.where(in_atom, 0.0, (low + high) / 2)

    def most_probable(self, num_structures: int) -> list[tuple[NDArray[np.bool_], float]]:
        """The most probable structures with their probabilities, or shares of the sweeps."""
        found, which = np.unique(self.structures, axis=0, return_inverse=True)
        totals = np.bincount(which.ravel(), self.weights)
        best = np.argsort(-totals, kind="stable")[:num_structures]
        return [(found[number], float(totals[number])) for number in best]


def enumerate_structures(
    estimate: Array,
    covariance: Array,
    slab_scale: float,
    prior: EdgePrior,
    edges: NDArray[np.int64],
    num_sites: int,
    owners: NDArray[np.int64],
) -> CouplingPosterior:
    """The posterior of couplings exactly, as a sum over all structures.

    :param estimate: Estimates of the couplings' coordinates, ``(P,)``.
    :param covariance: Their covariance, ``(P, P)``.
    :param slab_scale: Standard deviation of coordinates of edges that are there.
    :param prior: The prior, with fixed blocks if any.
    :param edges: Pairs of sites, ``(E, 2)``.
    :param num_sites: The number of sites.
    :param owners: The edge of each coordinate, ``(P,)``, in order.
    :returns: The posterior; a component a structure.

    .. note:: Costs :math:`2^E P^3`.
    """
    count, square = len(edges), slab_scale**2
    structures = np.arange(2**count)[:, None] >> np.arange(count) & 1 > 0
    there = structures[:, owners]
    marginal = covariance + square * there[:, None, :] * np.eye(len(estimate))
    inverse = np.linalg.inv(marginal)
    pulled = inverse @ estimate
    evidence = -0.5 * (np.linalg.slogdet(marginal)[1] + pulled @ estimate)
    logits = evidence + prior.log_probability(structures, edges, num_sites)
    weights = np.exp(logits - logits.max())
    precision = np.diagonal(inverse, axis1=1, axis2=2)
    return CouplingPosterior(
        structures,
        weights / weights.sum(),
        np.where(structures, np.inf, -np.inf),
        square * pulled,
        np.where(there, square - square**2 * precision, square),
        owners,
    )


def sample_structures(
    estimate: Array,
    covariance: Array,
    slab_scale: float,
    prior: EdgePrior,
    edges: NDArray[np.int64],
    num_sites: int,
    owners: NDArray[np.int64],
    *,
    num_sweeps: int = 500,
    burn_in: int = 100,
    random_state: int | None = 0,
) -> CouplingPosterior:
    r"""The posterior of couplings by Gibbs sweeps over edges, couplings integrated out.

    With :math:`y \sim N(\theta, V)`, slab scale :math:`\tau` and
    :math:`C = (V + \tau^2 \operatorname{diag} \gamma)^{-1}`, an edge that is added multiplies
    the marginal likelihood by

    .. math::

        (1 + \tau^2 C_{kk})^{-1/2}
        \exp\!\left(\frac{\tau^2 (C y)_k^2}{2 (1 + \tau^2 C_{kk})}\right) ,

    and :math:`C` changes by a matrix of rank one. Coordinates of an edge are added in turn, and
    the factors multiplied.

    :param estimate: :math:`y`, ``(P,)``.
    :param covariance: :math:`V`, ``(P, P)``.
    :param slab_scale: :math:`\tau`.
    :param prior: The prior.
    :param edges: Pairs of sites, ``(E, 2)``.
    :param num_sites: The number of sites.
    :param owners: The edge of each coordinate, ``(P,)``, in order.
    :param num_sweeps: Sweeps that count.
    :param burn_in: Sweeps before them.
    :param random_state: Seed.
    :returns: The posterior; a component a sweep.

    .. note:: A visit of an edge with one coordinate costs a few operations, a change of one
        :math:`P^2`, and so does each coordinate where an edge has more.
    """
    rng, state = np.random.default_rng(random_state), prior.state(edges, num_sites)
    count, square = len(edges), slab_scale**2
    chain = _Chain(estimate, covariance, square)
    starts = np.searchsorted(owners, np.arange(count + 1)).tolist()
    log_odds, structures = np.empty((num_sweeps, count)), np.empty((num_sweeps, count), dtype=bool)
    means, variances = np.empty((2, num_sweeps, len(estimate)))
    for sweep in range(-burn_in, num_sweeps):
        if (sweep + burn_in) % _SWEEPS_TO_REFRESH == 0:
            chain.refresh()
        order, uniforms = rng.permutation(count).tolist(), rng.random(count).tolist()
        for edge, uniform in zip(order, uniforms, strict=True):
            own = range(starts[edge], starts[edge + 1])
            now = bool(chain.included[own[0]])
            gain, mean, variance = chain.gain(own)
            odds = state.log_odds(edge, now) + gain
            if sweep >= 0:
                log_odds[sweep, edge] = odds
                means[sweep, own], variances[sweep, own] = mean, variance
            new = uniform < (1 / (1 + exp(-odds)) if odds > -700 else 0.0)
            if new != bool(chain.included[own[0]]):
                for coordinate in own:
                    chain.flip(coordinate)
            if new != now:
                state.set(edge, new)
        state.move_blocks(rng)
        if sweep >= 0:
            structures[sweep] = chain.included[starts[:-1]]
    weights = np.full(num_sweeps, 1 / num_sweeps)
    return CouplingPosterior(structures, weights, log_odds, means, variances, owners)


class _Chain:
    """Which coordinates are there, with the inverse covariance of the estimates under it.

    Changes of the inverse wait as vectors until there are enough of them for a matrix product.
    """

    def __init__(self, estimate: Array, covariance: Array, square: float) -> None:
        self.included = np.zeros(len(estimate), dtype=bool)
        self._estimate, self._covariance, self._square = estimate, covariance, square
        self._columns = np.empty((_WAITING, len(estimate)))
        self._steps = np.empty(_WAITING)

    def refresh(self) -> None:
        """Compute it anew, without the rounding of many updates."""
        spread = self._covariance + self._square * np.diag(self.included)
        self._inverse, self._waiting = np.linalg.inv(spread), 0
        self._precisions = np.diag(self._inverse).copy()
        self._pulls = self._inverse @ self._estimate

    def gain(self, edge: range) -> tuple[float, Any, Any]:
        """By how much an edge raises the log likelihood, and its coordinates if it is there.

        An edge of several coordinates is there afterwards.

        :param edge: Its coordinates.
        :returns: The gain, and the means and variances of the coordinates.
        """
        square = self._square
        if len(edge) == 1:
            precision, pull = self._without(edge[0])
            factor = 1 + square * precision
            return _gain(square, precision, pull), square * pull / factor, square / factor
        if self.included[edge[0]]:
            for coordinate in edge:
                self.flip(coordinate)
        total = 0.0
        for coordinate in edge:
            total += _gain(square, *self._without(coordinate))
            self.flip(coordinate)
        own = slice(edge.start, edge.stop)
        return total, square * self._pulls[own], square - square**2 * self._precisions[own]

    def _without(self, coordinate: int) -> tuple[float, float]:
        """The coordinate's precision and pull if it were not there."""
        precision, pull = float(self._precisions[coordinate]), float(self._pulls[coordinate])
        if not self.included[coordinate]:
            return precision, pull
        left = 1 - self._square * precision
        return precision / left, pull / left

    def flip(self, coordinate: int) -> None:
        """Add or remove a coordinate."""
        waiting, steps = self._columns[: self._waiting], self._steps[: self._waiting]
        column = self._inverse[coordinate] - (steps * waiting[:, coordinate]) @ waiting
        sign = -1.0 if self.included[coordinate] else 1.0
        step = sign * self._square / (1 + sign * self._square * float(column[coordinate]))
        self._pulls -= step * self._pulls[coordinate] * column
        self._precisions -= step * column**2
        self._columns[self._waiting], self._steps[self._waiting] = column, step
        self._waiting += 1
        if self._waiting == _WAITING:
            self._inverse -= (self._columns.T * self._steps) @ self._columns
            self._waiting = 0
        self.included[coordinate] = not self.included[coordinate]


def _gain(square: float, precision: float, pull: float) -> float:
    """By how much a coordinate raises the log likelihood."""
    factor = 1 + square * precision
    return 0.5 * (square * pull**2 / factor - log(factor))


def _expit(x: Array) -> Array:
    return np.asarray(torch.from_numpy(x).sigmoid().numpy())
