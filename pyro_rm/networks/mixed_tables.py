"""Tables of ordinal, binary and nominal columns, each with its own categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.energies.ordinal import Site
from pyro_rm.networks.columns import Table, cells_like, counted_rows, read_cells, row_weights
from pyro_rm.networks.words import check_answers, declared_order, plain
from pyro_rm.state_space import StateSpace

KINDS = ("ordinal", "binary", "nominal")
_MOST_CATEGORIES = 20


class Column(NamedTuple):
    """What the cells of a column can be.

    :param kind: ``"ordinal"``, ``"binary"`` or ``"nominal"``.
    :param categories: What they are, in order.
    :param site: Scores from -1/2 to 1/2, or the number of nominal categories.
    """

    kind: str
    categories: list[Any]
    site: Site


def read_mixed(
    table: Any, kinds: str | Mapping[Any, str] | None = None, sample_weight: Any = None
) -> tuple[Table, list[Column]]:
    """A table of categories, read column by column; rows that say nothing are left out.

    Booleans and columns of two values are binary; ordered categoricals and numbers are ordinal,
    with scores by rank among the declared categories, or by value; text is nominal.

    :param table: See :func:`~pyro_rm.networks.columns.read_cells`.
    :param kinds: Kinds of some columns by name, or of all.
    :param sample_weight: See :func:`~pyro_rm.networks.columns.row_weights`.
    :returns: The table, in codes from 0, and what its columns are.
    :raises ValueError: If a column is constant, has more than 20 categories, or is not of the kind
        that is said; or all are binary.

    Example:

        >>> read_mixed([[1, 0], [2, 1], [5, 0]])[1]
        [Column(kind='ordinal', categories=[1, 2, 5], site=(-0.5, -0.25, 0.5)),
         Column(kind='binary', categories=[0, 1], site=(-0.5, 0.5))]
    """
    cells, names = read_cells(table)
    given = kinds if isinstance(kinds, Mapping) else dict.fromkeys(names, kinds)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"Expected kinds of columns, but {unknown[0]!r} is none of them.")
    weights = row_weights(sample_weight, len(cells), table)
    used = cells if weights is None else cells[weights.numpy() > 0]
    columns = [
        _column(own, name, given.get(name), declared_order(table, name))
        for own, name in zip(used.T, names, strict=True)
    ]
    values = _codes(cells, names, [column.categories for column in columns], weights)
    counted, num_blank = counted_rows(values, weights), int(values.isnan().sum())
    values, weights = values[counted], None if weights is None else weights[counted]
    space = StateSpace(len(names), tuple(len(column.categories) for column in columns))
    if space.is_binary:
        raise ValueError(
            "Expected a column with three values or more, but all have two: use IsingNetwork."
        )
    categories = [column.categories for column in columns]
    return Table(values, names, space, categories, weights, num_blank), columns


def read_mixed_like(table: Any, categories: Sequence[list[Any]], known: Sequence[Any]) -> Tensor:
    """New rows in codes and an order of columns that are known already.

    :param table: As for :func:`read_mixed`.
    :param categories: What each column can hold.
    :param known: Names of the columns.
    :returns: Codes from 0, ``(N, D)``, NaN where blank.
    :raises ValueError: If the columns differ, or a cell is not one of its column's categories.
    """
    return _codes(cells_like(table, known), known, categories)


def _codes(
    cells: Any,
    names: Sequence[Any],
    categories: Sequence[list[Any]],
    weights: Tensor | None = None,
) -> Tensor:
    """Codes from 0, NaN where blank; any code of what is new in a row without weight."""
    values = np.full(cells.shape, np.nan)
    for number, (name, own) in enumerate(zip(names, categories, strict=True)):
        places = {category: code for code, category in enumerate(own)}
        for row, cell in enumerate(map(plain, cells[:, number])):
            if cell is None:
                continue
            code = places.get(cell)
            if code is None and (weights is None or weights[row] > 0):
                raise ValueError(
                    f"Expected one of {own} in column {name!r}, as in the fit, but got {cell!r}. "
                    "Make it blank."
                )
            values[row, number] = code or 0
    return torch.from_numpy(values)


def _column(cells: Any, name: Any, given: str | None, declared: tuple[list[Any], bool]) -> Column:
    found = {plain(cell) for cell in cells} - {None}
    check_answers([answer for answer in found if isinstance(answer, str)], name)
    numbers = all(isinstance(cell, Real) for cell in found)
    if declared[0]:
        order = [category for category in declared[0] if category in found]
    else:
        order = sorted(found) if numbers else sorted(found, key=str)
    _check_found(order, name)
    has_order = declared[1] if declared[0] else numbers
    natural = "binary" if len(order) == 2 else "ordinal" if has_order else "nominal"
    kind = natural if given is None else given
    if kind not in KINDS:
        raise ValueError(f"Expected a kind among {KINDS}, but got {kind!r} of column {name!r}.")
    if kind == "binary" and len(order) > 2:
        raise ValueError(
            f"Expected two values in the binary column {name!r}, but got {len(order)}: {order[:5]}."
        )
    if kind == "ordinal" and len(order) > 2 and not has_order and not numbers:
        raise ValueError(
            f"Expected an order of {order[:3]} in the ordinal column {name!r}. Declare it, by "
            "pandas.Categorical(cells, categories=[...], ordered=True)."
        )
    if len(order) == 2 or kind == "nominal":
        return Column(kind, _whole(order), (-0.5, 0.5) if len(order) == 2 else len(order))
    ranks = [declared[0].index(c) for c in order] if declared[0] else [float(c) for c in order]
    scores = tuple((rank - ranks[0]) / (ranks[-1] - ranks[0]) - 0.5 for rank in ranks)
    return Column(kind, _whole(order), scores)


def _whole(categories: Sequence[Any]) -> list[Any]:
    """Whole numbers as integers."""
    whole = all(isinstance(c, float) and c.is_integer() for c in categories)
    return [int(c) for c in categories] if whole else list(categories)


def _check_found(order: Sequence[Any], name: Any) -> None:
    if len(order) < 2:
        raise ValueError(
            f"Expected columns of two values or more, but {name!r} is constant (or blank): nothing "
            "can be learned about it. Drop it."
        )
    if any(isinstance(category, Real) and abs(category) == inf for category in order):
        raise ValueError(f"Expected finite numbers in column {name!r}, but got infinite ones.")
    if len(order) > _MOST_CATEGORIES:
        raise ValueError(
            f"Expected up to {_MOST_CATEGORIES} categories, but column {name!r} has {len(order)}. "
            f"Bin it, as by pandas.cut, or drop it."
        )
