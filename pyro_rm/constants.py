"""Tensors that are computed once and kept: the only state of modules, and never a random one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import torch

R = TypeVar("R")


def constant(function: Callable[..., R]) -> Callable[..., R]:
    """Remember what a function of hashable arguments returned.

    Its tensors are ordinary ones, whatever mode is on at the first call: those made under
    :func:`torch.inference_mode` could enter no gradient later on. Threads may share them;
    nobody may change them.

    :param function: What is computed once for the same arguments.
    :returns: The same function, with a memory.

    Example:

        >>> @constant
        ... def numbers(count):
        ...     return torch.arange(count)
        >>> with torch.inference_mode():
        ...     numbers(3).is_inference()
        False
        >>> numbers(3) is numbers(3)
        True
    """

    @lru_cache(maxsize=64)
    @wraps(function)
    def remembered(*args: Any, **kwargs: Any) -> R:
        with torch.inference_mode(False):
            return function(*args, **kwargs)

    return remembered
