"""Tables as users hold them: numbers, names, blanks, weights of rows."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.datasets.csv_tables import BLANKS
from pyro_rm.networks.words import TRUTH, Labels, coded, is_number, plain
from pyro_rm.state_space import StateSpace


class Table(NamedTuple):
    """A table to fit.

    :param values: Values in the state space, NaN where blank, ``(N, D)``.
    :param names: Names of the columns.
    :param space: The state space.
    :param categories: What the values stand for in the table, from the first one; a list of these
        for each column if they differ.
    :param weights: Weights of the rows, ``(N,)``, or None.
    :param num_blank: Blanks, those of rows that were left out included.
    :param labels: The answers of columns of text, from category 0; None if there are none.
    """

    values: Tensor
    names: list[Any]
    space: StateSpace
    categories: list[Any]
    weights: Tensor | None
    num_blank: int
    labels: Labels | None = None

    def label(self, column: int, value: float) -> Any:
        """What a value of a column stands for."""
        low, high = self.space.states
        code, own = int((value - low) / (high - low)), self.labels and self.labels[column]
        if own is None:
            each = isinstance(self.categories[0], list)
            own = self.categories[column] if each else self.categories
        return own[code]


def read_cells(table: Any, *, min_rows: int = 2) -> tuple[Any, list[Any]]:
    """Cells and column names of an array, a tensor, a sparse matrix or a data frame.

    :param table: Anything of shape ``(N, D)`` that NumPy can read.
    :param min_rows: How many rows it needs.
    :returns: The cells, ``(N, D)``, and names (0, 1, ... where there are none).
    :raises TypeError: If it is a path, or holds complex numbers or dates.
    :raises ValueError: If it is not a matrix, has too few rows or columns, or a name twice.
    """
    if isinstance(table, (str, Path)):
        raise TypeError(
            f"Expected a table, but got the path {str(table)!r}. Read it by "
            "pyro_rm.datasets.read_csv_table or pandas.read_csv."
        )
    lazy = not hasattr(table, "to_numpy") and hasattr(table, "collect")
    named = isinstance(table, dict) and not hasattr(table, "toarray")  # sparse ones are dicts, too
    records = isinstance(table, (list, tuple)) and len(table) > 0 and isinstance(table[0], dict)
    named = named or records or bool(getattr(getattr(table, "dtype", None), "names", None))
    if lazy or named or hasattr(table, "column_names"):
        way_out = "table.collect()" if lazy else "pandas.DataFrame(table)"
        way_out = "table.to_pandas()" if hasattr(table, "to_pandas") else way_out
        what = f"{type(table).__name__}{' of dicts' if records else ''}"
        raise TypeError(f"Expected a table, but got a {what}. Pass {way_out} instead.")
    names = list(table.columns) if _has_names(table) else None
    array = _as_array(table)
    if array.ndim != 2:
        raise ValueError(f"Expected a table of rows and columns, but got shape {array.shape}.")
    if array.shape[0] < min_rows or array.shape[1] < 2:
        raise ValueError(
            f"Expected at least {min_rows} rows and 2 columns, but got "
            f"{array.shape[0]} x {array.shape[1]}."
        )
    names = list(range(array.shape[1])) if names is None else names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"Expected different column names, but got {twice[0]!r} more than once. Rename one."
        )
    kinds = [getattr(kind, "kind", None) for kind in (array.dtype, *getattr(table, "dtypes", []))]
    if {"c", "m", "M"} & {kind for kind in kinds if isinstance(kind, str)}:
        raise TypeError(
            "Expected real numbers or blanks in columns, but got complex numbers, dates or times."
        )
    return array, names


def numbers(cells: Any, names: Sequence[Any], labels: Labels | None = None) -> Tensor:
    """Cells as numbers.

    :param cells: The cells, ``(N, D)``; blanks are NaN or None.
    :param names: Names of the columns.
    :param labels: Answers of columns of text.
    :returns: Values, ``(N, D)``, NaN where blank.
    :raises TypeError: If a column does not hold numbers.
    :raises ValueError: If a cell is not one of the answers.
    """
    known = labels or [None] * len(names)
    columns = [
        _numbers(column, name) if own is None else coded(column, name, own)
        for column, name, own in zip(cells.T, names, known, strict=True)
    ]
    return torch.from_numpy(np.stack(columns, 1))


def row_weights(given: Any, num_rows: int, table: Any = None) -> Tensor | None:
    """Weights of rows; None if there are none.

    :param given: Numbers, ``(N,)``, or None.
    :param num_rows: Number of rows.
    :param table: What the rows are of.
    :returns: Shape ``(N,)``.
    :raises ValueError: If there is another number of them, one is negative or not finite, all are
        zero, or their index is that of the rows in another order.
    """
    if given is None:
        return None
    own, rows = (getattr(x, "index", ()) for x in (given, table))
    equals = getattr(own, "equals", None)  # both are of pandas
    if equals and hasattr(rows, "equals") and not equals(rows) and set(own) == set(rows):
        raise ValueError(
            "Expected sample_weight in the order of the rows, but its index has another one. Pass "
            "sample_weight.reindex(X.index), or sample_weight.to_numpy() to go by place."
        )
    try:
        weights = torch.from_numpy(np.array(_as_array(given), dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected sample_weight as numbers, but got others: {error}.") from error
    if weights.shape != (num_rows,):
        raise ValueError(
            f"Expected sample_weight of shape ({num_rows},), but got {tuple(weights.shape)}."
        )
    if not weights.isfinite().all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError("Expected sample_weight from 0, finite and not all zero, but got others.")
    return weights


def counted_rows(values: Tensor, weights: Tensor | None) -> Tensor:
    """Rows with an answer and a weight, as booleans."""
    counted = ~values.isnan().all(1)
    return counted if weights is None else counted & (weights > 0)


def _has_names(table: Any) -> bool:
    """Whether columns have names: data frames, and tables that were read from files."""
    return hasattr(table, "columns")


def _as_array(table: Any) -> Any:
    """A table as NumPy has it: masked cells are blank, sparse ones are zero."""
    if isinstance(table, Tensor):
        table = table.detach().cpu()
        table = table if table.layout == torch.strided else table.to_dense()
        return (table.float() if table.dtype == torch.bfloat16 else table).numpy()
    if hasattr(table, "toarray"):  # scipy.sparse
        return table.toarray()
    array = table.to_numpy() if hasattr(table, "to_numpy") else table
    if isinstance(array, np.ma.MaskedArray):
        masked: Any = array.astype(object)
        return masked.filled(np.nan)
    return np.asarray(array)


def _numbers(column: Any, name: Any) -> Any:
    if is_number(column):
        if column.dtype.kind in "biuf":
            return column.astype(np.float64)
        return np.array([plain(cell) for cell in column], dtype=object).astype(np.float64)
    cells = [plain(cell) for cell in column]
    words = [cell if cell is None else str(cell).lower() for cell in cells]
    if set(words) - {None} - BLANKS <= TRUTH.keys():
        return np.array([TRUTH.get(str(word), np.nan) for word in words])
    some = sorted({str(cell) for cell in cells if cell is not None})[:3]
    raise TypeError(
        f"Expected numbers, blanks, or yes and no in column {name!r}, but got text such as {some}. "
        "Say what the words stand for, or drop the column."
    )


def some_columns(names: Sequence[Any], which: Tensor) -> str:
    """The first of some columns, for messages."""
    chosen = [names[index] for index in which.nonzero().flatten().tolist()]
    more = f" and {len(chosen) - 5} more" if len(chosen) > 5 else ""
    return f"columns {chosen[:5]}{more}"


def cells_like(table: Any, known: Sequence[Any]) -> Any:
    """New rows in the order of columns that are known already.

    :param table: See :func:`read_cells`. Columns with names are put in the known order.
    :param known: Names of the columns that a network was fitted to.
    :returns: Cells, ``(N, D)``. Warns if only one of network and table has names.
    :raises ValueError: If the number of columns differs, or their names do.
    """
    cells, names = read_cells(table, min_rows=1)
    if len(names) != len(known):
        lacking = [name for name in known if name not in names]
        more = [name for name in names if name not in known]
        what = "".join(
            f"; {some[:5]} {are}"
            for some, are in ((lacking, "are missing"), (more, "were not fitted"))
            if some and _has_names(table)
        )
        raise ValueError(f"Expected {len(known)} columns, but got {len(names)}{what}.")
    named, numbered = _has_names(table), list(known) == list(range(len(known)))
    if named and set(names) == set(known):
        return cells[:, [names.index(name) for name in known]]
    if not named or numbered:
        order = f"its columns are taken in the order of {list(known)[:5]}"
        if named:
            warnings.warn(
                f"X has feature names, but the network was fitted without feature names: {order}.",
                stacklevel=5,
            )
        elif not numbered:
            warnings.warn(
                "X does not have valid feature names, but the network was fitted with feature "
                f"names: {order}. Pass a data frame with these names.",
                stacklevel=5,
            )
        return cells
    other = [name for name in names if name not in known]
    raise ValueError(
        f"Expected the columns {list(known)[:5]} that the network was fitted to, but got "
        f"{other[:5]}. Rename them, or pass an array to go by their order."
    )


def check_constant(values: Tensor, names: Sequence[Any]) -> None:
    """Refuse columns of one value or none."""
    low = values.nan_to_num(torch.inf).amin(0)
    high = values.nan_to_num(-torch.inf).amax(0)
    constant = low >= high
    if constant.any():
        raise ValueError(
            f"Expected columns with both values, but {some_columns(names, constant)} are constant "
            "(or blank): nothing can be learned about them. Drop them."
        )
