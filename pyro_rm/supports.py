"""Constraints of torch that discrete data satisfy, beside those that torch has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints


class TwoStates(constraints.Constraint):
    """A site that takes one of two given values."""

    is_discrete = True
    event_dim = 0

    def __init__(self, states: tuple[float, float]) -> None:
        self.states = states
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Which sites hold one of the two."""
        return (value == self.states[0]) | (value == self.states[1])

    def __repr__(self) -> str:
        return f"TwoStates{self.states}"


class Categories(constraints.Constraint):
    """A site that takes an integer code below its number of categories."""

    is_discrete = True
    event_dim = 1

    def __init__(self, num_categories: tuple[int, ...]) -> None:
        self.num_categories = num_categories
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Which data hold codes of categories that exist."""
        upper = torch.tensor(self.num_categories, device=value.device)
        return ((value >= 0) & (value < upper) & (value == value.floor())).all(-1)

    def __repr__(self) -> str:
        return f"Categories{self.num_categories}"
