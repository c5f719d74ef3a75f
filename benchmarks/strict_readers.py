"""Strict readers of tables and alignments, which share no code with the package.

Text is split twice: by pandas or Biopython, and by readers that are written from the formats'
definitions. A file that is wrong, or that could mean two things, raises `Refused`.
"""

import bz2
import gzip
import io
import lzma
import math
import re
import warnings
import zipfile
from collections.abc import Collection

import pandas
from Bio import AlignIO, SeqIO

BLANK = {"", "#n/a n/a", *"""na n/a #n/a #na <na> nan -nan nan(ind) -nan(ind) 1.#ind -1.#ind 1.#qnan
-1.#qnan null #null! none \\n ? * . ._ .a .b .c .d .e .f .g .h .i .j .k .l .m .n .o .p .q .r .s .t
.u .v .w .x .y .z""".split()}  # fmt: skip # noqa: SIM905
WHITE = " \t\n\r\v\f"
LETTERS = "-ACDEFGHIKLMNPQRSTVWY"
ANNOTATIONS = ("ss_pred", "ss_conf", "ss_dssp", "sa_dssp", "aa_pred", "aa_dssp")
_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.I | re.A)
Table = tuple[list[str], list[list[float]], dict[str, list[str]]]
Sequences = tuple[list[str] | None, list[str]]


class Refused(Exception):
    """A file that no strict reader takes."""


def need(condition: object) -> None:
    """Refuse unless something holds."""
    if not condition:
        raise Refused


def unpacked(content: bytes) -> bytes:
    """What a compressed file holds: all its streams, and nothing after them."""
    try:
        if content.startswith(b"PK\3\4"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return archive.read(*archive.namelist())  # one, for a second is a password
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
        streams = {b"BZh": bz2.BZ2Decompressor, b"\xfd7zXZ\0": lzma.LZMADecompressor}
        for magic in filter(content.startswith, streams):
            parts = []
            while content:
                reader = streams[magic]()
                parts.append(reader.decompress(content))
                need(reader.eof)
                content = reader.unused_data
            return b"".join(parts)
    except Exception as error:
        raise Refused from error
    return content


def decoded(content: bytes) -> str:
    """Text of bytes, by their mark; without one, UTF-8."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    except UnicodeDecodeError as error:
        raise Refused from error
    need("\0" not in text)
    return text.lstrip("\ufeff")


def tokens(text: str, separator: str) -> list[list[str]]:
    """Rows of cells, character by character."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if separator == " ":
        text = re.sub(r"[ \t\v\f]+(?=\n|$)", "", text).replace("\t", " ")
    rows, row, place = [], [], 0
    while place < len(text):
        while text[place : place + 1] == " ":
            place += 1
        cell = ""
        if text[place : place + 1] == '"':
            place += 1
            while True:
                end = text.find('"', place)
                need(end >= 0)
                cell += text[place:end]
                place = end + 1
                if text[place : place + 1] != '"':
                    break
                cell, place = cell + '"', place + 1
            need(text[place : place + 1] in ("", "\n", separator))
        else:
            end = place
            while text[end : end + 1] not in ("", "\n", separator):
                end += 1
            cell, place = text[place:end], end
        row.append(cell.strip(WHITE))
        if text[place : place + 1] != separator:
            rows += [row] if len(row) > 1 or text[place - 1 : place].strip("\n") else []
            row = []
        place += 1
    return even([*rows, [*row, ""]] if row else rows)


def even(rows: list[list[str]]) -> list[list[str]]:
    """Rows that are not empty, all of one length."""
    width = max(map(len, rows), default=0)
    rows = [row for row in rows if row != [""]] if width > 1 else rows
    need(rows and all(len(row) == width for row in rows))
    return rows


def rows_of(text: str) -> tuple[str, list[list[str]], str]:
    """The text without a declaration, its rows, and the only separator that fits."""
    if declared := re.match(r'"?sep=(.)"?\r?\n', text):
        text = text[declared.end() :]
        return text, tokens(text, declared[1]), declared[1]
    fits = {}
    for separator in ",;\t|":
        try:
            rows = tokens(text, separator)
        except Refused:
            continue
        if len(rows[0]) > 1:
            fits[separator] = rows
    need(len(fits) < 2)
    for separator in fits or " ,":
        try:
            rows = fits.get(separator) or tokens(text, separator)
            need(len(rows[0]) > 1 or not set(text) & set(",;\t|"))
            return text, rows, separator
        except Refused:
            pass
    raise Refused


def pandas_rows(text: str, separator: str) -> list[list[str]]:
    """Rows of cells as pandas splits them, where it does."""
    text = re.sub("\r\n|\r", "\n", text)  # after a bare "\r", it loses an empty cell
    need(not re.search(r'^[ \t]*(""|[\v\f])\s*$', text, re.M))  # a row to it, not an empty line
    try:
        frame = pandas.read_csv(
            io.StringIO(text, newline=""), sep=r"\s+" if separator == " " else separator,
            header=None, dtype=str, keep_default_na=False, skipinitialspace=True,
        )  # fmt: skip
    except Exception as error:
        raise Refused from error
    need(not frame.isna().any(axis=None))  # it fills rows that are too short
    return even([[cell.strip(WHITE) for cell in row] for row in frame.to_numpy().tolist()])


def number(cell: str, comma: bool) -> float:
    """The number that a cell holds."""
    if comma and _COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    need(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", cell, re.I | re.A))
    need(math.isfinite(float(cell)))
    return float(cell)


def named(rows: list[list[str]]) -> dict[str, list[str]]:
    """Columns by names that cannot be data."""
    names, body = rows[0], rows[1:]
    need(body)
    columns = list(map(list, zip(*body, strict=True)))
    keep = [i for i, name in enumerate(names) if name or any(columns[i])]
    if keep and not names[keep[0]]:
        need(keep[0] == 0)
        need(any(columns[0] == [str(i + k) for i in range(len(body))] for k in (0, 1)))
        del keep[0]
    names = [names[i] for i in keep]
    need(all(names) and len(set(names)) == len(names))
    counting = [
        name for name in names
        if name.removeprefix("-").replace(".", "0", 1).replace(",", "0", 1).isdecimal()
    ]  # fmt: skip
    if counting:
        need(len(counting) > 2 and all(name.isdecimal() for name in counting))
        need([int(name) - int(counting[0]) for name in counting] == list(range(len(counting))))
        need(not any(counting[-1] in row for row in body))
    found = {name: columns[i] for name, i in zip(names, keep, strict=True)}
    need(not any(name in found[name] for name in names if name not in counting))
    return found


def table(rows: list[list[str]], separator: str, labels: Collection[str] = ()) -> Table:
    """Names of columns, their numbers, and labels."""
    columns = named(rows)
    need(set(labels) <= set(columns))
    answers = {name: column for name, column in columns.items() if name not in labels}
    cells = {cell for column in answers.values() for cell in column}
    commas = set(filter(_COMMA.fullmatch, cells))
    if separator != "," and commas:
        need(not all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", c) for c in commas))
    values = []
    for column in answers.values():
        words = {cell.lower() for cell in column} - BLANK
        read = []
        for cell in column:
            if cell.lower() in BLANK:
                read.append(math.nan)
            elif words <= {"true", "false"}:
                read.append(float(cell.lower() == "true"))
            else:
                read.append(number(cell, separator != ","))
        values.append(read)
    need(values)
    return list(answers), values, {name: columns[name] for name in columns if name in labels}


def kind_of(text: str, suffix: str) -> tuple[str, list[str]]:
    """The format, and lines from the first that is not blank."""
    lines = re.split("\r\n|\r|\n", text)
    start = next((i for i, line in enumerate(lines) if line.strip(WHITE)), None)
    need(start is not None)
    lines = lines[start:]
    if lines[0].startswith("# STOCKHOLM"):
        return "stockholm", lines
    if re.match(r"(CLUSTAL[OWX]?|MUSCLE)\b", lines[0], re.I):
        return "clustal", lines
    while lines and (lines[0].startswith("#") or not lines[0].strip(WHITE)):
        lines = lines[1:]
    if lines and lines[0].startswith(">"):
        return "fasta", lines
    need(suffix == "aln")
    return "lines", re.split("\r\n|\r|\n", text)


def strict_sequences(kind: str, lines: list[str]) -> Sequences:
    """Names and sequences by the definition of the format."""
    if kind in ("stockholm", "clustal"):
        pieces = _blocks(lines[1:], kind == "stockholm")
        return list(pieces), list(pieces.values())
    filled = [line for line in lines if line.strip(WHITE)]
    if kind == "lines":
        rows = [line.strip(WHITE) for line in filled]
        need(all(not set(row) & set(WHITE) and row == row.upper() for row in rows))
        return None, rows
    records = [r.split("\n") for r in "\n".join(filled).removeprefix(">").split("\n>")]
    need(not any(re.match("[A-Z][A-Z0-9];", name) for name, *_ in records))
    need(not any(name.startswith(ANNOTATIONS) for name, *_ in records))
    return [name.strip() for name, *_ in records], ["".join(rest) for _, *rest in records]


def _blocks(lines: list[str], stockholm: bool) -> dict[str, str]:
    """Blocks of names and pieces, the same names in each."""
    if stockholm:
        last = [line for line in lines if line.strip(WHITE)][-1:]
        need(last and last[0].startswith("//"))
        need(sum(line.startswith("//") for line in lines) == 1)
        lines = [line for line in lines if not line.startswith(("//", "#=G"))]
    else:
        lines = [
            line for line in lines
            if not line.strip(WHITE) or not (line[0].isspace() and set(line) <= set(" *:.\t"))
        ]  # fmt: skip
    pieces, block = dict[str, str](), dict[str, str]()
    for line in [*lines, ""]:
        words = line.strip(WHITE).split()
        if words:
            counted = not stockholm and len(words) > 2 and words[-1].isdecimal()
            count = words.pop() if counted else ""
            need(len(words) > 1 and words[0] not in block and words[0][0] != "#")
            block[words[0]] = "".join(words[1:])
            so_far = pieces.get(words[0], "") + block[words[0]]
            need(not count or int(count) == len(re.sub("[-.]", "", so_far)))
        elif block:
            need(len(set(map(len, block.values()))) == 1)
            need(not pieces or list(pieces) == list(block))
            pieces = {name: pieces.get(name, "") + piece for name, piece in block.items()}
            block = {}
    return pieces


def biopython_sequences(kind: str, lines: list[str]) -> Sequences:
    """Names and sequences as Biopython reads them, where it does."""
    read = SeqIO.parse if kind == "fasta" else AlignIO.read
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            records = list(read(io.StringIO("\n".join(lines) + "\n"), kind))
    except Exception as error:
        raise Refused from error
    names = [(record.description if kind == "fasta" else record.id).strip() for record in records]
    return names, [str(record.seq) for record in records]


def codes(sequences: Sequences, suffix: str) -> tuple[list[str] | None, list[list[int]]]:
    """Names, and places in the alphabet; insertions are dropped where the suffix says so."""
    found = []
    for sequence in sequences[1]:
        row = [letter for letter in sequence if letter not in " \t\v\f"]
        need(all(x.isascii() and (x.isalpha() or x in "-.") for x in row))
        if suffix in ("a2m", "a3m"):
            row = [letter for letter in row if not letter.islower() and letter != "."]
        found.append([max(LETTERS.find(letter.upper()), 0) for letter in row])
    need(found and found[0] and len(set(map(len, found))) == 1)
    return sequences[0], found
