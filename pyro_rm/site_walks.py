r"""Walks over the sites of chains: what one block of sites could become, then the move.

A sweep looks at block after block of sites. Energies that can follow such a walk cheaply (local
fields, hidden features) return a :class:`SiteWalk` of their own by ``site_walk(encoded,
*context)``; every other energy gets the generic one.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from pyro_rm.neighborhoods import Neighbors, linear_gaps, substitutions
from pyro_rm.state_space import StateSpace

__all__ = ["SiteWalk"]

Block = slice | Tensor  # indices of sites, the same in all chains


class Gaps(Protocol):
    """What a generic walk needs of a :class:`~pyro_rm.Target`."""

    @property
    def space(self) -> StateSpace:
        """The state space."""
        ...

    @property
    def has_gap_table(self) -> bool:
        """Whether all gaps cost about one energy."""
        ...

    def gap_table(self, encoded: Tensor) -> Tensor:
        """Gaps to all flips or categories."""
        ...

    def gaps(self, encoded: Tensor, neighbors: Neighbors) -> Tensor:
        """Gaps to given neighbors."""
        ...


class SiteWalk:
    """Chains whose sites are looked at and moved, block after block; the generic way.

    :param target: What gives the gaps.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``; copied.

    Example:

        >>> from pyro_rm import Target
        >>> walk = SiteWalk(Target.of(lambda x: x.sum(-1), StateSpace(3)), torch.zeros(3))
        >>> walk.gaps(slice(0, 2))
        tensor([-1., -1.])
        >>> walk.move(slice(0, 2), torch.ones(2))
        >>> walk.encoded
        tensor([1., 1., 0.])

    .. note:: A block of ``m`` sites costs one energy and ``m * (K - 1)`` neighbors, or one
        gap table if the energy has it.
    """

    def __init__(self, target: Gaps, encoded: Tensor) -> None:
        self.target, self.space = target, target.space
        self.encoded = encoded.clone(memory_format=torch.contiguous_format)

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites, all others fixed.

        :param block: Which sites, ``m`` of them.
        :returns: ``batch_shape + (m,)`` for the flips of binary sites, else
            ``batch_shape + (m, K_max)`` with 0 at the current and at missing categories.
        """
        if self.target.has_gap_table:
            return self.at(self.target.gap_table(self.encoded), block)
        rank = self.encoded.dim() - len(self.space.encoded_shape)
        batch_shape = self.encoded.shape[:rank]
        sites = torch.arange(self.space.num_sites, device=self.encoded.device)[block]
        sites = sites.view((-1,) + (1,) * rank).expand((-1, *batch_shape))
        neighbors, exists = substitutions(self.space, self.encoded, sites)
        gaps = self.target.gaps(self.encoded, neighbors)
        if neighbors.categories is None:
            return gaps.movedim(0, -1)
        split = (self.space.max_categories - 1, sites.shape[0])
        index = neighbors.categories.unflatten(0, split).movedim((0, 1), (-1, -2))
        found = (gaps * exists).unflatten(0, split).movedim((0, 1), (-1, -2))
        table = found.new_zeros((*batch_shape, sites.shape[0], self.space.max_categories))
        return table.scatter_add(-1, index, found)

    def move(self, block: Block, values: Tensor) -> None:
        """Give some sites new encoded values, in the shape of their gaps."""
        self.encoded[self._index(block)] = values

    def adding(self, weight: float | Tensor, fields: Tensor | None) -> SiteWalk:
        r"""The walk on :math:`w E(x) - \langle x, t \rangle`, in place of this one.

        :param weight: :math:`w`, which multiplies tables like encoded data.
        :param fields: :math:`t`, which broadcasts to encoded data; None: zero.
        """
        return _AddingWalk(self, weight, fields)

    def at(self, table: Tensor, block: Block) -> Tensor:
        """The entries of some sites in a table like ``encoded``."""
        return table[self._index(block)]

    def _index(self, block: Block) -> tuple[Any, ...]:
        return (..., block) if self.space.is_binary else (..., block, slice(None))


class _AddingWalk(SiteWalk):
    """A walk along another one, at another temperature and in further fields."""

    def __init__(self, walk: SiteWalk, weight: float | Tensor, fields: Tensor | None) -> None:
        self.walk, self.weight, self.fields = walk, weight, fields
        self.target, self.space = walk.target, walk.space
        self.encoded = walk.encoded  # the same tensor: moves are in place

    def gaps(self, block: Block) -> Tensor:
        gaps = self.weight * self.walk.gaps(block)
        if self.fields is None:
            return gaps
        now = self.at(self.encoded, block)
        return gaps + linear_gaps(self.space, now, self.at(self.fields, block))

    def move(self, block: Block, values: Tensor) -> None:
        self.walk.move(block, values)
