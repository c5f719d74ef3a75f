"""The header of a CSV file, told from a row of data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyro_rm.datasets.csv_rows import Row

_FEWEST = 3  # numbers that count up and are taken for names


def named_columns(
    rows: list[Row], header: bool | None, path: Path
) -> tuple[dict[str, tuple[str, ...]], list[int]]:
    """Columns by name; those without a name or content are left out.

    :param rows: All rows.
    :param header: Whether the first holds names; None: it must look like names.
    :param path: The file, for messages.
    :returns: Cells of each column, of which one without a name counts rows; and their lines.
    :raises ValueError: If there are no rows of data, or names are missing, repeated or could
        be data.
    """
    if len(rows) < 1 + (header is not False):
        raise ValueError(f"Expected a header and rows in {path}, but got {len(rows)} lines.")
    body = rows if header is False else rows[1:]
    columns = list(zip(*(row.cells for row in body), strict=True))
    lines = [row.line for row in body]
    if header is False:
        return {str(number): column for number, column in enumerate(columns)}, lines
    names = rows[0].cells
    if header is None and _may_be_data(names, columns):
        raise ValueError(
            f"Expected names of columns in line {rows[0].line} of {path}, but got {names[:5]}, "
            "which could be data. Say header=True if they are names, or header=False if the file "
            "has none."
        )
    kept = [i for i, name in enumerate(names) if name or any(columns[i])]
    for i in kept:
        if not names[i] and (i > 0 or not _count_rows(columns[i])):
            raise ValueError(
                f"Expected a name for each column of {path}, but column {i + 1} has none. Add one "
                f"in line {rows[0].line}."
            )
    names = [names[i] for i in kept]
    if not any(names):
        line = rows[0].line
        raise ValueError(f"Expected names of columns in line {line} of {path}, but got none.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"Expected different names of columns in {path}, but got {twice!r} twice. Rename one, "
            "or say header=False if the file has no header."
        )
    return dict(zip(names, (columns[i] for i in kept), strict=True)), lines


def _count_rows(cells: Sequence[str]) -> bool:
    """Whether cells count rows from 0 or 1, as pandas and R write them."""
    return any(list(cells) == [str(i + start) for i in range(len(cells))] for start in (0, 1))


def _may_be_data(names: list[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether a line holds numbers that do not count columns, or words found below them."""
    plain = [name.removeprefix("-").replace(".", "0", 1).replace(",", "0", 1) for name in names]
    numbers = [name for name, digits in zip(names, plain, strict=True) if digits.isdecimal()]
    words = [i for i, name in enumerate(names) if name and name not in numbers]
    if any(names[i] in columns[i] for i in words):
        return True
    if not numbers:
        return False
    first = int(numbers[0]) if numbers[0].isdecimal() else 0
    counts = numbers == [str(first + i) for i in range(len(numbers))]
    found_below = any(numbers[-1] in column for column in columns)
    return not counts or len(numbers) < _FEWEST or found_below
