"""What trainable pairwise energies share: each evaluates a function of its tensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pyro_rm.energies.pairwise_walk import PairwiseWalk


class PairwiseEnergy(nn.Module):
    """An energy of parameters, by the function of tensors that :meth:`_function` makes of them."""

    def _function(self) -> Any:
        """The energy of the tensors that the parameters are now; a subclass's."""
        raise NotImplementedError(f"Expected {type(self).__name__} to define _function().")

    def forward(self, x: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``."""
        energies: Tensor = self._function()(x)
        return energies

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps of all flips, or to all categories of all sites, in the shape of ``x``."""
        table: Tensor = self._function().gap_table(x)
        return table

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``: one matrix product."""
        energies: Tensor = self._function().outer_energies(left, right)
        return energies

    def site_walk(self, x: Tensor) -> PairwiseWalk:
        """A walk from given encoded chains."""
        walk: PairwiseWalk = self._function().site_walk(x)
        return walk
