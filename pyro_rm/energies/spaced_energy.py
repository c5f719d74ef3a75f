"""What the library's energies with a parameter for each site share."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from pyro_rm.energies.sums import Summable
from pyro_rm.state_space import StateSpace


class SpacedEnergy(Summable, nn.Module):
    """An energy whose parameters mean something on its own state space only.

    The space is part of ``state_dict``, and marks parameters that are used, so that those of spins
    are not loaded into an energy of bits.

    :param state_space: The space.
    """

    def __init__(self, state_space: StateSpace) -> None:
        super().__init__()
        self.state_space = state_space

    def get_extra_state(self) -> Tensor:
        """The state space as numbers."""
        return torch.tensor([*self.state_space.states, *self.state_space.categories])

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse parameters of another space.

        :raises ValueError: If the saved space is not this one.
        """
        low, high, *categories = (int(number) for number in state.tolist())
        saved = StateSpace(len(categories), tuple(categories), states=(low, high))
        if saved != self.state_space:
            raise ValueError(
                f"Expected parameters of an energy on {self.state_space}, but got those of one on "
                f"{saved}. Load them into an energy on that space."
            )

    @cached_property
    def _mark(self) -> Tensor:
        return self.get_extra_state()

    def mark_parameters(self) -> None:
        """Leave the space on each parameter, and refuse parameters that were left another one.

        Pyro's parameter store and checkpoints of training know parameters, but no modules.

        :raises ValueError: If a parameter was fitted on another space.
        """
        for parameter in self.parameters():
            kept = vars(parameter).get("_state_space", self._mark)
            if kept is not self._mark:
                self.set_extra_state(kept)
            vars(parameter)["_state_space"] = self._mark
