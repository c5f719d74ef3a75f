"""The rows of a CSV file: which separator, which lines, which header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_WHITE = " \t\r\n\v\f"
_SEPARATORS = (",", ";", "\t", "|")
_DECLARED = re.compile(r'"?sep=(.)"?\r?\n')  # a first line for Excel


class Row(NamedTuple):
    """Cells of a row, without white space around them, and the line where it starts."""

    line: int
    cells: list[str]


def split_rows(text: str, path: Path, separator: str | None) -> tuple[list[Row], str]:
    """Split text at the separator that gives every row the same number of cells.

    :param text: The content of the file.
    :param path: Its path, for messages.
    :param separator: One character; None: whichever of comma, semicolon, tab, vertical bar and
        runs of blanks fits.
    :returns: The rows, and the separator.
    :raises ValueError: If none or several fit, naming the first line that does not.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ValueError(f"Expected separator as one character, but got {separator!r}.")
    start = 1
    if separator is None and (declared := _DECLARED.match(text)):
        separator, text, start = declared[1], text[declared.end() :], 2
    if separator is not None:
        return _even_rows(text, path, separator, start), separator
    fits = {}
    for candidate in filter(text.__contains__, _SEPARATORS):
        try:
            rows = _even_rows(text, path, candidate, start)
        except ValueError:
            continue
        if rows and len(rows[0].cells) > 1:
            fits[candidate] = rows
    if len(fits) > 1:
        raise ValueError(
            f"Expected one separator of cells in {path}, but {list(fits)} all fit. Say which by "
            "separator=...."
        )
    if not fits:
        first = next((line for line in text.splitlines() if line.strip()), "")
        guess = max(_SEPARATORS, key=first.count)
        if guess not in first:
            guess = max(_SEPARATORS, key=text.count)
            try:
                rows = _even_rows(text, path, " ", start)
            except ValueError:
                rows = []
            if rows and (len(rows[0].cells) > 1 or guess not in text):
                return rows, " "
        return _even_rows(text, path, guess, start), guess
    ((candidate, rows),) = fits.items()
    return rows, candidate


def _even_rows(text: str, path: Path, separator: str, start: int) -> list[Row]:
    """Rows of as many cells as the first."""
    lines: Iterable[str] = io.StringIO(text, newline="")
    if separator == " ":
        lines = (line.rstrip(_WHITE).replace("\t", " ") + "\n" for line in lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[Row] = []
    line = start
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                f"Expected CSV in {path}, but got: {error}, in the row of line {line}. Close its "
                "quotation marks, and double those within a cell."
            ) from error
        if cells is None:
            break
        rows.append(Row(line, [cell.strip(_WHITE) for cell in cells]))
        line = start + reader.line_num
    width = next((len(row.cells) for row in rows if any(row.cells)), 0)
    if width > 1:
        rows = [row for row in rows if row.cells not in ([], [""])]
    else:
        rows = [row for row in rows if row.cells]
    for row in rows:
        if len(row.cells) != width:
            raise ValueError(
                f"Expected {width} cells separated by {separator!r} in each row of {path}, as in "
                f"the first, but got {len(row.cells)} in line {row.line}. If another character "
                "separates the cells, say separator=...."
            )
    return rows
