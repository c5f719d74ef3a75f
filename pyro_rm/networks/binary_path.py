"""The path of penalized binary models, on working sets of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rm.energies import SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks.binary_fits import BinaryFits
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.proximal import proximal_minimize
from pyro_rm.objectives import as_objective

_LEAST_VARIANCE = 1e-3  # of that of an even coin, about


class BinaryPoint(NamedTuple):
    """A penalized fit: the penalty, its couplings that are not zero, and fields."""

    penalty: float
    edges: Tensor
    couplings: Tensor
    fields: Tensor


class BinaryPath:
    r"""Minimizers of the mean objective plus :math:`\lambda \sum_{i<j} |J_{ij}|`.

    Each is found on a working set of pairs, first those that are likely to enter by the sequential
    strong rule [1]: slopes of more than twice this penalty less the one before. Then the slopes of
    all pairs are computed, and those that are too large join the set until there are none.

    The same optimum is the mode under a Laplace prior of scale :math:`1 / (N \lambda)` on
    couplings (:class:`pyro.infer.autoguide.AutoDelta`).

    :param observations: The data.
    :param estimator: The objective; deterministic.
    :param tolerance: Of the gradient, relative to the penalty.

    .. note:: Costs a product of data and data a penalty, seldom two, and iterations on the
        working sets, of two numbers a pair and datum. The fields are those felt at the mean datum,
        and coordinates are scaled by the variances of their sites, so that rare states do not slow
        it down.

    **References**

    [1] Robert Tibshirani, Jacob Bien, Jerome Friedman, Trevor Hastie, Noah Simon, Jonathan Taylor,
        Ryan Tibshirani (2012) "Strong rules for discarding predictors in lasso-type problems",
        Journal of the Royal Statistical Society B 74(2).
    """

    def __init__(
        self, observations: Observations, estimator: Estimator, *, tolerance: float = 1e-2
    ) -> None:
        self.observations, self.estimator, self.tolerance = observations, estimator, tolerance
        self.mean, (low, high) = observations.encoded_mean(), observations.space.states
        spread = (self.mean - low) * (high - self.mean)
        self._variances = spread.clamp(min=_LEAST_VARIANCE * (high - low) ** 2)
        odds = ((self.mean - low) / (high - self.mean)).clamp(1e-6, 1e6)
        own = odds.log() / (high - low) / as_objective(estimator.objective).kappa
        none = torch.zeros(0, 2, dtype=torch.long, device=own.device)
        self._point = BinaryPoint(torch.inf, none, own[:0], own)
        self._slopes = self._slopes_of_pairs(self._point)
        self._largest, self._curvature = float(self._slopes.max()), 1.0

    def largest_penalty(self) -> float:
        """The smallest penalty without any coupling."""
        return self._largest

    def points(self, penalties: list[float]) -> Iterator[BinaryPoint]:
        """Fits for given penalties, best in decreasing order, each computed when asked for."""
        for penalty in penalties:
            yield self._fit(penalty)

    def _fit(self, penalty: float) -> BinaryPoint:
        last = self._point
        chosen = self._slopes >= 2 * penalty - min(last.penalty, self._largest)
        chosen[last.edges[:, 0], last.edges[:, 1]] = True
        while True:
            self._point = self._minimized(chosen.triu(1).nonzero(), penalty)
            self._slopes = self._slopes_of_pairs(self._point)
            joining = (self._slopes > (1 + self.tolerance) * penalty) & ~chosen
            if not joining.any():
                return self._point
            chosen |= joining

    def _minimized(self, edges: Tensor, penalty: float) -> BinaryPoint:
        """The fit on a working set, from where the search is."""
        fits, count, last = self._fits(edges), len(edges), self._point
        (first, second), sites = edges.unbind(1), len(self.mean)
        places = torch.searchsorted(edges @ edges.new_tensor([sites, 1]),
                                    last.edges @ edges.new_tensor([sites, 1]))  # fmt: skip
        couplings = self.mean.new_zeros(count).index_put((places,), last.couplings)
        fields = last.fields + self._felt_at_mean(edges, couplings)

        def smooth(point: Tensor, with_gradient: bool) -> tuple[float, Tensor | None]:
            pairs, own = point[:count], point[count:]
            plain = torch.cat([pairs, own - self._felt_at_mean(edges, pairs)])[None]
            if not with_gradient:
                return float(fits.values(plain)), None
            (value,), (slope,) = fits(plain)
            pairs, own = slope[:count], slope[count:]
            pairs = pairs - own[first] * self.mean[second] - self.mean[first] * own[second]
            return float(value), torch.cat([pairs, own])

        theta, self._curvature = proximal_minimize(
            smooth,
            partial(_shrink, penalty=penalty, count=count),
            torch.cat([couplings, fields]),
            torch.cat([2 * self._variances[first] * self._variances[second], self._variances]),
            tolerance=self.tolerance * penalty,
            curvature=self._curvature / 2,
        )
        couplings, fields = theta[:count], theta[count:]
        fields = fields - self._felt_at_mean(edges, couplings)
        there = couplings.nonzero()[:, 0]
        return BinaryPoint(penalty, edges[there], couplings[there], fields)

    def _fits(self, edges: Tensor) -> BinaryFits:
        space = self.observations.space
        energy = SparseIsingEnergy(space.num_sites, edges.cpu(), states=space.states)
        none = self.mean.new_zeros(len(edges) + space.num_sites)
        return BinaryFits.of(energy.to(self.mean), self.observations, self.estimator, none)

    def _felt_at_mean(self, edges: Tensor, couplings: Tensor) -> Tensor:
        """What couplings add to the fields at the mean datum, ``(D,)``."""
        first, second = edges.unbind(1)
        felt = torch.zeros_like(self.mean).index_add(0, first, couplings * self.mean[second])
        return felt.index_add(0, second, couplings * self.mean[first])

    @torch.no_grad()
    def _slopes_of_pairs(self, point: BinaryPoint) -> Tensor:
        """Sizes of the derivatives in all couplings, ``(D, D)``."""
        fits = self._fits(point.edges)
        slopes = fits.slopes(torch.cat([point.couplings, point.fields])[None])[0]
        own = torch.outer(slopes.sum(0), self.mean)
        pairs = slopes.mT @ fits.x - own
        return (pairs + pairs.mT).abs_().fill_diagonal_(0)


def _shrink(point: Tensor, steps: Tensor, *, penalty: float, count: int) -> Tensor:
    """Couplings towards zero, as far as they go; fields as they are."""
    pairs, by = point[:count], penalty * steps[:count]
    return torch.cat([pairs.sign() * (pairs.abs() - by).clamp(min=0), point[count:]])
