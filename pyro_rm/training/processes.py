"""What the processes of one data-parallel run share; alone, everything is the identity."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed


def is_distributed() -> bool:
    """Whether this process is one of several, in torch's default group."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if is_distributed() else 0


def num_processes() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if is_distributed() else 1


def from_first(value: Any) -> Any:
    """The value that the first process has."""
    if not is_distributed():
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: Any) -> list[Any]:
    """The values of all processes, in the order of ranks."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * num_processes()
    distributed.all_gather_object(values, value)
    return values


def any_of(flag: bool) -> bool:
    """Whether it is true in any process."""
    return any(gather(flag))


def mean(value: float) -> float:
    """The mean over the processes, the same number on each."""
    values = gather(value)
    return float(torch.tensor(values, dtype=torch.float64).mean())
