"""Tables of numbers and blanks from CSV files."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_rm.checks import existing_file

_BLANKS = {"", "na", "nan", "?", "null", "none"}


class CsvTable(NamedTuple):
    """A table of numbers, which networks fit as they do a data frame.

    :param values: Numbers, ``(N, D)``, NaN where blank.
    :param columns: Their names.
    :param labels: Columns of text by name.
    """

    values: Tensor
    columns: list[str]
    labels: dict[str, list[str]]

    def drop(self, columns: Collection[str]) -> CsvTable:
        """The table without some columns, such as numbers that only identify a row.

        :param columns: Their names.
        :returns: The other columns, in their order.
        :raises ValueError: If there is no such column.
        """
        unknown = [name for name in columns if name not in self.columns]
        if isinstance(columns, str) or unknown:
            raise ValueError(f"Expected some of the columns {self.columns}, but got {columns!r}.")
        kept = [i for i, name in enumerate(self.columns) if name not in columns]
        return CsvTable(self.values[:, kept], [self.columns[i] for i in kept], self.labels)

    def to_numpy(self) -> Any:
        """The numbers as an array, ``(N, D)``."""
        return self.values.numpy()


def read_csv_table(path: str | Path) -> CsvTable:
    """Read a CSV file with a header line.

    :param path: The file. Blank cells, ``NA``, ``NaN``, ``null``, ``None`` and ``?`` are NaN.
    :returns: Numbers; columns that hold any text are set aside as labels.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If it is no text in UTF-8, there is no header or no row, or a row is
        longer or shorter.

    Example:

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "answers.csv"
        ...     _ = path.write_text("sad,tired,sex\\n1,0,f\\n1,,m\\n")
        ...     table = read_csv_table(path)
        >>> table.columns
        ['sad', 'tired']
        >>> table.values
        tensor([[1., 0.],
                [1., nan]], dtype=torch.float64)

    .. note:: The file is read into memory.
    """
    path = existing_file(path, "a CSV file")
    rows = _rows(path)
    if len(rows) < 2:
        raise ValueError(f"Expected a header and rows in {path}, but got {len(rows)} lines.")
    header = [name.strip() for name in rows[0]]
    if all(_number(name) is not None for name in header):
        raise ValueError(
            f"Expected names of columns in the first line of {path}, but got {header[:5]}. "
            "Add a header line."
        )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"Expected different names of columns in {path}, but got {twice!r} twice.")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise ValueError(
                f"Expected {len(header)} cells in each row of {path}, but got {len(row)} in "
                f"row {number}."
            )
    columns = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
    numbers = {name: [_number(cell) for cell in column] for name, column in columns.items()}
    names = [name for name in header if None not in numbers[name]]
    labels = {name: list(columns[name]) for name in header if name not in names}
    values = torch.tensor([numbers[name] for name in names], dtype=torch.float64)
    return CsvTable(values.view(len(names), len(rows) - 1).mT.contiguous(), names, labels)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as handle:
        try:
            return [row for row in csv.reader(handle) if row]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"Expected CSV in {path}, but got: {error}. Save it as text in UTF-8."
            ) from error


def _number(cell: str) -> float | None:
    """The number in a cell, NaN if it is blank, None if it is text."""
    if cell.strip().lower() in _BLANKS:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return None
