"""Sequences in text: FASTA, A2M, A3M, Stockholm, CLUSTAL and one sequence a line."""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from itertools import dropwhile, groupby
from pathlib import Path
from typing import NamedTuple

_WHITE = " \t\n\v\f"
_CLUSTAL = re.compile(r"(CLUSTAL[OWX]?|MUSCLE|MSAPROBS|PROBCONS|KALIGN)\b", re.IGNORECASE)
_PIR = re.compile(r">[A-Z][A-Z0-9];")
_WITH_HEADERS = (
    ".fasta", ".fa", ".fas", ".afa", ".faa", ".fna", ".mfa", ".a2m", ".a3m",
    ".sto", ".sth", ".stk", ".stockholm", ".clustal", ".clustalw", ".clw",
)  # fmt: skip
_ANNOTATIONS = (">ss_pred", ">ss_conf", ">ss_dssp", ">sa_dssp", ">aa_pred", ">aa_dssp")

Line = tuple[int, str]


class Records(NamedTuple):
    """Sequences without white space, and their names where the format has some."""

    sequences: list[str]
    names: list[str] | None


def parse_records(text: str, path: Path, suffix: str) -> Records:
    """Sequences from text; its first line tells the format.

    :param text: The content of the file, with line ends of any kind.
    :param path: The file, for messages.
    :param suffix: Of its name, in lower case and without that of a compression. Names of formats
        with headers rule out sequences without.
    :returns: One sequence or more; lengths are not compared.
    :raises ValueError: If a line does not fit the format, naming it.
    """
    lines = [(n, line.strip("\n")) for n, line in enumerate(io.StringIO(text, newline=None), 1)]
    filled = [(n, line) for n, line in lines if line.strip(_WHITE)]
    first = filled[0] if filled else (0, "")
    if first[1].startswith("# STOCKHOLM"):
        return _stockholm(lines[first[0] :], path)
    if _CLUSTAL.match(first[1]):
        return _clustal(lines[first[0] :], path)
    # ColabFold and HH-suite begin with comments
    records = list(dropwhile(lambda line: line[1].startswith("#"), filled))
    if records and records[0][1].startswith(">"):
        return _fasta(records, path)
    if not filled or suffix in _WITH_HEADERS:
        raise ValueError(
            "Expected sequences after lines that start with '>', or below '# STOCKHOLM 1.0' or "
            f"'CLUSTAL', but found none in {path}, or text before the first one."
        )
    return _plain(filled, path)


def _fasta(lines: list[Line], path: Path) -> Records:
    records: list[tuple[str, list[str]]] = []
    for number, line in lines:
        if _PIR.match(line):
            raise ValueError(
                f"Expected FASTA in {path}, but line {number} is a header of PIR: {line!r}. "
                "Convert the file to FASTA."
            )
        if line.startswith(">"):
            records.append((line, []))
        else:
            records[-1][1].append(_without_white(line))
    kept = [(name, parts) for name, parts in records if not name.startswith(_ANNOTATIONS)]
    if len(kept) < len(records):
        warnings.warn(
            f"{len(records) - len(kept)} records of {path} annotate structure (ss_pred, ss_conf "
            "...) and are left out.",
            stacklevel=4,
        )
    names = [name[1:].strip(_WHITE) for name, _ in kept]
    return Records(["".join(parts) for _, parts in kept], names)


def _stockholm(lines: list[Line], path: Path) -> Records:
    ends = [n for n, line in lines if line.startswith("//")]
    text_after = [n for n, line in lines if ends and n > ends[0] and line.strip(_WHITE)]
    if not ends or text_after:
        raise ValueError(
            f"Expected one Stockholm alignment in {path}, which '//' ends, but got "
            + (f"more in line {text_after[0]}. Split it." if ends else "none: it was cut short.")
        )
    kept = [(n, line) for n, line in lines if not line.startswith(("#=G", "//"))]
    return _interleaved(kept, path)


def _clustal(lines: list[Line], path: Path) -> Records:
    kept, residues, wrong = list[Line](), Counter[str](), list[int]()
    for number, line in lines:
        words = line.split()
        count = words.pop() if len(words) > 2 and words[-1].isdecimal() else None
        if not words or not line[0].isspace() or line.strip(" *:.\t"):  # not conservation
            kept.append((number, " ".join(words)))
            residues[words[0] if words else ""] += sum(map(str.isalpha, "".join(words[1:])))
            if count is not None and int(count) != residues[words[0]]:
                wrong.append(number)
    if wrong:
        warnings.warn(
            f"{path} counts other numbers of residues than it holds at the ends of {len(wrong)} "
            f"lines, first of line {wrong[0]}. Letters may be missing or gaps may be new.",
            stacklevel=4,
        )
    return _interleaved(kept, path)


def _interleaved(lines: list[Line], path: Path) -> Records:
    """Blocks of lines of a name and a part of its sequence, each with the same names."""
    pieces: dict[str, list[str]] = {}
    rows = [(n, line.strip(_WHITE)) for n, line in lines]
    for filled, group in groupby(rows, key=lambda row: bool(row[1])):
        block: dict[str, str] = {}
        for number, line in group if filled else ():
            name, *parts = line.split(maxsplit=1)
            if not parts or name in block or name.startswith("#"):
                raise ValueError(
                    f"Expected a new name and its sequence in line {number} of {path}, but got "
                    f"{line!r}."
                )
            block[name] = _without_white(parts[0])
            if len(block[name]) != len(next(iter(block.values()))):
                raise ValueError(
                    f"Expected lines of one length in each block of {path}, but line {number} "
                    "differs."
                )
        if block and pieces and list(block) != list(pieces):
            raise ValueError(
                f"Expected the same names in each block of {path}, but those above line "
                f"{number + 1} differ."
            )
        for name, piece in block.items():
            pieces.setdefault(name, []).append(piece)
    return Records(["".join(parts) for parts in pieces.values()], list(pieces))


def _plain(lines: list[Line], path: Path) -> Records:
    for number, line in lines:
        if len(line.split()) > 1 or line != line.upper():
            raise ValueError(
                f"Expected an alignment in FASTA, A2M, A3M, Stockholm or CLUSTAL, or one sequence "
                f"of capitals a line, but line {number} of {path} is {line[:40]!r}. Convert it."
            )
    return Records([_without_white(line) for _, line in lines], None)


def _without_white(line: str) -> str:
    return line.translate(dict.fromkeys(map(ord, _WHITE)))
