"""Tables of binary data as users hold them: names, codings, blanks, and what is wrong in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.state_space import StateSpace

States = tuple[float, float]
_CODINGS: tuple[States, ...] = ((0, 1), (-1, 1))
_WORDS = {"no": 0.0, "yes": 1.0, "false": 0.0, "true": 1.0, "n": 0.0, "y": 1.0}


class BinaryTable(NamedTuple):
    """Data with NaN where blank, their names, states and weights; blanks of all rows counted."""

    values: Tensor
    names: list[Any]
    states: States
    weights: Tensor | None
    num_blank: int


def read_columns(table: Any) -> tuple[Tensor, list[Any]]:
    """Numbers and column names of an array, a tensor or a data frame.

    :param table: Anything of shape ``(N, D)`` that NumPy can read; blanks are NaN or None.
    :returns: Values, ``(N, D)``, and names (0, 1, ... where there are none).
    :raises TypeError: If it is a path, or a column does not hold numbers.
    :raises ValueError: If it is not a matrix, has less than 2 rows or columns, or a name twice.
    """
    if isinstance(table, (str, Path)):
        raise TypeError(
            f"Expected a table, but got the path {str(table)!r}. Read it by "
            "pyro_rm.datasets.read_csv_table or pandas.read_csv."
        )
    names = list(table.columns) if hasattr(table, "columns") else None
    array = _as_array(table)
    if array.ndim != 2:
        raise ValueError(f"Expected a table of rows and columns, but got shape {array.shape}.")
    if array.shape[0] < 2 or array.shape[1] < 2:
        raise ValueError(
            f"Expected at least 2 rows and 2 columns, but got {array.shape[0]} x {array.shape[1]}."
        )
    names = list(range(array.shape[1])) if names is None else names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"Expected different column names, but got {twice[0]!r} more than once. Rename one."
        )
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


def _as_array(table: Any) -> Any:
    """A table as NumPy has it: masked cells are blank, sparse ones are zero."""
    if isinstance(table, Tensor):
        table = table.detach().cpu()
        table = table.to_dense() if table.is_sparse else table
        return (table.float() if table.dtype == torch.bfloat16 else table).numpy()
    if hasattr(table, "toarray"):  # scipy.sparse
        return table.toarray()
    array = table.to_numpy() if hasattr(table, "to_numpy") else table
    if isinstance(array, np.ma.MaskedArray):
        masked: Any = array.astype(object)
        return masked.filled(np.nan)
    return np.asarray(array)


def _numbers(column: Any, name: Any) -> Any:
    if np.iscomplexobj(column):
        raise TypeError(f"Expected real numbers or blanks in column {name!r}, but got complex.")
    if column.dtype == object:  # pandas' missing values are not floats
        column = np.array([None if type(v).__name__ == "NAType" else v for v in column], object)
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        pass
    answers = {str(v).strip().lower() for v in column if not (v is None or v != v)}
    if answers <= _WORDS.keys():
        words = [v if v is None or v != v else _WORDS[str(v).strip().lower()] for v in column]
        return np.array(words, dtype=np.float64)
    some = sorted(answers)[:3]
    raise TypeError(
        f"Expected numbers, blanks, or yes and no in column {name!r}, but got text such as {some}. "
        f"Say for all columns alike which answer is 1, as by (table == {some[0]!r}).where("
        "table.notna()), or drop the column."
    )


def read_binary(table: Any, states: States | None = None, sample_weight: Any = None) -> BinaryTable:
    """A table of two-valued columns, checked; rows without an answer or a weight are left out.

    :param table: See :func:`read_columns`.
    :param states: ``(0, 1)`` or ``(-1, 1)``; None: whichever the data are in.
    :param sample_weight: See :func:`row_weights`.
    :returns: Values, names, states and weights.
    :raises ValueError: If columns are not binary, are constant, are copies of each other, or
        mix the codings, each named, with what to do.

    Example:

        >>> read_binary([[-1, 1], [1, -1], [1, 1]]).states
        (-1, 1)
    """
    values, names = read_columns(table)
    weights = row_weights(sample_weight, len(values))
    blank = values.isnan()
    counted = ~blank.all(1)
    if weights is not None:
        counted = counted & (weights > 0)
        weights = weights[counted]
    values = values[counted]
    chosen = _coding(values, names) if states is None else states
    _check_coding(values, names, chosen)
    _check_constant(values, names)
    _check_copies(values, names, chosen)
    return BinaryTable(values, names, chosen, weights, int(blank.sum()))


def _is_coded(values: Tensor, states: States) -> Tensor:
    """Whether each column holds nothing but the two states and blanks."""
    return ((values == states[0]) | (values == states[1]) | values.isnan()).all(0)


def _coding(values: Tensor, names: Sequence[Any]) -> States:
    bits, spins = (_is_coded(values, states) for states in _CODINGS)
    if bool((bits | spins).all()) and not bits.all() and not spins.all():
        raise ValueError(
            f"Expected one coding for all columns, but got 0/1 in {some_columns(names, ~spins)} "
            f"and -1/1 in {some_columns(names, ~bits)}. Recode one of them: 2 * x - 1 turns 0/1 "
            "into -1/1."
        )
    return (-1, 1) if int(spins.sum()) > int(bits.sum()) else (0, 1)


def _check_coding(values: Tensor, names: Sequence[Any], states: States) -> None:
    fits = _is_coded(values, states)
    if fits.all():
        return
    other = _CODINGS[1 - _CODINGS.index(states)]
    if _is_coded(values, other).all():
        raise ValueError(
            f"Expected values in {states}, but got {other} in {some_columns(names, ~fits)}. "
            f"Say states={other}, or leave states=None."
        )
    column = values[:, ~fits][:, 0]
    wrong = column[~((column == states[0]) | (column == states[1]) | column.isnan())]
    raise ValueError(
        f"Expected columns of two values {states}, but {some_columns(names, ~fits)} hold others, "
        f"such as {wrong[0].item():g}. {_way_out(column, wrong)}"
    )


def _way_out(column: Tensor, wrong: Tensor) -> str:
    """What to do about a column of other values."""
    values = set(column[~column.isnan()].tolist())
    if values == {1.0, 2.0}:
        return "If 1 and 2 are the two answers, pass table - 1."
    if len(values - {0.0, 1.0}) == 1 and {0.0, 1.0} <= values:
        code = wrong[0].item()
        return (
            f"If {code:g} means that there is no answer, make it blank: "
            f"table.replace({code:g}, float('NaN'))."
        )
    return "Threshold them, or drop them: table.drop(columns=[...])."


def _check_constant(values: Tensor, names: Sequence[Any]) -> None:
    low = values.nan_to_num(torch.inf).amin(0)
    high = values.nan_to_num(-torch.inf).amax(0)
    constant = low >= high
    if constant.any():
        raise ValueError(
            f"Expected columns with both values, but {some_columns(names, constant)} are constant "
            "(or blank): nothing can be learned about them. Drop them."
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


def some_columns(names: Sequence[Any], which: Tensor) -> str:
    """The first of some columns, for messages."""
    chosen = [names[index] for index in which.nonzero().flatten().tolist()]
    more = f" and {len(chosen) - 5} more" if len(chosen) > 5 else ""
    return f"columns {chosen[:5]}{more}"


def read_columns_like(table: Any, known: Sequence[Any]) -> Tensor:
    """New rows in the order of columns that are known already.

    :param table: See :func:`read_columns`. Columns with names are put in the known order.
    :param known: Names of the columns that a network was fitted to.
    :returns: Values, ``(N, D)``.
    :raises ValueError: If the number of columns differs, or their names do.
    """
    values, names = read_columns(table)
    if len(names) != len(known):
        raise ValueError(f"Expected {len(known)} columns, but got {len(names)}.")
    if not hasattr(table, "columns") or list(known) == list(range(len(known))):
        return values  # one of them has no names: in the order that they are in
    other = [name for name in names if name not in known]
    if other:
        raise ValueError(
            f"Expected the columns {list(known)[:5]} that the network was fitted to, but got "
            f"{other[:5]}. Rename them, or pass an array to go by their order."
        )
    return values[:, [names.index(name) for name in known]]


def read_binary_like(table: Any, states: States, known: Sequence[Any]) -> Tensor:
    """New rows in a coding and an order of columns that are known already, without blank rows.

    :returns: Values, ``(N, D)``.
    :raises ValueError: If the columns or the coding differ, or nothing is answered.
    """
    values = read_columns_like(table, known)
    _check_coding(values, known, states)
    answered = ~values.isnan().all(1)
    if not answered.any():
        raise ValueError("Expected rows with answers, but all cells are blank.")
    return values[answered]


class CodedTable(NamedTuple):
    """Codes from 0, ``(N, D)``, their column names, their space and what each code stands for."""

    values: Tensor
    names: list[Any]
    space: StateSpace
    categories: list[int]


def read_categories(table: Any, num_categories: int | tuple[int, ...] | None = None) -> CodedTable:
    """A table of integer codes, checked.

    :param table: See :func:`read_columns`; no blanks.
    :param num_categories: See :class:`~pyro_rm.StateSpace`, for codes from 0. None: codes are
        those that some column holds, in their order, and each column has as many as up to its
        largest one.
    :returns: Codes from 0, names, the state space and the codes of the table.
    :raises ValueError: If columns hold blanks, fractions or codes out of range, or a single
        value where the number of categories was to be read from them, each named.
    """
    values, names = read_columns(table)
    wrong = values.isnan() | (values != values.round()) | (values < 0)
    if wrong.any():
        raise ValueError(
            f"Expected integer codes from 0, but {some_columns(names, wrong.any(0))} hold "
            f"{values[wrong][0].item():g}. Give blanks a code of their own."
        )
    categories = None
    if num_categories is None:
        _check_constant(values, names)
        found, values = values.unique(return_inverse=True)
        values, categories = values.to(torch.float64), found.long().tolist()
        num_categories = tuple(int(k) for k in values.amax(0) + 1)
    space = StateSpace(len(names), num_categories)
    if space.is_binary:
        raise ValueError("Expected a column with three values or more; use IsingNetwork.")
    above = values.amax(0) >= torch.tensor(space.categories)
    if above.any():
        raise ValueError(
            f"Expected codes below the number of categories, but {some_columns(names, above)} go "
            f"up to {values[:, above].max():g}."
        )
    return CodedTable(values, names, space, categories or list(range(space.max_categories)))
