"""Files to resume a run from: written whole or not at all, read without running code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import existing_file

FORMAT, VERSION = "checkpoint of pyro_rm", 2


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that a crash leaves the old file or the new one, whole.

    :param state: Tensors, numbers and strings in dicts, lists and tuples.
    :param path: The file to write or to replace; its folder is created.

    Example:

        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run.pt"
        >>> save_checkpoint({"step": 3}, path)
        >>> load_checkpoint(path)
        {'step': 3}
    """
    unfinished = _unfinished(path)
    try:
        with unfinished.open("wb") as file:
            torch.save({"format": FORMAT, "version": VERSION, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Find out that a checkpoint cannot be written before the run, not after its first part.

    :param path: The file; its folder is created.
    :raises OSError: If its folder takes no files.
    """
    try:
        unfinished = _unfinished(path)
        unfinished.touch()
        unfinished.unlink()
    except OSError as error:
        raise type(error)(
            f"Expected a folder to write checkpoints to, but nothing can be written beside {path}: "
            f"{error}."
        ) from error


def _unfinished(path: str | Path) -> Path:
    """Where a process writes a file before it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without running any code in it.

    :param path: The file.
    :returns: What :func:`save_checkpoint` was given.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If the file is damaged, of another version, or not a checkpoint.
    """
    path = existing_file(path, "a checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch and pickle raise many kinds
        raise ValueError(
            f"Expected a checkpoint that was written whole, but {path} cannot be read: "
            "it is damaged, or holds code. Delete it to start over."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"Expected a checkpoint written by train, but {path} holds something else. "
            "Give another path."
        )
    if content.get("version") != VERSION or not isinstance(content.get("state"), dict):
        raise ValueError(
            f"Expected a checkpoint of version {VERSION}, but {path} is of version "
            f"{content.get('version')}. Resume it with the pyro_rm that wrote it, or delete it to "
            "start over."
        )
    state: dict[str, Any] = content["state"]
    return state


def random_state() -> dict[str, Tensor]:
    """The states of torch's global generators, by device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{k}": s for k, s in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: dict[str, Tensor]) -> None:
    """Restore the generators of :func:`random_state`; devices that are missing are skipped."""
    present = random_state()
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif device == "mps" and device in present:
            torch.mps.set_rng_state(state)
        elif device in present:
            torch.cuda.set_rng_state(state, device)
