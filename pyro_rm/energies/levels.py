"""Noise levels for energies that take none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rm.checks import check_counts
from pyro_rm.energies.sums import SumEnergy
from pyro_rm.energy_protocol import Energy, space_of
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.state_space import StateSpace


def with_levels(
    energy: Energy, num_levels: int, *, state_space: StateSpace | None = None
) -> SumEnergy:
    r"""Any energy at several levels of noise, :math:`\beta_l E(x) - h_l^\top x`.

    The last context is the level :math:`l`. Each has a trainable scale (1 at the start) and
    trainable fields (0 at the start); level 0 is the energy itself. It is exact for data
    without noise and for pure noise, and an interpolation between.

    :param energy: Any energy; its fast gaps are kept.
    :param num_levels: Number of levels, at least 1.
    :param state_space: The space, where the energy does not say it.
    :returns: A sum of two terms.
    :raises ValueError: If there is no level, or the space is unknown.

    Example:

        >>> energy = with_levels(lambda x: x.sum(-1), 2, state_space=StateSpace(3))
        >>> energy(torch.ones(2, 3), torch.tensor([0, 1])).detach()
        tensor([3., 3.])

    .. note:: Costs what the energy costs. Energies that take a level themselves, such as
        :class:`~pyro_rm.energies.RelationalGraphEnergy`, do not need it.
    """
    check_counts(num_levels=num_levels)
    space = space_of(energy, state_space)
    scaled = (LevelScale(num_levels), energy, slice(None, -1))
    return SumEnergy(scaled, LevelFields(space, num_levels), state_space=space)


class LevelScale(nn.Module):
    """A trainable weight for each level, the last context; 1 at level 0."""

    def __init__(self, num_levels: int) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(num_levels - 1))

    def forward(self, *context: Tensor) -> Tensor:
        """Weights, of the shape of the level."""
        return torch.cat([self.scales.new_ones(1), self.scales])[context[-1].long()]


class LevelFields(nn.Module):
    """Trainable fields for each level, the last context; 0 at level 0."""

    def __init__(self, state_space: StateSpace, num_levels: int) -> None:
        super().__init__()
        self.state_space = state_space
        self.fields = nn.Parameter(torch.zeros(num_levels - 1, *state_space.encoded_shape))

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        sites = tuple(range(-len(self.state_space.encoded_shape), 0))
        return -(self.linear_fields(*context) * x).sum(sites)

    def gap_table(self, x: Tensor, *context: Tensor) -> Tensor:
        """Gaps to all flips or categories, like ``x``."""
        return linear_gaps(self.state_space, x, self.linear_fields(*context))

    def linear_fields(self, *context: Tensor) -> Tensor:
        """The fields of each datum's level, ``batch_shape + encoded_shape``."""
        first = self.fields.new_zeros(1, *self.fields.shape[1:])
        return torch.cat([first, self.fields])[context[-1].long()]
