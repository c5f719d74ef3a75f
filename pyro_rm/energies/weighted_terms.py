"""What a sum of energies is made of."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature

import torch
from torch import Tensor, nn

from pyro_rm.energies.level_rows import between_rows
from pyro_rm.energy_protocol import Context, Energy
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

Weight = float | Tensor | Callable[..., Tensor]
"""A number, a tensor of batch shape, or a function of the context that returns one."""

LEVEL_ONLY = slice(-1, None)  # of a context that ends with the level; nothing if it has none


class Term(nn.Module):
    """One energy of a sum, its weight, and which context it takes.

    :param weight: Its weight.
    :param energy: The energy.
    :param context: Which of the sum's context tensors it takes; as many of the first ones as its
        signature has room for if None.
    """

    weight: Weight  # a parameter or buffer if it is a tensor
    energy: Energy

    def __init__(self, weight: Weight, energy: Energy, context: slice | None = None) -> None:
        super().__init__()
        if isinstance(weight, Tensor) and not isinstance(weight, nn.Parameter):
            self.register_buffer("weight", weight)
        else:
            self.weight = weight
        self.energy = energy
        self.context = _taken_context(energy) if context is None else context

    @property
    def num_levels(self) -> int | None:
        """How many levels of noise it knows, the last of the context; None if it takes none."""
        return None if self.context.stop is not None else getattr(self.energy, "num_levels", None)

    @property
    def asks_for_level(self) -> bool:
        """Whether its weight is a function that has to be called at each level of noise."""
        return callable(self.weight) and not hasattr(self.weight, "table")

    def weight_at(self, context: Context) -> float | Tensor:
        """The weight, where it depends on a context."""
        weight = self.weight
        return weight(*context) if callable(weight) else weight

    def level_energies(self, space: StateSpace, x: Tensor, context: Context) -> Tensor:
        """Weighted energies at all levels of noise, ``batch_shape + (L,)`` or one for all."""
        count, level = self.num_levels, torch.empty(0)  # a level takes its place in the context
        if count is None:
            energies = Target(self.energy, space, context[self.context])(x)[..., None]
        else:
            before = (*context, level)[self.context][:-1]
            energies = Target(self.energy, space, before).level_energies(x, count)
        table = getattr(self.weight, "table", None)  # a weight for each level
        if table is not None:
            return table() * energies
        weight = self.weight_at(context)
        return (weight[..., None] if isinstance(weight, Tensor) else weight) * energies

    def at_level(self, space: StateSpace, position: float) -> tuple[Weight, Energy, slice]:
        """The term at a level of noise, or between two."""
        table, energy = getattr(self.weight, "table", None), self.energy
        if self.num_levels is not None:
            energy = Target(energy, space).between(position).energy
        return (
            self.weight if table is None else between_rows(table(), position),
            energy,
            self.context,
        )


def _taken_context(energy: Energy) -> slice:
    """As many of the first tensors as an energy has room for, or the level where it knows some."""
    room = _room(energy)
    if getattr(energy, "num_levels", None) is None:
        return slice(room)
    return LEVEL_ONLY if room == 1 else slice(None)


def _room(energy: Energy) -> int | None:
    """How many context tensors an energy takes; None for any number."""
    function = energy.forward if isinstance(energy, nn.Module) else energy
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return None
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    knows_none = getattr(energy, "num_levels", "does not say") is None  # no room for a level
    return max(0, sum(p.kind in kinds for p in parameters) - 1 - knows_none)
