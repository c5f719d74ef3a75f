"""Covariances of estimates, valid for any consistent objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pyro_rm.networks.curvature import derivatives, hessian
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.site_regressions import SiteRegressions
from pyro_rm.objectives import Objective

LEAST_INFORMATION = 25.0  # variance of a log odds ratio
_LEAST_CURVATURE = 1e-6  # of that of the best known parameter
_COLUMNS_AT_ONCE = 128
_ENTRIES_AT_ONCE = 2**24  # of gradients


@dataclass(frozen=True, eq=False)
class Sandwich:
    r"""Covariance of the estimated couplings and fields, and how many parameters they count as.

    Couplings of an edge have :math:`m^2` coordinates, fields of a site :math:`f`: see
    :class:`~pyro_rm.networks.pairwise_models.PairwiseModel`; both are 1 for binary sites.

    :param inverse: :math:`A^{-1}`, couplings first, ``(E m m + D f,) * 2``.
    :param spread: :math:`A^{-1} B`.
    :param num_effective: :math:`N \operatorname{tr}(A^{-1} B)`, the number of parameters of a
        likelihood and about twice the number of couplings of a pseudolikelihood, where each
        coupling is in two conditionals.
    :param num_effective_couplings: The couplings' share of it.
    :param num_coordinates: Coordinates of each edge's couplings, ``(E,)``.
    :param diverging: Indices of edges about which the data carry no information, less
        than a 25th of one datum: unbounded estimates, from separated data.
    :param width: :math:`m`.
    :param field_width: :math:`f`.
    """

    inverse: Tensor
    spread: Tensor
    num_effective: float
    num_effective_couplings: float
    num_coordinates: Tensor
    diverging: tuple[int, ...]

    width: int = 1
    field_width: int = 1

    @cached_property
    def covariance(self) -> Tensor:
        r""":math:`A^{-1} B A^{-\top}`, computed where it is read, which no search of edges does."""
        return self.spread @ self.inverse.mT

    def of_edges(self) -> Tensor:
        """Covariance of each edge's couplings, ``(E, m m, m m)``."""
        return self._blocks(0, len(self.num_coordinates), self.width**2)

    def of_fields(self) -> Tensor:
        """Covariance of each site's fields, ``(D, f, f)``."""
        start = len(self.num_coordinates) * self.width**2
        return self._blocks(
            start, (len(self.inverse) - start) // self.field_width, self.field_width
        )

    def _blocks(self, start: int, count: int, size: int) -> Tensor:
        """Of the covariance's diagonal."""
        rows = slice(start, start + count * size)
        left, right = (
            part[rows].unflatten(0, (count, size)) for part in (self.spread, self.inverse)
        )
        return left @ right.mT


@torch.no_grad()
def sandwich(
    model: PairwiseModel,
    observations: Observations,
    objective: Objective,
    *,
    ridge: float | Tensor = 0.0,
) -> Sandwich:
    r"""Sandwich covariance [1] of a fitted pairwise model.

    :math:`A` is the mean Hessian of the objective at the optimum and :math:`B` the covariance
    of the mean gradient. Where cells were missing, gradients are averaged over the fills of a
    datum, and :math:`A` loses the information that the missing cells would have carried:
    Louis' correction [2], the covariance over fills of the gradient and the sufficient
    statistics.

    :param model: The model, at the optimum.
    :param observations: What it was fitted to.
    :param objective: What it was fitted by.
    :param ridge: The penalty on couplings that it was fitted with, one number or one an edge.
    :returns: Covariance and effective number of parameters.

    .. note:: Closed form; costs :math:`N p^2` with :math:`p` parameters, so it is for selected
        couplings, and :math:`m` derivatives of the objective.

    **References**

    [1] Halbert White (1982) "Maximum likelihood estimation of misspecified models",
        Econometrica 50(1).
    [2] Thomas Louis (1982) "Finding the observed information matrix when using the EM
        algorithm", Journal of the Royal Statistical Society B 44(2).
    """
    space, paired = model.space, model.paired
    observations = observations.collapsed
    if observations.datum is None:
        x, felt, curvature = _of_rows(model, observations, objective)
        products = _products_of_gradients(model, x, felt, observations)
    else:
        gradients, curvature = scores_and_curvature(model, observations, objective)
        products = gram(observations.scattered(gradients))
    size, width = observations.effective_size, paired.shape[2]
    penalty = products.new_full((len(paired),), 2 / size) * ridge
    num_couplings = paired.numel()
    curvature.diagonal()[:num_couplings] += penalty.repeat_interleave(width**2)
    inverse, failed = _inverse(curvature, observations)
    if failed:  # a coupling that no row shows: its variance is to be large
        largest = curvature.diagonal().abs().max().clamp(min=_LEAST_CURVATURE)
        curvature.diagonal().add_(_LEAST_CURVATURE * largest)
        inverse = torch.linalg.inv(curvature)
    spread = inverse @ products
    low, high = space.states
    variances = inverse.diagonal()[:num_couplings].view(-1, width**2) * paired.flatten(1)
    log_odds = variances.amax(1) / size * (high - low) ** 4
    # blanks can lose more than there is: a negative variance
    uninformed = (log_odds > LEAST_INFORMATION) | (variances < 0).any(1)
    counted = spread.diagonal() * size
    return Sandwich(
        inverse=inverse,
        spread=spread,
        num_effective=float(counted.sum()),
        num_effective_couplings=float(counted[:num_couplings].sum()),
        num_coordinates=paired.flatten(1).sum(1),
        diverging=tuple(uninformed.nonzero().flatten().tolist()),
        width=width,
        field_width=model.exists.shape[1],
    )


def _inverse(curvature: Tensor, observations: Observations) -> tuple[Tensor, bool]:
    """The inverse, and whether there is none; what blanks lose is not symmetric."""
    if observations.datum is None:
        factor, failed = torch.linalg.cholesky_ex(curvature)
        if not failed:  # where the objective is convex
            return torch.cholesky_inverse(factor), False
    inverse, failed = torch.linalg.inv_ex(curvature)
    return inverse, bool(failed)


@torch.no_grad()
def scores_and_curvature(
    model: PairwiseModel, observations: Observations, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Gradient of each datum's objective, and the mean Hessian less what blanks lose.

    :param model: The model.
    :param observations: The data.
    :param objective: The objective.
    :returns: ``(N, p)`` and ``(p, p)``, couplings first.
    """
    x, felt, curvature = _of_rows(model, observations, objective)
    gradients = _gradients(model, x, felt)
    if observations.datum is not None:
        statistics = torch.cat([0.5 * _symmetric(model, x, x), x.flatten(1)], 1)
        curvature += _covariance_over_fills(gradients, statistics, observations)
        gradients = observations.summed(gradients * observations.fill_weights[:, None])
    return gradients, curvature


def _of_rows(
    model: PairwiseModel, observations: Observations, objective: Objective
) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates of the rows, first derivatives in what each site feels, and the Hessian."""
    x = model.coordinates_of(observations.encoded)
    if SiteRegressions.known(model, objective):
        regressions = SiteRegressions(model, observations)
        felt, curvature = regressions.slopes(), regressions.hessian()
        felt = felt if observations.active is None else felt * observations.active[..., None]
    else:
        felt, bends = derivatives(model, observations, objective)
        curvature = hessian(model, x, bends)
    return x, felt, curvature


def _gradients(model: PairwiseModel, x: Tensor, felt: Tensor) -> Tensor:
    """Gradients of the rows, ``(R, p)``, from those in what each site feels."""
    return torch.cat([_symmetric(model, felt, x), felt.flatten(1)], 1)


def _products_of_gradients(
    model: PairwiseModel, x: Tensor, felt: Tensor, observations: Observations
) -> Tensor:
    """The covariance of the mean gradient, ``(p, p)``, from some rows at once."""
    size = model.paired.numel() + felt[0].numel()
    scales, weights = observations.scales, observations.weights
    shares = torch.where(scales > 0, weights / scales, 0.0)
    mean, shift, result = x.new_zeros(size), x.new_zeros(size), x.new_zeros(size, size)
    rows = max(_COLUMNS_AT_ONCE, _ENTRIES_AT_ONCE // size)
    for start in range(0, len(x), rows):
        chunk = slice(start, start + rows)
        scaled = _gradients(model, x[chunk], felt[chunk] * scales[chunk, None, None])
        mean += shares[chunk] @ scaled
        shift += scales[chunk] @ scaled
        result += gram(scaled)
    shift -= 0.5 * scales.square().sum() * mean
    return result.sub_(torch.outer(mean, shift)).sub_(torch.outer(shift, mean))


def gram(rows: Tensor) -> Tensor:
    """Products of columns, ``(p, p)``, the half of them computed that determines all."""
    size = rows.shape[1]
    result = rows.new_empty(size, size)
    for start in range(0, size, _COLUMNS_AT_ONCE):
        block = slice(start, start + _COLUMNS_AT_ONCE)
        products = rows[:, block].mT @ rows[:, start:]
        result[block, start:], result[start:, block] = products, products.mT
    return result


def _symmetric(model: PairwiseModel, left: Tensor, right: Tensor) -> Tensor:
    """Products of coordinates of each edge's sites, in both directions, ``(R, E m m)``."""
    (first, second), width = model.edges.unbind(1), model.couples.shape[1]
    left, right = left[..., :width], right[..., :width]
    pairs = left[:, first, :, None] * right[:, second, None, :]
    pairs += right[:, first, :, None] * left[:, second, None, :]
    return pairs.flatten(1) if width == 1 else (pairs * model.paired).flatten(1)


def _covariance_over_fills(
    gradients: Tensor, statistics: Tensor, observations: Observations
) -> Tensor:
    """Within data; of draws by the unbiased estimate, of all fills exactly."""
    datum, drawn = observations.datum, observations.drawn
    assert datum is not None
    assert drawn is not None
    shares = observations.fill_weights[:, None]
    left, right = (
        part - observations.summed(part * shares)[datum] for part in (gradients, statistics)
    )
    fills = observations.summed(torch.ones_like(observations.weights))[datum]
    weights = observations.weights * torch.where(drawn, fills / (fills - 1).clamp(min=1), 1.0)
    return (left * weights[:, None]).mT @ right
