"""Tables of numbers and blanks from CSV files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

_BLANKS = {"", "na", "nan", "?", "null", "none"}


class CsvTable(NamedTuple):
    """Numbers, ``(N, D)``, NaN where blank; their columns' names; columns of text by name."""

    values: Tensor
    names: list[str]
    labels: dict[str, list[str]]


def read_csv_table(path: str | Path) -> CsvTable:
    """Read a CSV file with a header line.

    :param path: The file. Blank cells, ``NA``, ``NaN``, ``null``, ``None`` and ``?`` are NaN.
    :returns: Numbers; columns that hold any text are set aside as labels.
    :raises ValueError: If there is no header or no row, or a row is longer or shorter.
    """
    path = Path(path)
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = [row for row in csv.reader(handle) if row]
    if len(rows) < 2:
        raise ValueError(f"Expected a header and rows in {path.name}, but got {len(rows)} lines.")
    header = [name.strip() for name in rows[0]]
    if all(_number(name) is not None for name in header):
        raise ValueError(
            f"Expected names of columns in the first line of {path.name}, but got {header[:5]}. "
            "Add a header line."
        )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"Expected different names of columns, but got {twice!r} twice.")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise ValueError(
                f"Expected {len(header)} cells in each row of {path.name}, but got {len(row)} in "
                f"row {number}."
            )
    columns = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
    numbers = {name: [_number(cell) for cell in column] for name, column in columns.items()}
    names = [name for name in header if None not in numbers[name]]
    labels = {name: list(columns[name]) for name in header if name not in names}
    values = torch.tensor([numbers[name] for name in names], dtype=torch.float64)
    return CsvTable(values.view(len(names), len(rows) - 1).mT.contiguous(), names, labels)


def _number(cell: str) -> float | None:
    """The number in a cell, NaN if it is blank, None if it is text."""
    if cell.strip().lower() in _BLANKS:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return None
