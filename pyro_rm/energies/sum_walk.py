"""A walk over the sites of a sum of energies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from pyro_rm.site_walks import Block, SiteWalk


class SumWalk(SiteWalk):
    """A walk along several, whose gaps add up.

    :param walks: One for each term, from the same chains.
    """

    def __init__(self, walks: list[SiteWalk]) -> None:
        self.target, self.space, self.walks = walks[0].target, walks[0].space, walks
        self.encoded = walks[0].encoded  # the same tensor: moves are in place

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites."""
        return total(walk.gaps(block) for walk in self.walks)

    def move(self, block: Block, values: Tensor) -> None:
        """Give some sites new encoded values."""
        for walk in self.walks:
            walk.move(block, values)


def total(terms: Iterator[Any]) -> Tensor:
    """The sum of tensors, at least one, without a zero to begin with."""
    result = next(terms)
    for term in terms:
        result = result + term
    return result
