"""Tables of binary data as users hold them: names, codings, blanks, and what is wrong in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.state_space import StateSpace

States = tuple[float, float]
_CODINGS: tuple[States, ...] = ((0, 1), (-1, 1))


class BinaryTable(NamedTuple):
    """Data with NaN where blank, ``(N, D)``, their column names and their two states."""

    values: Tensor
    names: list[Any]
    states: States


def read_columns(table: Any) -> tuple[Tensor, list[Any]]:
    """Numbers and column names of an array, a tensor or a data frame.

    :param table: Anything of shape ``(N, D)`` that NumPy can read; blanks are NaN or None.
    :returns: Values, ``(N, D)``, and names (0, 1, ... where there are none).
    :raises TypeError: If it is a path, or a column does not hold numbers.
    :raises ValueError: If it is not a matrix, or has less than 2 rows or columns.
    """
    if isinstance(table, (str, Path)):
        raise TypeError(
            f"Expected a table, but got the path {str(table)!r}. Read it by "
            "pyro_rm.datasets.read_csv_table or pandas.read_csv."
        )
    names = list(table.columns) if hasattr(table, "columns") else None
    if isinstance(table, Tensor):
        table = table.detach().cpu()
        table = (table.float() if table.dtype == torch.bfloat16 else table).numpy()
    array = table.to_numpy() if hasattr(table, "to_numpy") else np.asarray(table)
    if array.ndim != 2:
        raise ValueError(f"Expected a table of rows and columns, but got shape {array.shape}.")
    if array.shape[0] < 2 or array.shape[1] < 2:
        raise ValueError(
            f"Expected at least 2 rows and 2 columns, but got {array.shape[0]} x {array.shape[1]}."
        )
    names = list(range(array.shape[1])) if names is None else names
    columns = [_numbers(column, name) for column, name in zip(array.T, names, strict=True)]
    return torch.from_numpy(np.stack(columns, 1)), names


def row_weights(given: Any, num_rows: int) -> Tensor | None:
    """Weights of rows; None if there are none.

    :param given: Numbers, ``(N,)``, or None.
    :param num_rows: Number of rows.
    :returns: Shape ``(N,)``.
    :raises ValueError: If there is another number of them, one is negative or not finite, or
        all are zero.
    """
    if given is None:
        return None
    try:
        weights = torch.as_tensor(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected sample_weight as numbers, but got others: {error}.") from error
    if weights.shape != (num_rows,):
        raise ValueError(
            f"Expected sample_weight of shape ({num_rows},), but got {tuple(weights.shape)}."
        )
    if not weights.isfinite().all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError("Expected sample_weight from 0, finite and not all 0, but got others.")
    return weights


def _numbers(column: Any, name: Any) -> Any:
    if np.iscomplexobj(column):
        raise TypeError(f"Expected real numbers or blanks in column {name!r}, but got complex.")
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Expected numbers or blanks in column {name!r}, but got text ({error}). Drop the "
            "column, or code its answers as 0, 1, ..., as pandas.factorize does."
        ) from error


def read_binary(table: Any, states: States | None = None) -> BinaryTable:
    """A table of two-valued columns, checked.

    :param table: See :func:`read_columns`.
    :param states: ``(0, 1)`` or ``(-1, 1)``; None: whichever the data are in.
    :returns: Values, names and states.
    :raises ValueError: If columns are not binary, are constant, are copies of each other, or
        mix the codings, each named, with what to do.

    Example:

        >>> read_binary([[-1, 1], [1, -1], [1, 1]]).states
        (-1, 1)
    """
    values, names = read_columns(table)
    chosen = _coding(values, names) if states is None else states
    _check_coding(values, names, chosen)
    _check_constant(values, names)
    _check_copies(values, names, chosen)
    return BinaryTable(values, names, chosen)


def _is_coded(values: Tensor, states: States) -> Tensor:
    """Whether each column holds nothing but the two states and blanks."""
    return ((values == states[0]) | (values == states[1]) | values.isnan()).all(0)


def _coding(values: Tensor, names: Sequence[Any]) -> States:
    bits, spins = (_is_coded(values, states) for states in _CODINGS)
    if bool((bits | spins).all()) and not bits.all() and not spins.all():
        raise ValueError(
            f"Expected one coding for all columns, but got 0/1 in {_some(names, ~spins)} and "
            f"-1/1 in {_some(names, ~bits)}. Recode one of them: 2 * x - 1 turns 0/1 into -1/1."
        )
    return (-1, 1) if int(spins.sum()) > int(bits.sum()) else (0, 1)


def _check_coding(values: Tensor, names: Sequence[Any], states: States) -> None:
    fits = _is_coded(values, states)
    if fits.all():
        return
    other = _CODINGS[1 - _CODINGS.index(states)]
    if _is_coded(values, other).all():
        raise ValueError(
            f"Expected values in {states}, but got {other} in {_some(names, ~fits)}. "
            f"Say states={other}, or leave states=None."
        )
    column = values[:, ~fits][:, 0]
    wrong = column[~((column == states[0]) | (column == states[1]) | column.isnan())][0].item()
    raise ValueError(
        f"Expected columns of two values {states}, but {_some(names, ~fits)} hold others, "
        f"such as {wrong:g}. Threshold them, or drop them: table.drop(columns=[...])."
    )


def _check_constant(values: Tensor, names: Sequence[Any]) -> None:
    low = values.nan_to_num(torch.inf).amin(0)
    high = values.nan_to_num(-torch.inf).amax(0)
    constant = low >= high
    if constant.any():
        raise ValueError(
            f"Expected columns with both values, but {_some(names, constant)} are constant (or "
            "blank): nothing can be learned about them. Drop them."
        )


def _check_copies(values: Tensor, names: Sequence[Any], states: States) -> None:
    high = (values == states[1]).to(torch.int8)
    blank = values.isnan().to(torch.int8) * 2
    seen: dict[bytes, Any] = {}
    for index, name in enumerate(names):
        own, flipped = high[:, index] + blank[:, index], 1 - high[:, index] + blank[:, index]
        flipped = torch.where(blank[:, index] > 0, blank[:, index], flipped)
        for column, relation in ((own, "a copy"), (flipped, "the opposite")):
            twin = seen.get(column.numpy().tobytes())
            if twin is not None:
                raise ValueError(
                    f"Expected different columns, but {name!r} is {relation} of {twin!r}: their "
                    "coupling is unbounded. Drop one of them."
                )
        seen[own.numpy().tobytes()] = name


def _some(names: Sequence[Any], which: Tensor) -> str:
    chosen = [names[index] for index in which.nonzero().flatten().tolist()]
    more = f" and {len(chosen) - 5} more" if len(chosen) > 5 else ""
    return f"columns {chosen[:5]}{more}"


def read_binary_like(table: Any, states: States, num_columns: int) -> Tensor:
    """New rows in a coding and a number of columns that are known already.

    :returns: Values, ``(N, D)``.
    :raises ValueError: If the number of columns or the coding differ.
    """
    values, names = read_columns(table)
    if len(names) != num_columns:
        raise ValueError(f"Expected {num_columns} columns, but got {len(names)}.")
    _check_coding(values, names, states)
    return values


def read_categories(
    table: Any, num_categories: int | tuple[int, ...] | None = None
) -> tuple[Tensor, list[Any], StateSpace]:
    """A table of integer codes, checked.

    :param table: See :func:`read_columns`; no blanks.
    :param num_categories: See :class:`~pyro_rm.StateSpace`; None: the largest code of each
        column, plus one.
    :returns: Codes, ``(N, D)``, names and the state space.
    :raises ValueError: If columns hold blanks, fractions or codes out of range, or a single
        value where the number of categories was to be read from them, each named.
    """
    values, names = read_columns(table)
    wrong = values.isnan() | (values != values.round()) | (values < 0)
    if wrong.any():
        raise ValueError(
            f"Expected integer codes from 0, but {_some(names, wrong.any(0))} hold "
            f"{values[wrong][0].item():g}. Give blanks a code of their own."
        )
    if num_categories is None:
        _check_constant(values, names)
        num_categories = tuple(int(k) for k in values.amax(0) + 1)
    space = StateSpace(len(names), num_categories)
    if space.is_binary:
        raise ValueError("Expected a column with three values or more; use IsingNetwork.")
    above = values.amax(0) >= torch.tensor(space.categories)
    if above.any():
        raise ValueError(
            f"Expected codes below the number of categories, but {_some(names, above)} go up to "
            f"{values[:, above].max():g}."
        )
    return values, names, space
