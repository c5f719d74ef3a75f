"""Packages on the other side, which need not be installed."""

from __future__ import annotations

import importlib
from typing import Any


def required(name: str) -> Any:
    """The package or module of that name.

    :param name: Such as ``"thrml.models"``; the extra is called after its package.
    :returns: The module.
    :raises ImportError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"Expected {package} to be installed, but it is not. Install it by "
            f"pip install 'pyro-rm[{package}]'."
        ) from error
