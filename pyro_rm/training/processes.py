"""What the processes of one data-parallel run share."""

from __future__ import annotations

from typing import Any

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


def gather(value: Any) -> list[Any]:
    """The values of all processes in the order of ranks, the same list on each."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * num_processes()
    distributed.all_gather_object(values, value)
    return values
