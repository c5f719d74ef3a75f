"""Where randomness comes from: a seed that leaves torch's own generator as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def seeded(random_state: Any) -> Iterator[None]:
    """Let torch draw from a state of its own for a while.

    :param random_state: An integer gives the same draws each time; a NumPy generator, the ones
        that follow; None, those of torch's global generator.
    :raises TypeError: If it is anything else.
    :raises ValueError: If it is negative.

    Example:

        >>> with seeded(1):
        ...     first = torch.rand(2)
        >>> with seeded(1):
        ...     torch.equal(torch.rand(2), first)
        True
    """
    if random_state is None:
        yield
        return
    seed = _seed(random_state)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _seed(random_state: Any) -> int:
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31, dtype=np.int64))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise TypeError(
            "Expected random_state as an integer, a NumPy generator or None, but got "
            f"{random_state!r}."
        )
    if random_state < 0:
        raise ValueError(f"Expected random_state of 0 or more, but got {random_state}.")
    return int(random_state)
