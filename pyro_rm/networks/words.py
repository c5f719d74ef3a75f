"""Columns of text: the answers that they hold, in an order that is stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyro_rm.datasets.csv_tables import BLANKS

TRUTH = {"no": 0.0, "yes": 1.0, "false": 0.0, "true": 1.0, "n": 0.0, "y": 1.0}
Labels = list[list[Any] | None]


def binary_words(table: Any, cells: Any, names: Sequence[Any]) -> Labels | None:
    """Which answer of each column of text is 0 and which is 1.

    Ordered categoricals say it themselves. Otherwise all columns must hold the same two words, of
    which the first in the order of their categories, or of the alphabet, is 0: couplings are the
    same if it is 1. Yes and no, true and false need no order.

    :param table: What the cells came from.
    :param cells: Its cells, ``(N, D)``.
    :param names: Names of the columns.
    :returns: Two answers for each column of text, None for others; None if there is no text.
    :raises TypeError: If it is not said which answer is 1, naming a column.

    Example:

        >>> cells = np.array([["left", "right"], ["right", "right"], ["right", "left"]])
        >>> binary_words(cells, cells, [0, 1])
        [['left', 'right'], ['left', 'right']]
    """
    answers = {
        number: [a for a in found if str(a).lower() not in BLANKS]
        for number, found in _text(cells, names).items()
        if not {str(a).lower() for a in found} - BLANKS <= TRUTH.keys()
    }
    if not answers:
        return None
    labels: Labels = [None] * len(names)
    declared = {number: declared_order(table, names[number]) for number in answers}
    for number, found in answers.items():
        order, ordered = declared[number]
        if ordered and len(own := [a for a in order if a in found]) == 2:
            labels[number] = own
    pool = sorted({a for n, found in answers.items() if not labels[n] for a in found})
    for number, found in answers.items():
        if labels[number]:
            continue
        if len(pool) != 2 or len(answers) < len(names) or any(labels):
            raise TypeError(_which_is_one(names[number], found))
    if pool:
        orders = {tuple(a for a in order if a in pool) for order, _ in declared.values()}
        own = list(orders.pop()) if len(orders) == 1 else pool
        labels = [own if len(own) == 2 else pool] * len(names)
    return labels


def category_words(table: Any, cells: Any, names: Sequence[Any]) -> Labels | None:
    """What the categories 0, 1, ... of each column are, where some column holds text.

    The answers that a column has, in the order of its categorical type, or else of the alphabet.

    :param table: What the cells came from.
    :param cells: Its cells, ``(N, D)``.
    :param names: Names of the columns.
    :returns: The answers of each column, those of numbers included; None if there is no text.
    :raises TypeError: If a word may stand for a blank, naming the column.
    """
    text = _text(cells, names)
    if cells.dtype == object:
        answers = {number: _distinct(column) for number, column in enumerate(cells.T)}
        text |= {n: own for n, own in answers.items() if own and all(type(a) is bool for a in own)}
    if not text or cells.dtype == bool:
        return None
    labels: Labels = []
    for number, name in enumerate(names):
        found = text.get(number) or _distinct(cells[:, number])
        if number in text:
            check_answers(found, name)
        order, _ = declared_order(table, name)
        own = [a for a in order if a in found]
        labels.append(own if len(own) == len(found) else found)
    return labels


def check_answers(found: Sequence[Any], name: Any) -> None:
    """Refuse words that usually stand for a blank.

    :param found: The answers in a column.
    :param name: Its name.
    :raises TypeError: If one of them is such a word.
    """
    blank = [a for a in found if str(a).lower() in BLANKS - {"", "none"}]
    if blank:
        raise TypeError(
            f"Expected answers or blanks in column {name!r}, but got {blank[0]!r}. If that stands "
            f"for a blank, say table.replace({blank[0]!r}, float('nan')); if not, name it "
            "otherwise."
        )


def coded(column: Any, name: Any, labels: Sequence[Any]) -> Any:
    """The place of each cell among the answers of its column, NaN where blank.

    :param column: Cells, ``(N,)``.
    :param name: The name of the column.
    :param labels: Its answers.
    :returns: Numbers, ``(N,)``.
    :raises ValueError: If a cell is not one of them.
    """
    places = {label: float(place) for place, label in enumerate(labels)}
    result = np.full(len(column), np.nan)
    for row, cell in enumerate(map(plain, column)):
        if cell in places:
            result[row] = places[cell]
        elif cell is not None and str(cell).lower() not in BLANKS:
            raise ValueError(
                f"Expected the answers {list(labels)} in column {name!r}, but got {cell!r}."
            )
    return result


def plain(cell: Any) -> Any:
    """A cell as Python has it; None where it is blank."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType") or cell != cell:
        return None
    if isinstance(cell, str):
        return str(cell).strip() or None
    return cell.item() if isinstance(cell, np.generic) else cell


def is_number(column: Any) -> bool:
    """Whether cells are numbers or blanks, numbers written as text included."""
    if column.dtype.kind in "biuf":
        return True
    try:
        np.array([plain(cell) for cell in column], dtype=object).astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _text(cells: Any, names: Sequence[Any]) -> dict[int, list[Any]]:
    """The answers of columns that are not numbers, by their numbers."""
    if cells.dtype.kind in "biufcmM":
        return {}
    text = {}
    for number, column in enumerate(cells.T):
        if not is_number(column):
            text[number] = found = _distinct(column)
            words = [a for a in found if isinstance(a, str)]
            other = [a for a in found if not isinstance(a, str | bool | int | float)]
            if other or len({word.lower() for word in words}) < len(words):
                raise TypeError(
                    f"Expected numbers or words that differ in more than case in column "
                    f"{names[number]!r}, but got {(other or words)[:3]}."
                )
    return text


def _distinct(column: Any) -> list[Any]:
    """The answers in a column, numbers first, sorted."""
    found = {plain(cell) for cell in column} - {None}
    return sorted(found, key=lambda a: (isinstance(a, str), a if isinstance(a, str) else float(a)))


def declared_order(table: Any, name: Any) -> tuple[list[Any], bool]:
    """The categories of a column of a data frame, and whether they are ordered."""
    if not hasattr(table, "columns"):
        return [], False
    kind: Any = getattr(table[name], "dtype", None)
    if type(kind).__name__ not in ("CategoricalDtype", "Enum"):
        return [], False
    return [plain(a) for a in kind.categories], bool(getattr(kind, "ordered", True))


def _which_is_one(name: Any, found: Sequence[Any]) -> str:
    shown = list(found)[:3]
    if len(found) != 2:
        blank = f" If {shown[1]!r}, say, is no answer, make it blank: " if len(found) == 3 else ""
        way_out = f"table.replace({shown[1]!r}, float('nan'))." if blank else ""
        return (
            f"Expected numbers, blanks, or yes and no in column {name!r}, but got text such as "
            f"{shown}.{blank}{way_out} Drop the column, or fit a PottsNetwork to more than two "
            "answers."
        )
    codes = {answer: code for code, answer in enumerate(found)}
    return (
        f"Expected numbers, blanks, or yes and no in column {name!r}, but got text such as "
        f"{shown} beside other columns. Say which answer is 1, as by "
        f"table[{name!r}].map({codes}), or drop the column."
    )
