"""Options that are given by name or as objects of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def look_up(given: str | T, kind: type[T], built_in: Mapping[str, type[T]]) -> T:
    """Make a built-in object from its name; objects pass through.

    :param given: A name, or an object.
    :param kind: What the object must be.
    :param built_in: Classes by name, which need no arguments.
    :returns: The object.
    :raises ValueError: If the name is unknown.
    :raises TypeError: If it is neither a name nor such an object.

    Example:

        >>> look_up("list", list, {"list": list})
        []
    """
    if isinstance(given, kind):
        return given
    what = kind.__name__.lower()
    if not isinstance(given, str):
        raise TypeError(
            f"Expected the name of a built-in {what} or a {kind.__name__}, "
            f"but got {type(given).__name__}."
        )
    if given not in built_in:
        raise ValueError(f"Expected {what} to be one of {sorted(built_in)}, but got {given!r}.")
    return built_in[given]()
