"""What the checks are written with: facts that must hold, and the message where one does not."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def expect(fact: bool | Tensor, message: str) -> None:
    """Raise if a fact does not hold, also where Python runs without ``assert``.

    :param fact: The fact.
    :param message: What was expected, and what was found.
    :raises AssertionError: If it is false.
    """
    if not fact:
        raise AssertionError(message)


def expect_equal(
    got: Tensor,
    expected: Tensor,
    what: str,
    *,
    tolerance: float = 1e-9,
    at: Callable[[tuple[int, ...]], str] | None = None,
) -> None:
    """Raise if two tensors differ, with the first entry where they do.

    :param got: What was computed.
    :param expected: What it should be.
    :param what: Its name in the message.
    :param tolerance: Relative to the largest expected entry, at least 1.
    :param at: Says in words where an index is.
    :raises AssertionError: If a shape, a type or a number differs.
    """
    expect(
        got.shape == expected.shape,
        f"Expected {what} of shape {tuple(expected.shape)}, but got {tuple(got.shape)}.",
    )
    expect(
        got.dtype == expected.dtype,
        f"Expected {what} in {expected.dtype}, as the data and parameters are, but got "
        f"{got.dtype}: a tensor that is made on the way needs the dtype of the data.",
    )
    got, expected = got.detach(), expected.detach()
    bound = tolerance * expected.abs().nan_to_num().amax().clamp(min=1) if got.numel() else 0.0
    wrong = ~((got - expected).abs() <= bound)
    if wrong.any():
        index = tuple(wrong.nonzero()[0].tolist())
        where = f"at index {index}" if at is None else at(index)
        raise AssertionError(
            f"Expected {what} to be {expected[index].item():.8g} {where}, but got "
            f"{got[index].item():.8g} ({int(wrong.sum())} of {wrong.numel()} entries differ)."
        )


@contextmanager
def seeded() -> Iterator[None]:
    """Random numbers of a fixed seed, and the generator as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextmanager
def unvalidated() -> Iterator[None]:
    """Validation off, as on tensors that have no values to be read."""
    distribution: Any = torch.distributions.Distribution
    before = distribution._validate_args
    distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        distribution.set_default_validate_args(before)


@contextmanager
def double_precision() -> Iterator[None]:
    """Double precision where nothing says another type, as of functions without parameters."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def name_of(thing: object) -> str:
    """The name of a class, a function or an object's class."""
    return getattr(thing, "__name__", type(thing).__name__)


def moved(energy: Any, where: torch.dtype | str) -> Any:
    """A copy in another type or on another device, if it is made of parameters or tensors.

    :param energy: A module, or a dataclass of tensors; others are returned as they are.
    :param where: A floating point type or a device.
    """
    if isinstance(energy, nn.Module):
        return copy.deepcopy(energy).to(where)
    if not dataclasses.is_dataclass(energy) or isinstance(energy, type):
        return energy
    fields = {f.name: getattr(energy, f.name) for f in dataclasses.fields(energy) if f.init}
    tensors = {name: t.to(where) for name, t in fields.items() if isinstance(t, Tensor)}
    return dataclasses.replace(energy, **tensors)
