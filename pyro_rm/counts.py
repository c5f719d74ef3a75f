"""Options that count something."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def check_counts(least: int = 1, /, **counts: Any) -> None:
    """Refuse counts that are no integers, or too small.

    :param least: The smallest that makes sense.
    :param counts: Options by name.
    :raises TypeError: If one is no integer.
    :raises ValueError: If one is below ``least``.

    Example:

        >>> check_counts(num_steps=3, num_chains=1)
        >>> check_counts(0, num_steps=-1)
        Traceback (most recent call last):
            ...
        ValueError: Expected num_steps to be at least 0, but got -1.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral):
            raise TypeError(f"Expected {name} to be an integer, but got {count!r}.")
        if count < least:
            raise ValueError(f"Expected {name} to be at least {least}, but got {count}.")
