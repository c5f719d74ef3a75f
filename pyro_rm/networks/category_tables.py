"""Tables of categories and alignments, as codes from 0."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.datasets.csv_tables import odd_codes
from pyro_rm.networks.columns import (
    Table,
    cells_like,
    check_constant,
    counted_rows,
    numbers,
    read_cells,
    row_weights,
    some_columns,
)
from pyro_rm.networks.words import Labels, category_words
from pyro_rm.state_space import StateSpace


def read_categories(
    table: Any,
    num_categories: int | tuple[int, ...] | None = None,
    sample_weight: Any = None,
) -> Table:
    """A table of codes or words, or an alignment, checked; rows that say nothing are left out.

    :param table: See :func:`read_cells`; with columns of text, each has categories of its own, see
        :func:`~pyro_rm.networks.words.category_words`. Or an
        :class:`~pyro_rm.datasets.Alignment`, whose letters are the categories of every position,
        conserved or not.
    :param num_categories: See :class:`~pyro_rm.StateSpace`, for codes from 0. None: codes are
        those that some column holds, in their order, and each column has as many as up to its
        largest one.
    :param sample_weight: See :func:`row_weights`.
    :returns: The table, in codes from 0.
    :raises TypeError: If it is a masked array.
    :raises ValueError: If columns hold fractions or codes out of range, or a single value where
        the number of categories was to be read from them, each named.

    Example:

        >>> read_categories([[1, 5], [5, 1], [3, float("nan")]]).categories
        [1, 3, 5]
    """
    categories: list[Any] | None = None
    if is_alignment(table):
        categories, table = list(table.alphabet), table.codes
        num_categories = len(categories) if num_categories is None else num_categories
    if isinstance(table, np.ma.MaskedArray):  # what is masked may be a category of its own, or not
        raise TypeError(
            "Expected codes with NaN where blank, but got a masked array. Say "
            "x.astype(float).filled(numpy.nan)."
        )
    cells, names = read_cells(table)
    weights = row_weights(sample_weight, len(cells), table)
    weighty = slice(None) if weights is None else (weights > 0).numpy()
    labels = category_words(table, cells[weighty], names)
    values = numbers(cells, names, labels)
    counted, num_blank = counted_rows(values, weights), int(values.isnan().sum())
    values, weights = values[counted], None if weights is None else weights[counted]
    blank = values.isnan()
    if labels is not None and num_categories is None:
        num_categories = tuple(max(1, len(own or ())) for own in labels)
        check_constant(values, names)
    elif labels is None:
        _check_codes(values, names)
    if num_categories is None:
        check_constant(values, names)
        _mention_codes(values, names)
        found = values[~blank].unique()
        values = torch.searchsorted(found, values).double().masked_fill(blank, torch.nan)
        categories = found.long().tolist()
        num_categories = tuple(int(k) for k in values.nan_to_num(0).amax(0) + 1)
    space = StateSpace(len(names), num_categories)
    if space.is_binary:
        raise ValueError(
            "Expected a column with three values or more, but all have two: use IsingNetwork."
        )
    above = values.nan_to_num(0).amax(0) >= torch.tensor(space.categories)
    if above.any():
        raise ValueError(
            f"Expected codes below the number of categories, but {some_columns(names, above)} go "
            f"up to {values[:, above].nan_to_num(0).max():g}."
        )
    known = categories or list(range(space.max_categories))
    return Table(values, names, space, known, weights, num_blank, labels)


def read_categories_like(
    table: Any,
    categories: Sequence[Any],
    space: StateSpace,
    known: Sequence[Any],
    labels: Labels | None = None,
) -> Tensor:
    """New rows in codes and an order of columns that are known already.

    :param table: As for :func:`read_categories`; letters, where an alignment was fitted.
    :param categories: What the codes stand for.
    :param space: The state space.
    :param known: Names of the columns.
    :param labels: The answers of each column, where there was text.
    :returns: Codes from 0, ``(N, D)``, NaN where blank.
    :raises ValueError: If the columns differ, or a code or answer is not one of a column.
    """
    letters = isinstance(categories[0], str)
    if is_alignment(table):
        if letters and list(table.alphabet) != list(categories):
            raise ValueError(
                f"Expected the alphabet {''.join(categories)!r} of the fit, but got "
                f"{table.alphabet!r}. Read the alignment with alphabet=...."
            )
        table = table.codes
    elif letters and np.asarray(table).dtype.kind == "U":
        places = {letter: float(code) for code, letter in enumerate(categories)}
        table = np.vectorize(lambda letter: places.get(letter, -1.0))(table)
    cells = cells_like(table, known)
    if labels is not None:
        return numbers(cells, known, labels)
    values = numbers(cells, known)
    codes_of = torch.as_tensor(range(len(categories)) if letters else categories).to(values)
    codes = torch.searchsorted(codes_of, values.nan_to_num(0)).clamp(max=len(codes_of) - 1)
    blank = values.isnan()
    new = (codes_of[codes] != values) & ~blank | (codes >= torch.tensor(space.categories))
    if new.any():
        raise ValueError(
            f"Expected the codes {list(categories)} of the fit, but got others in "
            f"{some_columns(known, new.any(0))}."
        )
    return codes.double().masked_fill(blank, torch.nan)


def is_alignment(table: Any) -> bool:
    """Whether something is an :class:`~pyro_rm.datasets.Alignment`."""
    return hasattr(table, "codes") and hasattr(table, "alphabet")


def _check_codes(values: Tensor, names: Sequence[Any]) -> None:
    wrong = ~values.isnan() & ((values != values.round()) | (values < 0) | values.isinf())
    if wrong.any():
        code = values[wrong][0].item()
        blank = f" If that stands for a blank, say table.replace({code:g}, float('nan'))."
        raise ValueError(
            f"Expected integer codes from 0, but {some_columns(names, wrong.any(0))} hold "
            f"{code:g}.{blank if code < 0 else ''}"
        )


def _mention_codes(values: Tensor, names: Sequence[Any]) -> None:
    """Warn of codes that lie apart from the others and that many surveys give to blanks."""
    for column, name in zip(values.mT, names, strict=True):
        odd, rest = odd_codes(set(column[~column.isnan()].tolist()))
        if odd:
            warnings.warn(
                f"Column {name!r} holds {min(odd):g} beside codes from {min(rest):g} to "
                f"{max(rest):g}, as a category. If that stands for a blank, say "
                f"table.replace({min(odd):g}, float('nan')).",
                stacklevel=5,
            )
            break
