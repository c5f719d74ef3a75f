"""Observed data with weights and missing cells, and the mean objective of an energy on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pyro_rm.energy_protocol import Energy
from pyro_rm.estimators import Estimator
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

_ENTRIES_PER_CHUNK = 2**20  # temporaries of this size are reused by the allocator


@dataclass(frozen=True, eq=False)
class Observations:
    """Rows of data that one objective is averaged over.

    :param values: Data, ``(R, D)``.
    :param space: Their state space.
    :param weights: Weights of the rows, ``(R,)``, summing to 1.
    :param active: Booleans of the shape of ``values``: False where a cell was missing and
        its value is a fill; None if all were observed.
    :param num_fills: How many consecutive rows are fills of the same datum.
    """

    values: Tensor
    space: StateSpace
    weights: Tensor
    active: Tensor | None = None
    num_fills: int = 1

    @classmethod
    def of(cls, values: Tensor, space: StateSpace, weights: Tensor | None = None) -> Observations:
        """Complete data, equally weighted unless told."""
        if weights is None:
            weights = values.new_ones(len(values))
        return cls(values, space, weights.to(values.dtype) / weights.sum())

    @cached_property
    def encoded(self) -> Tensor:
        """The rows as energies take them, checked and encoded once, ``(R,) + encoded_shape``."""
        self.space.validate(self.values)
        return self.space.encode(self.values, self.weights.dtype)

    @cached_property
    def distinct(self) -> tuple[Tensor, Tensor]:
        """Encoded rows and weights that give the same means, fewer where there are few states."""
        if self.active is not None or self.space.num_states >= len(self.values):
            return self.encoded, self.weights
        rows, which = self.encoded.unique(dim=0, return_inverse=True)
        return rows, self.weights.new_zeros(len(rows)).index_add_(0, which, self.weights)

    @property
    def effective_size(self) -> float:
        """Kish's number of equally weighted data, fills of one datum counted once."""
        data = self.weights.view(-1, self.num_fills).sum(1)
        return float(1 / data.square().sum())

    def rows(self, index: Tensor) -> Observations:
        """Some of the rows, by booleans or indices, weighted to sum to 1 again."""
        weights = self.weights[index]
        active = None if self.active is None else self.active[index]
        return replace(
            self, values=self.values[index], weights=weights / weights.sum(), active=active
        )

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
    sites = observations.space.encoded_shape.numel()
    rows = max(256, _ENTRIES_PER_CHUNK // sites)
    total = 0.0
    target = Target.of(energy, observations.space)
    encoded, weights_of_rows = observations.distinct
    with torch.set_grad_enabled(backward):
        for start in range(0, len(encoded), rows):
            chunk = slice(start, start + rows)
            terms = estimator.terms(target, encoded[chunk])
            weights = weights_of_rows[chunk]
            if observations.active is None:
                mean = terms.value @ weights
            else:  # fills stay in the energy, but are no terms
                mean = (terms.contributions * observations.active[chunk].mT).sum(0) @ weights
            if backward:
                mean.backward()
            total += mean.item()
    return total
