"""What a sum of energies is made of."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature

from torch import Tensor, nn

from pyro_rm.energy_protocol import Context, Energy

Weight = float | Tensor | Callable[..., Tensor]
"""A number, a tensor of batch shape, or a function of the context that returns one."""


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
        self.context = slice(_room(energy)) if context is None else context

    def weight_at(self, context: Context) -> float | Tensor:
        """The weight, where it depends on a context."""
        weight = self.weight
        return weight(*context) if callable(weight) else weight


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
    return max(0, sum(p.kind in kinds for p in parameters) - 1)
