"""Files that are read."""

from __future__ import annotations

from pathlib import Path


def existing_file(path: str | Path, what: str) -> Path:
    """Refuse paths that lead to no file.

    :param path: The path.
    :param what: What should be there.
    :returns: The path.
    :raises FileNotFoundError: If there is nothing.
    :raises ValueError: If there is a folder.

    Example:

        >>> existing_file("nowhere/answers.csv", "a table")
        Traceback (most recent call last):
            ...
        FileNotFoundError: Expected a table at nowhere/answers.csv, but there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"Expected {what}, but {path} is a folder. Give the path of a file in it.")
    if not path.exists():
        raise FileNotFoundError(f"Expected {what} at {path}, but there is no such file.")
    return path
