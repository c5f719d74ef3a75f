"""The objective of binary pairwise models as a function of their parameters, and its minimum."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pyro_rm.energies import SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.quasi_newton import quasi_newton
from pyro_rm.objectives import Objective, as_objective

_LEAST_BEND = 1e-3  # curvature of a conditional, of that of an even coin
_LEAST_SPREAD = 1e-5  # variance of a combination of sites, of that of the widest
_EDGES_AT_ONCE = 64
_ENTRIES_AT_ONCE = 2**18


@dataclass(frozen=True, eq=False)
class BinaryFits:
    r"""Penalized mean objectives of models on the same edges, one for each weighting of the rows.

    Parameters are couplings, one an edge, then fields, one a site. The minimum is found by
    quasi-Newton steps in the metric of a model whose conditionals are as curved at each datum as
    at the mean one: with the covariance :math:`C` of the data and the mean curvatures
    :math:`v` of the conditionals, the couplings' Hessian takes :math:`V` to
    :math:`v V C + C V v`, and one eigendecomposition of :math:`v^{-1/2} C v^{-1/2}`
    inverts it. On few of all pairs its diagonal serves.

    :param energy: A model on these edges; only read.
    :param x: The data, ``(R, D)``.
    :param objective: What is averaged.
    :param weights: Weights of the rows, ``(B, R)``.
    :param penalty: Of squared parameters, ``(B, E + D)`` or ``(E + D,)``.
    :param active: Booleans, ``(R, D)``: which cells count; None if all do.
    :param held: Booleans, ``(E,)``: couplings that stay where they are.

    .. note:: A value and gradient costs two products of data and couplings.
    """

    energy: SparseIsingEnergy
    x: Tensor
    objective: Objective
    weights: Tensor
    penalty: Tensor
    active: Tensor | None = None
    held: Tensor | None = None

    @classmethod
    def of(
        cls,
        energy: SparseIsingEnergy,
        observations: Observations,
        estimator: Estimator,
        penalty: Tensor,
        held: Tensor | None = None,
    ) -> BinaryFits:
        """One fit to the rows of a table, those that are equal as one."""
        rows, weights = observations.distinct
        objective, active = as_objective(estimator.objective), observations.active
        return cls(energy, rows, objective, weights[None], penalty, active, held)

    def minimize(self, start: Tensor, *, tolerance: float, max_steps: int) -> tuple[Tensor, Tensor]:
        """Minimizers and which of them were reached, as :func:`quasi_newton`."""
        metric = _Metric(self, start)
        return quasi_newton(self, metric, start, tolerance=tolerance, max_steps=max_steps)

    def __call__(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Values, ``(B,)``, and gradients, ``(B, E + D)``."""
        fields = self._fields(point)
        values = self._terms(fields, slopes=True)
        gradient = torch.cat([self._pair_sums(fields), fields.sum(1 + self._by_site)], 1)
        gradient += 2 * self.penalty * point
        if self.held is not None:
            gradient[:, : len(self.held)][:, self.held] = 0
        return values.to(point) + (self.penalty * point.square()).sum(1), gradient

    def values(self, point: Tensor) -> Tensor:
        """Values alone, ``(B,)``, summed up in double precision."""
        values = self._terms(self._fields(point), slopes=False)
        return values + (self.penalty * point.square()).sum(1)

    def slopes(self, point: Tensor) -> Tensor:
        """Derivatives in what each site of each row feels, ``(B, R, D)``."""
        fields = self._fields(point)
        self._terms(fields, slopes=True)
        return fields.mT if self._by_site else fields

    def _terms(self, fields: Tensor, *, slopes: bool) -> Tensor:
        """Values, ``(B,)``; fields become their derivatives, if wanted, a part at a time."""
        values = fields.new_zeros(len(fields), dtype=torch.float64)
        rows = _rows_at_once(fields)
        weights = self.cell_weights.mT if self._by_site else self.cell_weights
        weights, flips = weights.expand_as(fields), self._flips
        for start in range(0, fields.shape[1], rows):
            part = slice(start, start + rows)
            gap = fields[:, part] * flips[part]
            values += (self.objective(gap) * weights[:, part]).sum((1, 2))
            if slopes:
                slope = self.objective.log_derivative(gap).exp_()
                torch.mul(slope.mul_(flips[part]), weights[:, part], out=fields[:, part])
        return values

    def bends(self, fields: Tensor) -> Tensor:
        """Second derivatives of the objective in what each site feels, ``(B, R, D)``."""
        result, rows = torch.empty_like(fields), _rows_at_once(fields)
        flips = self._flips.mT if self._by_site else self._flips
        for start in range(0, fields.shape[1], rows):
            part = slice(start, start + rows)
            with torch.enable_grad():
                gap = (fields[:, part] * flips[part]).requires_grad_()
                log_slope = self.objective.log_derivative(gap)
                (bend,) = torch.autograd.grad(log_slope.sum(), gap)
            result[:, part] = log_slope.detach().exp_() * bend * flips[part].square()
        return result

    def fields(self, point: Tensor) -> Tensor:
        """What each site of each row feels, ``(B, R, D)``."""
        return self._fields(point).mT if self._by_site else self._fields(point)

    @property
    def _by_site(self) -> bool:
        """Whether the layout of numbers of each cell is ``(B, D, R)``, as edge lists take it."""
        return not self.energy.is_dense

    @cached_property
    def _x(self) -> Tensor:
        """The data in that layout."""
        return self.x.mT.contiguous() if self._by_site else self.x

    @cached_property
    def _flips(self) -> Tensor:
        """How a flip changes each cell, in that layout."""
        return sum(self.energy.state_space.states) - 2 * self._x

    def _fields(self, point: Tensor) -> Tensor:
        """What each site of each row feels, in that layout."""
        couplings_, own = point[:, None].tensor_split([len(self.energy.edges)], 2)
        if not self._by_site:
            return (self.x @ couplings(self.energy, point)).add_(own)
        felt = [self.energy.felt_by_site(self._x, weight) for (weight,) in couplings_]
        whole = felt[0][None] if len(felt) == 1 else torch.stack(felt)
        return whole.add_(own.mT)

    def hessians(self, point: Tensor) -> Tensor:
        """Hessians, ``(B, E + D, E + D)``; costs a product of the data for each site."""
        bends = self.bends(self.fields(point)) * self.cell_weights
        x = torch.cat([self.x, self.x.new_ones(len(self.x), 1)], 1)
        edges, (_, sites) = self.energy.edges, self.x.shape
        result = torch.diag_embed(2 * self.penalty.expand_as(point))
        for site in range(sites):
            own = (edges == site).any(1).nonzero().flatten()
            others = torch.cat([edges[own].sum(1) - site, own.new_tensor([sites])])
            index = torch.cat([own, own.new_tensor([len(edges) + site])])
            inputs = x[:, others]
            block = (inputs.mT * bends[:, None, :, site]) @ inputs
            result[:, index[:, None], index] += block
        return result

    @property
    def cell_weights(self) -> Tensor:
        """Weights of the cells, ``(B, R, 1)`` or ``(B, R, D)``."""
        weights = self.weights[:, :, None]
        return weights if self.active is None else weights * self.active

    def _pair_sums(self, slopes: Tensor) -> Tensor:
        """Derivatives in the couplings from those in the fields, ``(B, E)``."""
        first, second = self.energy.edges.unbind(1)
        if not self._by_site:
            felt = slopes.mT @ self.x
            return felt[:, first, second] + felt[:, second, first]
        sums, x = slopes.new_zeros(len(slopes), len(first)), self._x
        if not slopes.is_cpu:  # the product below is for the host
            for part in torch.arange(len(first), device=first.device).split(_EDGES_AT_ONCE):
                i, j = first[part], second[part]
                sums[:, part] = (slopes[:, i] * x[j] + x[i] * slopes[:, j]).sum(2)
            return sums
        for own, slope in zip(sums, slopes, strict=True):
            products = torch.sparse.sampled_addmm(self._pattern, slope, x.mT, beta=0.0)
            own.index_add_(0, self.energy.neighbor_edges, products.values())
        return sums

    @cached_property
    def _pattern(self) -> Tensor:
        """Zeros where sites are neighbors, ``(D, D)``, compressed by rows."""
        energy = self.energy
        columns, sites = energy.neighbor_sites, energy.state_space.num_sites
        ends = energy.starts.new_tensor([len(columns)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a beta, which checks its indices or not
            return torch.sparse_csr_tensor(
                torch.cat([energy.starts, ends]), columns, self.x.new_zeros(len(columns)),
                (sites, sites),
            )  # fmt: skip


def _rows_at_once(fields: Tensor) -> int:
    """Rows of a part whose temporary numbers stay in the cache."""
    return max(1, _ENTRIES_AT_ONCE // max(1, fields.shape[0] * fields.shape[2]))


def couplings(energy: SparseIsingEnergy, point: Tensor) -> Tensor:
    """Symmetric matrices of couplings, ``(B, D, D)``, from parameters, couplings first."""
    (first, second), sites = energy.edges.unbind(1), energy.state_space.num_sites
    result = point.new_zeros(len(point), sites, sites)
    result[:, first, second] = result[:, second, first] = point[:, : len(first)]
    return result


class _Metric:
    """The inverse Hessian of a model whose conditionals are equally curved at all data."""

    def __init__(self, fits: BinaryFits, start: Tensor) -> None:
        self.fits, x = fits, fits.x
        (low, high), count = fits.energy.state_space.states, len(fits.energy.edges)
        weights = fits.weights / fits.weights.sum(1, keepdim=True)
        self.mean = weights @ x
        least = _LEAST_BEND * (high - low) ** 2 / 4 * fits.weights.sum(1, keepdim=True)
        bends = (fits.bends(fits.fields(start)) * fits.cell_weights).sum(1)
        self.bends = torch.maximum(bends, least)
        self.of_fields = self.bends + 2 * fits.penalty[..., count:]
        penalty = fits.penalty[..., :count]
        if fits.energy.is_dense:
            added = penalty.mean(-1, keepdim=True) / self.bends.mean(1, keepdim=True)
            self._diagonalize(weights, added)
        else:
            first, second = fits.energy.edges.unbind(1)
            spread = weights @ x.square() - self.mean.square()
            spread = spread.clamp(min=_LEAST_BEND * (high - low) ** 2)
            pairs = self.bends[:, first] * spread[:, second]
            self.of_pairs = pairs + spread[:, first] * self.bends[:, second] + 2 * penalty

    def _diagonalize(self, weights: Tensor, added: Tensor) -> None:
        """Find combinations of sites that are independent where bends are the metric."""
        x, self.root = self.fits.x, self.bends.rsqrt()
        covariance = (x.mT * weights[:, None, :]) @ x
        covariance -= self.mean[:, :, None] * self.mean[:, None, :]
        covariance.diagonal(dim1=1, dim2=2).add_(added)
        covariance *= self.root[:, :, None] * self.root[:, None, :]
        spreads, self.basis = torch.linalg.eigh(covariance)
        least = _LEAST_SPREAD * spreads[:, -1:].clamp(min=torch.finfo(x.dtype).tiny)
        spreads = torch.maximum(spreads, least)
        self.of_combinations = spreads[:, :, None] + spreads[:, None, :]

    def __call__(self, gradient: Tensor) -> Tensor:
        """The step of a gradient, ``(B, E + D)``, where fields are those felt at the mean datum."""
        energy, (first, second) = self.fits.energy, self.fits.energy.edges.unbind(1)
        pairs, fields = gradient[:, : len(first)], gradient[:, len(first) :]
        pairs = pairs - fields[:, first] * self.mean[:, second]
        pairs -= self.mean[:, first] * fields[:, second]
        if self.fits.held is not None:
            pairs[:, self.fits.held] = 0
        if energy.is_dense:
            around = self.root[:, :, None] * self.root[:, None, :]
            inside = self.basis.mT @ (couplings(energy, pairs) * around) @ self.basis
            step = self.basis @ (inside / self.of_combinations) @ self.basis.mT * around
            moves = step[:, first, second]
        else:
            moves = pairs / self.of_pairs
        if self.fits.held is not None:
            moves[:, self.fits.held] = 0
        shift = fields / self.of_fields
        shift.index_add_(1, first, moves * self.mean[:, second], alpha=-1)
        shift.index_add_(1, second, moves * self.mean[:, first], alpha=-1)
        return torch.cat([moves, shift], 1)
