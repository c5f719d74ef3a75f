"""Energies at another temperature."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pyro_rm.energy_gaps import energy_gaps, gap_table, has_gap_table
from pyro_rm.energy_protocol import space_of
from pyro_rm.enumeration import outer_energies
from pyro_rm.neighborhoods import Neighbors
from pyro_rm.objectives import Objective, as_objective
from pyro_rm.site_walks import Block, SiteWalk, site_walk
from pyro_rm.state_space import StateSpace


class TemperedEnergy(nn.Module):
    r"""An energy multiplied by an inverse temperature, :math:`\beta E(x)`.

    :param energy: Any energy; its fast gaps are kept.
    :param inverse_temperature: :math:`\beta`: a number, or a tensor of batch shape.
    :param state_space: The space, where the energy does not say it.
    :raises ValueError: If the space is unknown.

    Example:

        >>> hot = TemperedEnergy(lambda x: x.sum(-1), 0.5, state_space=StateSpace(3))
        >>> hot(torch.ones(3))
        tensor(1.5000)

    .. note:: Costs what the energy costs, gaps in closed form included.
    """

    def __init__(
        self,
        energy: Callable[..., Tensor],
        inverse_temperature: float | Tensor,
        *,
        state_space: StateSpace | None = None,
    ) -> None:
        super().__init__()
        self.state_space = space_of(energy, state_space)
        self.energy = energy
        self.inverse_temperature = inverse_temperature

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the parameters."""
        beta = self.inverse_temperature
        own = beta.shape if isinstance(beta, Tensor) else torch.Size()
        inner = getattr(self.energy, "batch_shape", torch.Size())
        return torch.broadcast_shapes(own, inner)

    @property
    def has_gap_table(self) -> bool:
        """Whether the energy underneath gives all its gaps at once."""
        return has_gap_table(self.energy)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        return self.inverse_temperature * self.energy(x, *context)

    def energy_gaps(self, x: Tensor, neighbors: Neighbors, *context: Tensor) -> Tensor:
        """Gaps of given neighbors, ``neighbors + batch_shape``."""
        gaps = energy_gaps(self.energy, self.state_space, x, neighbors, context)
        return self.inverse_temperature * gaps

    def gap_table(self, x: Tensor, *context: Tensor) -> Tensor:
        """All gaps, where the energy underneath has them."""
        return self._heat(gap_table(self.energy, x, context))

    def site_walk(self, x: Tensor, *context: Tensor) -> SiteWalk:
        """The walk of the energy underneath, at this temperature."""
        return _TemperedWalk(site_walk(self.energy, self.state_space, x, context), self._heat)

    def _heat(self, table: Tensor) -> Tensor:
        """A table of gaps, ``batch_shape + encoded_shape``, at this temperature."""
        beta = self.inverse_temperature
        if isinstance(beta, Tensor):
            beta = beta.view(beta.shape + (1,) * len(self.state_space.encoded_shape))
        return beta * table

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``; for one temperature."""
        return self.inverse_temperature * outer_energies(self.energy, self.state_space, left, right)


class _TemperedWalk(SiteWalk):
    """A walk that another one walks, with its gaps at another temperature."""

    def __init__(self, walk: SiteWalk, heat: Callable[[Tensor], Tensor]) -> None:
        self.walk, self.heat, self.space = walk, heat, walk.space
        self.encoded = walk.encoded  # the same tensor: moves are in place

    def gaps(self, block: Block) -> Tensor:
        return self.heat(self.walk.gaps(block))

    def move(self, block: Block, values: Tensor) -> None:
        self.walk.move(block, values)


def restore_temperature(
    energy: Callable[..., Tensor],
    objective: str | Objective,
    *,
    state_space: StateSpace | None = None,
) -> TemperedEnergy:
    r"""Bring an energy that was fitted under :math:`\kappa \ne 1` to the data's temperature.

    The population optimum of an objective is :math:`E_\text{true} / \kappa`; this
    multiplies by :math:`\kappa`. The identity for consistent objectives.

    :param energy: The fitted energy.
    :param objective: The objective that it was fitted by, or its name.
    :param state_space: The space, where the energy does not say it.
    :returns: The energy to sample and to evaluate.

    Example:

        >>> fitted = TemperedEnergy(lambda x: x.sum(-1), 1.0, state_space=StateSpace(3))
        >>> restore_temperature(fitted, "squared_ratio").inverse_temperature
        4.0

    .. note:: Costs what the energy costs. Exact at the objective's optimum over all functions.
    """
    return TemperedEnergy(energy, as_objective(objective).kappa, state_space=state_space)
