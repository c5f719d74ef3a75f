"""Every way that a target takes to gaps and gradients, against plain evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyro_rm.energy_protocol import EnergyError, known_dtype
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import estimate
from pyro_rm.generic_paths import backward_gradient
from pyro_rm.neighborhoods import all_neighbors, at_neighbors, neighbor_states
from pyro_rm.target import Target
from pyro_rm.testing.expectations import expect_equal

_FEW = 64


@dataclass(frozen=True, eq=False)
class PathChecks:
    """A target beside nothing but its values.

    :param target: The target; its context has one leading dimension, of size 1.
    :param values: Maps encoded states and context to what the energies must be.
    :param what: The name of the energy in messages.
    """

    target: Target
    values: Callable[..., Tensor]
    what: str

    def states(self) -> Tensor:
        """All encoded states if they are few, else some random ones."""
        space = self.target.space
        if space.num_states <= _FEW:
            number = torch.arange(space.num_states)
            return space.encode(states_at(space, number), self._dtype)
        sizes = torch.tensor(space.categories)
        uniform = torch.rand(16, space.num_sites, generator=torch.Generator().manual_seed(0))
        low, high = space.states
        return space.encode(low + (high - low) * (uniform * sizes).floor(), self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return known_dtype(self.target.energy) or torch.float64

    def batched(self, rank: int) -> tuple[Target, Tensor]:
        """The target and its states with so many batch dimensions."""
        x = self.states()
        if rank > 1:
            x = x.view(2, -1, *x.shape[1:]) if len(x) % 2 == 0 else x[None]
        context = tuple(c.view((1,) * (rank - 1) + c.shape) for c in self.target.context)
        return replace(self.target, context=context), x

    def run(self) -> None:
        """All checks.

        :raises AssertionError: If one fails.
        """
        for rank in (1, 2):
            target, x = self.batched(rank)
            expected = self.values(x, *target.context)
            self._equal(target(x), expected, "energies")
            table = self._table(target, x)
            self._check_gaps(target, x, table)
            self._check_walk(target, x)
        self._check_gradient(*self.batched(1))
        self._check_estimate(*self.batched(1))

    def _equal(self, got: Tensor, expected: Tensor, name: str) -> None:
        expect_equal(got, expected, f"{name} of {self.what}", tolerance=1e-7, at=self._at)

    def _at(self, index: tuple[int, ...]) -> str:
        rank = len(self.target.space.encoded_shape)
        place = index[-rank:]
        site = f"site {place[0]}" if rank == 1 else f"site {place[0]}, category {place[1]}"
        return f"at index {index}" if len(index) <= rank else f"at {site}, datum {index[:-rank]}"

    def _table(self, target: Target, x: Tensor) -> Tensor:
        """Gaps to all flips or categories, by values of neighbors one after the other."""
        neighbors, exists = all_neighbors(target.space, x)
        states = neighbor_states(target.space, x, neighbors)
        own = self.values(x, *target.context)
        gaps = torch.stack([own - self.values(state, *target.context) for state in states])
        gaps = (gaps * exists).movedim(0, -1)
        if neighbors.categories is None:
            return gaps
        index = neighbors.sites * target.space.max_categories + neighbors.categories
        table = gaps.new_zeros((*gaps.shape[:-1], target.space.encoded_shape.numel()))
        return table.scatter_add(-1, index.movedim(0, -1), gaps).view(x.shape)

    def _there(self, table: Tensor) -> Tensor:
        """Without categories that do not exist, where a table may hold anything."""
        space = self.target.space
        return table if space.is_binary else table * space.category_mask()

    def _check_gaps(self, target: Target, x: Tensor, table: Tensor) -> None:
        where = "gap_table" if target.has_gap_table else "the table of energy_gaps"
        neighbors, exists = all_neighbors(target.space, x)
        some = neighbors.slice(1, 1 + (len(neighbors) + 1) // 2)
        there = exists if exists.dim() == 0 else exists[1 : 1 + len(some)]
        for near, name in ((target, ""), (target.prepared(x), " after prepared_at")):
            self._equal(self._there(near.gap_table(x)), table, where + name)
            expected = at_neighbors(table, some) * there
            self._equal(near.gaps(x, some) * there, expected, "energy_gaps" + name)
            self._equal(near.gaps(x, some, 2) * there, expected, "energy_gaps in chunks" + name)
        other = x.flip(0)
        moved = self._there(target.prepared(x).gap_table(other))
        self._equal(moved, self._table(target, other), f"{where} at other data than prepared_at's")

    def _check_walk(self, target: Target, x: Tensor) -> None:
        walk, start = target.walk(x), x.clone()
        last = target.space.num_sites - 1
        goal = x.flip(0)
        for block in (slice(0, 1), slice(last, last + 1), torch.tensor([last, 0])):
            gaps = walk.gaps(block)
            table = self._table(target, walk.encoded)
            if not target.space.is_binary:
                gaps = gaps * target.space.category_mask()[block]
            self._equal(gaps, walk.at(table, block), "gaps along site_walk")
            walk.move(block, walk.at(goal, block).clone())
        self._equal(x, start, "the data given to site_walk, which stay as they are,")

    def _check_gradient(self, target: Target, x: Tensor) -> None:
        try:
            _, expected = backward_gradient(lambda x, c: self.values(x, *c), x, target.context)
        except EnergyError:  # it does not depend on x in a differentiable way
            return
        for near in (target, target.prepared(x)):
            found = near.energy_and_gradient(x)
            self._equal(found[0], self.values(x, *target.context).detach(), "energy_and_gradient")
            self._equal(found[1], expected, "the gradient of energy_and_gradient")

    def _check_estimate(self, target: Target, x: Tensor) -> None:
        """The exact sum over active sites."""
        active = torch.arange(target.space.num_sites) % 2 == 0
        value = target.decode(x).to(x.dtype)
        found = estimate(replace(target, active=active), value, num_neighbors="all")
        table = self._table(target, x)
        if not target.space.is_binary:
            other = target.space.category_mask() & (x == 0)
            table = table.masked_fill(~other, -torch.inf).logsumexp(-1)
        expected = torch.nn.functional.softplus(table[..., active]).sum(-1)
        self._equal(found, expected, "the estimate over active sites")
