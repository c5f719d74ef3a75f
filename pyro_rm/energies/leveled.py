"""Noise levels for energies that take none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pyro_rm.checks import check_counts
from pyro_rm.energy_gaps import energy_gaps, gap_table, has_gap_table
from pyro_rm.energy_protocol import space_of
from pyro_rm.neighborhoods import Neighbors, at_neighbors
from pyro_rm.state_space import StateSpace


class LeveledEnergy(nn.Module):
    r"""Any energy at several levels of noise, :math:`\beta_l E(x) - h_l^\top x`.

    The last context is the level :math:`l`. Each has a trainable scale (1 at the start) and
    trainable fields (0 at the start); level 0 is the energy itself. It is exact for data
    without noise and for pure noise, and an interpolation between.

    :param energy: Any energy; its fast gaps are kept.
    :param num_levels: Number of levels, at least 1.
    :param state_space: The space, where the energy does not say it.
    :raises ValueError: If there is no level, or the space is unknown.

    Example:

        >>> energy = LeveledEnergy(lambda x: x.sum(-1), 2, state_space=StateSpace(3))
        >>> energy(torch.ones(2, 3), torch.tensor([0, 1])).detach()
        tensor([3., 3.])

    .. note:: Costs what the energy costs. Energies that take a level themselves, such as
        :class:`~pyro_rm.energies.RelationalGraphEnergy`, need no wrapper.
    """

    def __init__(
        self,
        energy: Callable[..., Tensor],
        num_levels: int,
        *,
        state_space: StateSpace | None = None,
    ) -> None:
        super().__init__()
        space = space_of(energy, state_space)
        check_counts(num_levels=num_levels)
        self.state_space: StateSpace = space
        self.energy = energy
        self.scales = nn.Parameter(torch.ones(num_levels - 1))
        self.fields = nn.Parameter(torch.zeros(num_levels - 1, *space.encoded_shape))

    @property
    def has_gap_table(self) -> bool:
        """Whether the energy underneath gives all its gaps at once."""
        return has_gap_table(self.energy)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        scale, field = self._level(context)
        axes = tuple(range(-len(self.state_space.encoded_shape), 0))
        return scale * self.energy(x, *context[:-1]) - (field * x).sum(axes)

    def energy_gaps(self, x: Tensor, neighbors: Neighbors, *context: Tensor) -> Tensor:
        """Gaps of given neighbors, ``neighbors + batch_shape``."""
        scale, field = self._level(context)
        gaps = energy_gaps(self.energy, self.state_space, x, neighbors, context[:-1])
        return scale * gaps + at_neighbors(self._field_gaps(x, field), neighbors)

    def gap_table(self, x: Tensor, *context: Tensor) -> Tensor:
        """All gaps, where the energy underneath has them."""
        scale, field = self._level(context)
        scale = scale.view(scale.shape + (1,) * len(self.state_space.encoded_shape))
        return scale * gap_table(self.energy, x, context[:-1]) + self._field_gaps(x, field)

    def _level(self, context: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        level = context[-1].long()
        scales = torch.cat([self.scales.new_ones(1), self.scales])
        fields = torch.cat([self.fields.new_zeros(1, *self.fields.shape[1:]), self.fields])
        return scales[level], fields[level]

    def _field_gaps(self, x: Tensor, field: Tensor) -> Tensor:
        if self.state_space.is_binary:
            return (sum(self.state_space.states) - 2 * x) * field
        return field - (field * x).sum(-1, keepdim=True)
