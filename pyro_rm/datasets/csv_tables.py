"""Tables of numbers and blanks from CSV files."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_rm.datasets.csv_header import named_columns
from pyro_rm.datasets.csv_rows import split_rows
from pyro_rm.datasets.text_files import read_text

# Of pandas, R, SAS, Stata (with .a to .z), SPSS, Excel, Minitab, databases and C, in lower case.
BLANKS = frozenset({
    "", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "nan(ind)", "-nan(ind)",
    "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "null", "#null!", "none", "\\n", "?", "*", ".",
    "._", *(f".{letter}" for letter in ascii_lowercase),
})  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+", re.ASCII)
_TRUTH = {"true": 1.0, "false": 0.0}
_OFTEN_BLANK = {9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 9999, 99999}


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


def read_csv_table(
    path: str | Path,
    *,
    labels: Collection[str] = (),
    codes: Mapping[str, Any] | None = None,
    separator: str | None = None,
    header: bool | None = None,
) -> CsvTable:
    """Read a CSV file, compressed or not.

    What a file could mean in two ways is refused, with the options that say which. Blank cells,
    all that pandas takes for blanks (``NA``, ``N/A``, ``#N/A``, ``NaN``, ``None`` ...) and those
    of statistics packages (``.``, ``.a``, ``?``, ``*``, ``#NULL!``) are NaN. ``TRUE`` and
    ``FALSE`` are 1 and 0. A comma is a decimal mark only where it does not separate cells.
    Columns without any number are set aside with a warning that names them.

    :param path: The file, in UTF-8 or UTF-16.
    :param labels: Names of columns to set aside without a warning: text, or numbers that only
        identify a row.
    :param codes: What cells stand for, ``{"no": 0, "yes": 1, "refused": nan}``, in all columns,
        or by column, ``{"q3": {"9": nan}}``.
    :param separator: What separates cells; None: comma, semicolon, tab, vertical bar or blanks,
        whichever gives each row the same number of cells.
    :param header: Whether the first line holds names; without, they are ``"0"``, ``"1"`` ....
        None: it must look like names.
    :returns: Numbers, and what was set aside.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If it is not a table in text, a row is longer or shorter, names are
        missing, repeated or look like data, no column holds numbers, or one holds numbers and
        text.

    Example:

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "answers.csv"
        ...     _ = path.write_text("sad;tired;sex\\n1;0;f\\n1;N/A;m\\n")
        ...     table = read_csv_table(path, labels=["sex"])
        >>> table.columns
        ['sad', 'tired']
        >>> table.values
        tensor([[1., 0.],
                [1., nan]], dtype=torch.float64)

    .. note:: The file is read into memory.
    """
    path = Path(path)
    rows, separator = split_rows(read_text(path, "a CSV file"), path, separator)
    columns, lines = named_columns(rows, header, path)
    strange = {*labels, *(key for key, own in (codes or {}).items() if isinstance(own, Mapping))}
    if isinstance(labels, str) or not strange <= set(columns):
        raise ValueError(
            f"Expected labels and codes of columns among {list(columns)} of {path}, but got "
            f"{labels if isinstance(labels, str) else list(strange - set(columns))!r}."
        )
    answers = {name: cells for name, cells in columns.items() if name and name not in labels}
    parse = _Parser(answers.values(), separator, codes or {})
    numbers: dict[str, list[float]] = {}
    for name, cells in answers.items():
        read = parse(name, cells)
        wrong = [index for index, number in enumerate(read) if number is None]
        if not wrong:
            numbers[name] = [number for number in read if number is not None]
            _mention_codes(name, numbers[name], parse.codes(name))
        elif any(number is not None and not math.isnan(number) for number in set(read)):
            cell = cells[wrong[0]]
            raise ValueError(
                f"Expected numbers or blanks in column {name!r} of {path}, but got {cell!r} in "
                f"line {lines[wrong[0]]}. Remove that line if it is not data; else say what the "
                f"word stands for, such as codes={{{cell!r}: float('nan')}} for a blank, or set "
                f"the column aside by labels=[{name!r}]."
            )
    _mention_text([name for name in answers if name not in numbers], numbers, path, separator)
    parsed = torch.tensor(list(numbers.values()), dtype=torch.float64)
    values = parsed.view(len(numbers), len(lines)).mT.contiguous()
    aside = {name: list(cells) for name, cells in columns.items() if name not in numbers}
    return CsvTable(values, list(numbers), aside)


class _Parser:
    """What cells of a file stand for."""

    def __init__(
        self, columns: Iterable[Sequence[str]], separator: str, codes: Mapping[str, Any]
    ) -> None:
        self._codes = codes
        self._comma, self._dot = False, True
        if separator != ",":
            cells = {cell for column in columns for cell in column}
            commas = {cell for cell in cells if _COMMA.fullmatch(cell)}
            dots = {cell for cell in cells if "." in cell and _NUMBER.fullmatch(cell)}
            # 1,234 and, where semicolons leave the comma to decimals, 1.234 may be thousands
            self._comma = not dots and not all(map(_THOUSANDS.fullmatch, commas))
            self._dot = separator != ";" or not all(map(_THOUSANDS.fullmatch, dots))

    def __call__(self, column: str, cells: Sequence[str]) -> list[float | None]:
        """The number in each cell, NaN if it is blank, None if it is text."""
        codes, different = self.codes(column), set(cells)
        words = {cell.lower() for cell in different} - BLANKS
        truth = _TRUTH if words <= set(_TRUTH) else {}
        numbers: dict[str, float | None] = {}
        for cell in different:
            number, lower = self._number(cell), cell.lower()
            blank = math.nan if lower in BLANKS else truth.get(lower)
            plain = blank if number is None else number
            numbers[cell] = codes.get(cell if number is None else number, plain)
        return [numbers[cell] for cell in cells]

    def codes(self, column: str) -> dict[str | float, float]:
        """Codes that were given for a column, by text, or by number."""
        given = {key: code for key, code in self._codes.items() if not isinstance(code, Mapping)}
        own = self._codes.get(column)
        found: dict[str | float, float] = {}
        for key, code in {**given, **(own if isinstance(own, Mapping) else {})}.items():
            text = str(key).strip()
            number = self._number(text)
            try:
                found[text if number is None else number] = float(code)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"Expected codes as numbers, NaN for a blank, but got {code!r} for {key!r}."
                ) from error
        return found

    def _number(self, cell: str) -> float | None:
        if self._comma and _COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        elif not _NUMBER.fullmatch(cell) or ("." in cell and not self._dot):
            return None
        number = float(cell)
        return number if math.isfinite(number) else None


def _mention_text(text: list[str], numbers: Collection[str], path: Path, separator: str) -> None:
    """Warn of columns without any number; refuse if there are no others."""
    if text and not numbers:
        raise ValueError(
            f"Expected a column of numbers in {path}, but cells separated by {separator!r} make "
            f"columns of text, {text[:5]}. Say separator=..., or what words stand for, such as "
            "codes={'no': 0, 'yes': 1}."
        )
    if text:
        warnings.warn(
            f"Columns {text} of {path} hold text and are set aside. Say labels={text} if they "
            "are labels; if they are answers, what words stand for: codes={'no': 0, 'yes': 1}.",
            stacklevel=3,
        )


def _mention_codes(name: str, column: list[float], codes: Mapping[str | float, float]) -> None:
    """Warn of numbers that lie apart from the others and that many surveys give to blanks."""
    odd, rest = odd_codes({n for n in set(column) if not math.isnan(n)}, codes.values())
    if not odd:
        return
    given = ", ".join(f"{number:g}" for number in sorted(odd))
    key = f"{min(odd):g}"
    warnings.warn(
        f"Column {name!r} holds {given} beside numbers from {min(rest):g} to {max(rest):g}. If "
        f"that stands for a blank, say codes={{{name!r}: {{{key!r}: float('nan')}}}}; if not, "
        f"{{{name!r}: {{{key!r}: {key}}}}}.",
        stacklevel=3,
    )


def odd_codes(
    values: Collection[float], known: Collection[float] = ()
) -> tuple[set[float], set[float]]:
    """Numbers that lie apart from the others and that many surveys give to blanks.

    :param values: The different numbers of a column.
    :param known: Those of which it was said what they are.
    :returns: These numbers, if any, and the others.

    Example:

        >>> odd_codes({1.0, 2.0, 3.0, 99.0})[0]
        {99.0}
    """
    odd = {number for number in values if abs(number) in _OFTEN_BLANK or number in (-7, -8)}
    rest = set(values) - odd
    odd -= set(known)
    apart = odd and len(rest) > 1 and max(map(abs, rest)) < 0.8 * min(map(abs, odd))
    return odd if apart else set(), rest
