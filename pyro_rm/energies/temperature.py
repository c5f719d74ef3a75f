"""The temperature that an objective learns, undone."""

from __future__ import annotations

from pyro_rm.energies.sums import SumEnergy
from pyro_rm.energy_protocol import Energy, space_of
from pyro_rm.objectives import Objective, as_objective
from pyro_rm.state_space import StateSpace


def restore_temperature(
    energy: Energy, objective: str | Objective, *, state_space: StateSpace | None = None
) -> Energy:
    r"""Bring an energy that was fitted under :math:`\kappa \ne 1` to the data's temperature.

    The population optimum of an objective is :math:`E_\text{true} / \kappa`; this
    multiplies by :math:`\kappa`. Consistent objectives leave an energy that says its space as it
    is.

    :param energy: The fitted energy.
    :param objective: The objective that it was fitted by, or its name.
    :param state_space: The space, where the energy does not say it.
    :returns: The energy to sample and to evaluate.

    Example:

        >>> import torch
        >>> restored = restore_temperature(lambda x: x.sum(-1), "squared_ratio",
        ...                                state_space=StateSpace(3))
        >>> restored(torch.ones(3))
        tensor(12.)

    .. note:: Costs what the energy costs. Exact at the objective's optimum over all functions.
    """
    kappa = as_objective(objective).kappa
    if kappa == 1 and hasattr(energy, "state_space"):
        space_of(energy, state_space)
        return energy
    return SumEnergy((kappa, energy), state_space=state_space)
