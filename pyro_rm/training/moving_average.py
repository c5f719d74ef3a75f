"""Exponential moving averages of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """An exponential moving average of parameters, with a shorter memory at the start.

    :param parameters: Tensors that are trained in place.
    :param decay: Share of the average that a step keeps, in [0, 1); early on
        ``(1 + step) / (10 + step)`` where that is smaller.
    :raises ValueError: If the decay is out of range.

    Example:

        >>> parameter = torch.zeros(1)
        >>> average = MovingAverage([parameter], 0.9)
        >>> average.update(step=1)
        >>> average.values
        [tensor([0.])]
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"Expected the decay of an average in [0, 1), but got {decay}.")
        self.parameters, self.decay = list(parameters), decay
        self.values = copies(parameters)

    def update(self, step: int) -> None:
        """Move toward the parameters, after the given step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(self.values, self.parameters, step)


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Detached copies."""
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def assign(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors, in place."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


@contextmanager
def assigned(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
    """Other values in tensors, for the duration of a block."""
    before = copies(tensors)
    assign(tensors, values)
    try:
        yield
    finally:
        assign(tensors, before)
