r"""Walks over the sites of chains: what one block of sites could become, then the move.

A sweep looks at block after block of sites. Energies that can follow such a walk cheaply
(local fields, hidden features) offer ``site_walk(encoded, *context)``, which returns a
:class:`SiteWalk` of their own; everything else gets the generic one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_rm.energy_gaps import energy_gaps, gap_table, has_gap_table
from pyro_rm.energy_protocol import Context, Energy, fast_path
from pyro_rm.neighborhoods import substitutions
from pyro_rm.state_space import StateSpace

__all__ = ["SiteWalk", "site_walk"]

Block = slice | Tensor  # indices of sites, the same in all chains


class SiteWalk:
    """Chains whose sites are looked at and moved, block after block; the generic way.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``; copied.
    :param context: Tensors of full batch rank.

    Example:

        >>> walk = SiteWalk(lambda x: x.sum(-1), StateSpace(3), torch.zeros(3))
        >>> walk.gaps(slice(0, 2))
        tensor([-1., -1.])
        >>> walk.move(slice(0, 2), torch.ones(2))
        >>> walk.encoded
        tensor([1., 1., 0.])

    .. note:: A block of ``m`` sites costs one energy and ``m * (K - 1)`` neighbors, or one
        gap table where the energy has it.
    """

    def __init__(
        self, energy: Energy, space: StateSpace, encoded: Tensor, context: Context = ()
    ) -> None:
        self.energy, self.space, self.context = energy, space, context
        self.encoded = encoded.clone(memory_format=torch.contiguous_format)

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites, all others fixed.

        :param block: Which sites, ``m`` of them.
        :returns: ``batch_shape + (m,)`` for the flips of binary sites, else
            ``batch_shape + (m, K_max)`` with 0 at the current and at missing categories.
        """
        if has_gap_table(self.energy):
            return self.at(gap_table(self.energy, self.encoded, self.context), block)
        rank = self.encoded.dim() - len(self.space.encoded_shape)
        batch_shape = self.encoded.shape[:rank]
        sites = torch.arange(self.space.num_sites, device=self.encoded.device)[block]
        sites = sites.view((-1,) + (1,) * rank).expand((-1, *batch_shape))
        neighbors, exists = substitutions(self.space, self.encoded, sites)
        gaps = energy_gaps(self.energy, self.space, self.encoded, neighbors, self.context)
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

    def at(self, table: Tensor, block: Block) -> Tensor:
        """The entries of some sites in a table like ``encoded``."""
        return table[self._index(block)]

    def _index(self, block: Block) -> tuple[Any, ...]:
        return (..., block) if self.space.is_binary else (..., block, slice(None))


def site_walk(
    energy: Energy, space: StateSpace, encoded: Tensor, context: Context = ()
) -> SiteWalk:
    """The energy's own walk from given chains, or the generic one.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :returns: A walk on a copy of the chains.

    .. note:: Costs one energy a datum to start, and what each visit costs: see :class:`SiteWalk`.
    """
    own = fast_path(energy, "site_walk")
    return SiteWalk(energy, space, encoded, context) if own is None else own(encoded, *context)
