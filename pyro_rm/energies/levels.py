"""Noise levels for energies that take none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rm.checks import check_counts
from pyro_rm.energies.level_rows import between_rows, level_rows
from pyro_rm.energies.pairwise import PairwiseFunction
from pyro_rm.energies.sums import SumEnergy
from pyro_rm.energy_protocol import Energy, EnergyError, space_of
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.state_space import StateSpace


def with_levels(
    energy: Energy,
    num_levels: int,
    *,
    num_context: int = 0,
    state_space: StateSpace | None = None,
) -> SumEnergy:
    r"""Any energy at several levels of noise, :math:`\beta_l E(x) - h_l^\top x - c_l`.

    The last context is the level :math:`l`. Each has a trainable scale (1 at the start), trainable
    fields and a trainable constant (0 at the start); level 0 is the energy itself. It is exact for
    data without noise and for pure noise, and an interpolation between.

    :param energy: Any energy; its fast gaps are kept.
    :param num_levels: Number of levels, at least 1.
    :param num_context: How many tensors of context the energy takes before the level, such as 1
        for numbers of nodes.
    :param state_space: The space, where the energy does not say it.
    :returns: A sum of two terms.
    :raises ValueError: If there is no level, or the space is unknown.

    Example:

        >>> energy = with_levels(lambda x: x.sum(-1), 2, state_space=StateSpace(3))
        >>> energy(torch.ones(2, 3), torch.tensor([0, 1])).detach()
        tensor([3., 3.])

    .. note:: Costs what the energy costs. Energies that take a level themselves, such as
        :class:`~pyro_rm.energies.MLPEnergy`, can say more.
    """
    check_counts(num_levels=num_levels)
    check_counts(0, num_context=num_context)
    space = space_of(energy, state_space)
    level = slice(num_context, None)
    scaled = (LevelScale(num_levels, num_context), energy, slice(num_context))
    return SumEnergy(scaled, (1.0, LevelFields(space, num_levels), level), state_space=space)


class LevelScale(nn.Module):
    """A trainable weight for each level; 1 at level 0.

    :param num_levels: Number of levels.
    :param num_context: How many tensors of context come before the level.
    """

    def __init__(self, num_levels: int, num_context: int) -> None:
        super().__init__()
        self.num_context = num_context
        self.scales = nn.Parameter(torch.ones(num_levels - 1))

    def forward(self, *context: Tensor) -> Tensor:
        """Weights, of the shape of the level."""
        level = context[self.num_context :]
        if len(level) > 1:
            raise EnergyError(
                f"Expected {self.num_context} tensors of context before the level, but got "
                f"{len(context) - 1}. Say with_levels(..., num_context={len(context) - 1})."
            )
        return level_rows(self.table(), *level)

    def table(self) -> Tensor:
        """The weights of all levels."""
        return torch.cat([self.scales.new_ones(1), self.scales])


class LevelFields(nn.Module):
    """Trainable fields and a constant for each level, the last context; 0 at level 0."""

    def __init__(self, state_space: StateSpace, num_levels: int) -> None:
        super().__init__()
        self.state_space, self.num_levels = state_space, num_levels
        self.fields = nn.Parameter(torch.zeros(num_levels - 1, *state_space.encoded_shape))
        self.constants = nn.Parameter(torch.zeros(num_levels - 1))

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Energies, ``batch_shape``."""
        sites = tuple(range(-len(self.state_space.encoded_shape), 0))
        linear = (self.linear_fields(level) * x).sum(sites)
        return -linear - level_rows(_from_zero(self.constants), level)

    def gap_table(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Gaps to all flips or categories, like ``x``."""
        return linear_gaps(self.state_space, x, self.linear_fields(level))

    def linear_fields(self, level: Tensor | None = None) -> Tensor:
        """The fields of each datum's level, ``batch_shape + encoded_shape``."""
        return level_rows(_from_zero(self.fields), level)

    def level_energies(self, x: Tensor) -> Tensor:
        """Energies at all levels, ``batch_shape + (num_levels,)``: one matrix product."""
        flat = x.flatten(-len(self.state_space.encoded_shape))
        return -(flat @ _from_zero(self.fields).flatten(1).mT) - _from_zero(self.constants)

    def at_level(self, position: float) -> PairwiseFunction:
        """The energy at a level, or between two, as a function without couplings."""
        shape = self.state_space.encoded_shape
        fields = between_rows(_from_zero(self.fields), position)
        none = fields.new_zeros(()).expand(*shape, *shape)
        constant = -between_rows(_from_zero(self.constants), position)
        return PairwiseFunction(none, fields, self.state_space, constant)


def _from_zero(table: Tensor) -> Tensor:
    """A table with a row of zeros in front, for level 0."""
    return torch.cat([table.new_zeros(1, *table.shape[1:]), table])
