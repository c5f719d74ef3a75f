"""What came in comes out: tables of the kind, with the names and the labels, that were given."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


def kind_of(table: Any) -> str:
    """``"pandas"`` or ``"polars"`` of data frames, else ``"array"``."""
    kind = type(table).__module__.split(".")[0]
    return kind if kind in ("pandas", "polars") else "array"


def labels_of(
    table: Any, names: Sequence[Any], codes: Tensor, known: Sequence[Sequence[Any]]
) -> list[list[Any]]:
    """How each column of a data frame writes each category, the first time that it does.

    :param table: The frame.
    :param names: The columns that ``codes`` and ``known`` are in the order of.
    :param codes: Its cells as numbers of categories, ``(N, D)``, NaN where blank.
    :param known: What stands for categories that a column does not show.
    :returns: For each column a label a category.
    """
    labels = []
    for name, column, usual in zip(names, codes.mT, known, strict=True):
        cells, own = np.asarray(table[name].to_numpy(), dtype=object), list(usual)
        for code in range(len(own)):
            rows = (column == code).nonzero()
            if len(rows):
                own[code] = cells[int(rows[0])]
        labels.append([label.item() if isinstance(label, np.generic) else label for label in own])
    return labels


def labeled(codes: Any, labels: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Numbers of categories, ``(N, D)``, as columns of labels."""
    return [[own[c] for c in column] for own, column in zip(labels, codes.T, strict=True)]


def frame(kind: str, names: Sequence[Any], columns: Sequence[Sequence[Any]]) -> Any:
    """A data frame of one of the kinds.

    :param kind: ``"pandas"`` or ``"polars"``.
    :param names: Names of the columns.
    :param columns: Their cells.
    :returns: The frame.
    :raises ImportError: If the package is not installed.
    """
    try:
        package = importlib.import_module(kind)
    except ImportError as error:
        raise ImportError(
            f"Expected {kind} for data frames; install it by pip install {kind}."
        ) from error
    return package.DataFrame(dict(zip(names, columns, strict=True)))


def completed(table: Any, names: Sequence[Any], blank: Any, cells: Sequence[Any]) -> Any:
    """A copy of a data frame with its blanks filled, in its types.

    :param table: The frame.
    :param names: The columns that ``blank`` and ``cells`` are in the order of.
    :param blank: Booleans, ``(N, D)``.
    :param cells: For each column what to put where it is blank, ``(N,)``.
    :returns: The frame.
    """
    columns = {}
    for number, name in enumerate(names):
        own = np.array(table[name].to_numpy(), dtype=object)
        own[blank[:, number]] = np.array(cells[number], dtype=object)[blank[:, number]]
        columns[name] = own.tolist()
    result = type(table)({name: columns[name] for name in table.columns})
    if hasattr(table, "index"):  # pandas
        result = result.set_index(table.index).astype(table.dtypes.to_dict())
    return result
