"""Observed data with weights and missing cells, and the mean objective of an energy on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pyro_rm.energy_protocol import Energy
from pyro_rm.estimators import Estimator
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

_ENTRIES_PER_CHUNK = 2**20  # temporaries of this size are reused by the allocator
_LARGEST_INTEGER = 2**52  # that floats hold, with those below
_WORTH_MERGING = 0.8  # of the rows, that are left where others equal them


@dataclass(frozen=True, eq=False)
class Observations:
    """Rows of data that one objective is averaged over, checked and encoded once.

    A datum with missing cells is several rows, which differ in what fills these cells.

    :param encoded: The rows as energies take them, ``(R,) + encoded_shape``.
    :param space: Their state space.
    :param weights: Weights of the rows, ``(R,)``, summing to 1.
    :param active: Booleans, ``(R, D)``: False where a cell was missing and its value is a fill;
        None if all were observed.
    :param datum: The number of each row's datum, in order, ``(R,)``; None: each row is one.
    :param drawn: Booleans, ``(R,)``: whether fills of a datum are draws, rather than all there
        are, weighted by their probabilities.
    :param total: How many data they stand for, if weights are frequencies; None: weights are
        sampling weights, of which Kish's number is the effective one.
    """

    encoded: Tensor
    space: StateSpace
    weights: Tensor
    active: Tensor | None = None
    datum: Tensor | None = None
    drawn: Tensor | None = None
    total: float | None = None

    @classmethod
    def of(
        cls,
        values: Tensor,
        space: StateSpace,
        weights: Tensor | None = None,
        *,
        frequencies: bool = False,
    ) -> Observations:
        """Complete data, equally weighted unless told."""
        space.validate(values)
        if weights is None:
            weights = torch.ones(len(values), dtype=values.dtype, device=values.device)
        total = float(weights.sum())
        weights = (weights / weights.sum()).to(values.device, values.dtype)
        encoded = space.encode(values, weights.dtype)
        return cls(encoded, space, weights, total=total if frequencies else None)

    @cached_property
    def distinct(self) -> tuple[Tensor, Tensor]:
        """Encoded rows and weights that give the same means, without rows that others equal."""
        first, which = (None, None) if self.active is not None else _equal_rows(self.encoded)
        if first is None or which is None:
            return self.encoded, self.weights
        weights = self.weights.new_zeros(len(first)).index_add_(0, which, self.weights)
        return self.encoded[first], weights

    @cached_property
    def collapsed(self) -> Observations:
        """The same data with equal rows as one, where weights are frequencies or all equal."""
        is_counted = self.total is not None or bool((self.weights == self.weights[0]).all())
        rows, weights = self.distinct
        if not is_counted or self.datum is not None or len(rows) == len(self.encoded):
            return self
        return replace(self, encoded=rows, weights=weights, total=self.effective_size)

    @property
    def effective_size(self) -> float:
        """The number of data, or Kish's, fills of one datum counted once."""
        if self.total is not None:
            return self.total
        return float(1 / self.data_weights.square().sum())

    @cached_property
    def num_data(self) -> int:
        """How many data the rows are of."""
        return len(self.encoded) if self.datum is None else int(self.datum[-1]) + 1

    @property
    def data_weights(self) -> Tensor:
        """Weights of the data, summed over fills."""
        return self.summed(self.weights)

    def summed(self, of_rows: Tensor) -> Tensor:
        """Sums over the fills of each datum, ``(N, ...)``, of something of each row."""
        if self.datum is None:
            return of_rows
        return of_rows.new_zeros(self.num_data, *of_rows.shape[1:]).index_add_(
            0, self.datum, of_rows
        )

    @property
    def fill_weights(self) -> Tensor:
        """The share of each row in its datum, ``(R,)``."""
        if self.datum is None:
            return torch.ones_like(self.weights)
        return self.weights / self.data_weights[self.datum]

    def averaged(self) -> Observations:
        """One row a datum, the mean of its fills: quick, and exact where nothing is missing."""
        if self.datum is None or self.active is None:
            return self
        shape = (-1, *[1] * (self.encoded.dim() - 1))
        means = self.summed(self.encoded * self.fill_weights.view(shape))
        first = torch.ones_like(self.datum, dtype=torch.bool)
        first[1:] = self.datum[1:] != self.datum[:-1]
        return replace(
            self,
            encoded=means,
            weights=self.data_weights,
            active=self.active[first],
            datum=None,
            drawn=None,
        )

    def scattered(self, scores: Tensor) -> Tensor:
        """Scores of data whose products sum to the covariance of their weighted mean.

        :param scores: One row a datum, ``(N, p)``.
        :returns: Centered and scaled, ``(N, p)``.
        """
        return (scores - self.data_weights @ scores) * self.scales[:, None]

    @property
    def scales(self) -> Tensor:
        """What centered scores of data are multiplied by, so that their products sum to that."""
        weights = self.data_weights
        # a datum of frequency f is f data of weight 1 / total
        return weights if self.total is None else (weights / self.total).sqrt()

    def data(self, chosen: Tensor) -> Observations:
        """Some of the data with all their fills, by booleans ``(N,)``, weighted to sum to 1."""
        rows = chosen if self.datum is None else chosen[self.datum]
        weights = self.weights[rows]
        share = float(weights.sum())
        renumbered = chosen.cumsum(0) - 1
        return replace(
            self,
            encoded=self.encoded[rows],
            weights=weights / share,
            active=None if self.active is None else self.active[rows],
            datum=None if self.datum is None else renumbered[self.datum[rows]],
            drawn=None if self.drawn is None else self.drawn[rows],
            total=None if self.total is None else self.total * share,
        )

    def split(self, held_out_share: float) -> tuple[Observations, Observations]:
        """Training and held-out data, at random; fills of a datum stay together."""
        size = max(1, int(held_out_share * self.num_data))
        held_out = (torch.rand(self.num_data).argsort() < size).to(self.weights.device)
        return self.data(~held_out), self.data(held_out)

    def encoded_mean(self) -> Tensor:
        """Weighted mean of the encoded rows, ``encoded_shape``."""
        return torch.tensordot(self.weights, self.encoded, 1)


def mean_objective(
    energy: Energy, observations: Observations, estimator: Estimator, *, backward: bool = False
) -> float:
    """The weighted mean of an objective, in chunks of rows.

    :param energy: The energy.
    :param observations: The data.
    :param estimator: What is averaged.
    :param backward: Whether to add gradients to the energy's leaves.
    :returns: The mean.

    .. note:: Memory beyond the data is that of a chunk, whatever the number of rows.
    """
    encoded, weights = observations.distinct
    total = 0.0
    with torch.set_grad_enabled(backward):
        for chunk, objective in _by_chunks(energy, observations, encoded, estimator):
            mean = objective @ weights[chunk]
            if backward:
                mean.backward()
            total += mean.item()
    return total


@torch.no_grad()
def data_objectives(energy: Energy, observations: Observations, estimator: Estimator) -> Tensor:
    """The objective of each datum, averaged over its fills, ``(N,)``."""
    encoded = observations.encoded
    rows = [objective for _, objective in _by_chunks(energy, observations, encoded, estimator)]
    return observations.summed(torch.cat(rows) * observations.fill_weights)


def _by_chunks(
    energy: Energy, observations: Observations, encoded: Tensor, estimator: Estimator
) -> Iterator[tuple[slice, Tensor]]:
    """Slices of rows and their objectives; fills stay in the energy, but are not terms."""
    space = observations.space
    target = Target.of(energy, space)
    rows = _chunk_rows(space.encoded_shape.numel())
    for start in range(0, len(encoded), rows):
        chunk = slice(start, start + rows)
        terms = estimator.terms(target, encoded[chunk])
        if observations.active is None:
            yield chunk, terms.value
        else:
            counted = observations.active[chunk].mT
            counted = counted.repeat_interleave(len(terms.contributions) // len(counted), 0)
            yield chunk, (terms.contributions * terms.weights * counted).sum(0)


def _equal_rows(encoded: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """The first of each set of equal rows, ``(M,)``, and the set of each row, ``(R,)``.

    None where hardly any are equal. Rows are told apart by sums of random integers, which floats
    hold exactly in any order.
    """
    rows, size = encoded.flatten(1), encoded[0].numel()
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(_LARGEST_INTEGER // size, (size,), generator=generator).double()
    codes = codes.to(rows.device)
    keys = torch.cat([chunk.sign().double() @ codes for chunk in rows.split(_chunk_rows(size))])
    keys, which = keys.unique(return_inverse=True)
    if len(keys) > _WORTH_MERGING * len(rows):
        return None, None
    numbers = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(keys, len(rows), dtype=torch.long)
    first.scatter_reduce_(0, which, numbers, "amin")
    chunks = zip(rows.split(_chunk_rows(size)), which.split(_chunk_rows(size)), strict=True)
    if all(bool((rows[first[own]] == chunk).all()) for chunk, own in chunks):
        return first, which
    return None, None


def _chunk_rows(size: int) -> int:
    return max(256, _ENTRIES_PER_CHUNK // size)
