"""Damaged files become what a strict reference reads, or a warning, or an error; nothing else.

The references below share no code with the readers and give up where a file has two meanings.
``READER_FUZZ=10000`` sets how many damaged files of each kind are tried.
"""

import math
import os
import random
import re
import warnings
from collections import Counter

import pytest

from pyro_rm.datasets import read_alignment, read_csv_table

COUNT = int(os.environ.get("READER_FUZZ", "60"))


class Doubt(Exception):
    """What a reference raises where a file is wrong or has two meanings."""


def require(condition):
    if not condition:
        raise Doubt


def decoded(content):
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Doubt from None
    require("\0" not in text)
    return text.removeprefix("\ufeff")


# --- tables ---

BLANK = """ na n/a #n/a #na <na> nan -nan nan(ind) -nan(ind) 1.#ind -1.#ind 1.#qnan -1.#qnan null
#null! none \\n ? * . ._ .a .b .c .d .e .f .g .h .i .j .k .l .m .n .o .p .q .r .s .t .u .v .w .x .y
.z""".split()  # noqa: SIM905
WHITE = " \t\n\r\v\f"


def tokens(text, separator):
    """Rows of cells, character by character."""
    if separator == " ":
        text = re.sub(r"\s+(?=[\r\n]|$)", lambda m: "\n" * bool(set(m[0]) & {"\n", "\r"}), text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    rows, row, place = [], [], 0
    while place < len(text):
        while text[place : place + 1] == " ":
            place += 1
        cell = ""
        if text[place : place + 1] == '"':
            place += 1
            while True:
                end = text.find('"', place)
                require(end >= 0)
                cell += text[place:end]
                place = end + 1
                if text[place : place + 1] != '"':
                    break
                cell, place = cell + '"', place + 1
            require(text[place : place + 1] in ("", "\n", separator))
        else:
            match = re.compile(f"[^\n{re.escape(separator)}]*").match(text, place)
            cell, place = match[0], match.end()
        row.append(cell.strip(WHITE))
        if text[place : place + 1] != separator:
            rows.append(row)
            row = []
        place += 1
    if row:
        rows.append([*row, ""])
    require(rows)
    width = max(map(len, rows))
    rows = [row for row in rows if row != [""]] if width > 1 else rows
    require(all(len(row) == width for row in rows))
    return rows


def rows_of(text):
    fits = {}
    declared = re.match(r'"?sep=(.)"?\r?\n', text)
    if declared:
        return tokens(text[declared.end() :], declared[1]), declared[1]
    for separator in ",;\t|":
        try:
            rows = tokens(text, separator)
        except Doubt:
            continue
        if len(rows[0]) > 1:
            fits[separator] = rows
    if len(fits) == 1:
        return fits.popitem()[::-1]
    require(not fits)
    try:
        return tokens(text, " "), " "
    except Doubt:
        return tokens(text, ","), ","


def numeral(cell, separator, comma):
    pattern = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
    if comma and "," in cell:
        require("." not in cell)
        cell = (
            cell.replace(",", ".") if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", cell, re.I) else ""
        )
    if not cell.isascii() or not re.fullmatch(pattern, cell, re.I):
        return None
    return float(cell) if math.isfinite(float(cell)) else None


def reference_table(content):
    rows, separator = rows_of(decoded(content))
    names, body = rows[0], rows[1:]
    require(body)
    columns = [list(column) for column in zip(*body, strict=True)]
    keep = [i for i, name in enumerate(names) if name or any(columns[i])]
    if keep and not names[keep[0]]:
        require(keep[0] == 0)
        require(any(columns[0] == [str(i + k) for i in range(len(body))] for k in (0, 1)))
        keep = keep[1:]
    names, columns = [names[i] for i in keep], [columns[i] for i in keep]
    require(all(names) and len(set(names)) == len(names))
    plain = [
        re.sub(",", "0", re.sub(r"\.", "0", n.removeprefix("-"), count=1), count=1) for n in names
    ]
    counting = [name for name, digits in zip(names, plain, strict=True) if digits.isdecimal()]
    if counting:
        require(len(counting) > 2 and all(name.isdecimal() for name in counting))
        require([int(name) - int(counting[0]) for name in counting] == list(range(len(counting))))
        require(not any(counting[-1] in row for row in body))
    require(not any(n in c for n, c in zip(names, columns, strict=True) if n not in counting))
    cells = {cell for column in columns for cell in column}
    commas = {c for c in cells if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", c, re.I)}
    if separator != "," and commas:
        require(not all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", c) for c in commas))
    values = []
    for column in columns:
        words = {cell.lower() for cell in column} - {*BLANK, "", "#n/a n/a"}
        read = []
        for cell in column:
            if cell.lower() in {*BLANK, "", "#n/a n/a"}:
                read.append(math.nan)
            elif words <= {"true", "false"}:
                read.append(float(cell.lower() == "true"))
            else:
                read.append(numeral(cell, separator, separator != ","))
        require(None not in read)
        values.append(read)
    require(values)
    return names, values


# --- alignments ---

LETTERS = "-ACDEFGHIKLMNPQRSTVWY"


def code(letter):
    require(letter.isascii() and (letter.isalpha() or letter in "-."))
    return max(LETTERS.find(letter.upper()), 0)


def reference_alignment(content, suffix):
    lines = re.split("\r\n|\r|\n", decoded(content))
    filled = [line for line in lines if line.strip(WHITE)]
    require(filled)
    if filled[0].startswith("# STOCKHOLM") or re.match(r"CLUSTAL\b", filled[0], re.I):
        rows = blocks(lines[lines.index(filled[0]) + 1 :], filled[0][0] == "#")
    elif filled[0].startswith(">"):
        rows = "\n".join(filled).removeprefix(">").split("\n>")
        require(not any(re.match("[A-Z][A-Z0-9];", row) for row in rows))
        rows = ["".join(row.split("\n")[1:]) for row in rows]
    else:
        require(suffix == "aln")
        rows = [line.strip(WHITE) for line in filled]
        require(all(not set(row) & set(WHITE) and row == row.upper() for row in rows))
    rows = ["".join(c for c in row if c not in " \t\v\f") for row in rows]
    codes = [
        [
            code(c)
            for c in row
            if code(c) + 1 and not (suffix == "a3m" and (c.islower() or c == "."))
        ]
        for row in rows
    ]
    require(codes and len(codes[0]) > 0 and len(set(map(len, codes))) == 1)
    return codes


def blocks(lines, stockholm):
    if stockholm:
        last = [line for line in lines if line.strip(WHITE)][-1:]
        require(last and last[0].startswith("//"))
        require(sum(line.startswith("//") for line in lines) == 1)
        lines = [line for line in lines if not line.startswith(("//", "#=G"))]
    else:
        lines = [
            line for line in lines
            if not line.strip(WHITE) or not (line[0].isspace() and set(line) <= set(" *:.\t"))
        ]  # fmt: skip
    parts, block = {}, {}
    for line in [*lines, ""]:
        words = line.strip(WHITE).split()
        if words:
            if not stockholm and len(words) > 2 and words[-1].isdecimal():
                words = words[:-1]
            require(len(words) > 1 and words[0] not in block and words[0][0] != "#")
            block[words[0]] = "".join(words[1:])
        elif block:
            require(len(set(map(len, block.values()))) == 1)
            require(not parts or list(parts) == list(block))
            parts = {name: parts.get(name, "") + piece for name, piece in block.items()}
            block = {}
    return list(parts.values())


# --- damage ---

PIECES = [
    *(bytes([b]) for b in b"01,;|.\t \n\r\"'>#*-/:xANa~\x1c\x00\xe2\f\v"), b"\xef\xbb\xbf",
    b"\xc2\xa0", b"NA",
    b"n/a", b"#N/A", b"-9", b"1,5", b"1.234", b"1_0", b"inf", b"TRUE", b"\r\n", b"\n\n",
    b"//\n", b">s\n", b"A-D\n", b"sep=;\n", b'""', b"ss_pred", "\u0410".encode(), b"P1;",
]  # fmt: skip
SWAPS = [
    (b",", b";"), (b",", b"\t"), (b",", b", "), (b".", b","), (b"1", b"1.5"), (b"0", b"NA"),
    (b"\n", b"\r\n"), (b"\n", b"\r"), (b"\n", b"\n\n"), (b" ", b"  "), (b"-", b"."), (b"A", b"a"),
]  # fmt: skip


def damaged(content, draw):
    for _ in range(draw.choice((1, 1, 2, 3))):
        at, stop = sorted(draw.choices(range(len(content) + 1), k=2))
        lines = content.split(b"\n")
        one, other = draw.choices(range(len(lines)), k=2)
        kind = draw.randrange(8)
        if kind == 0:
            content = content[:at] + draw.choice(PIECES) + content[at:]
        elif kind == 1:
            content = content[:at] + draw.choice(PIECES) + content[at + 1 :]
        elif kind == 2:
            content = content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
        elif kind == 3:
            content = content[:at] + content[min(stop, at + 3) :]
        elif kind == 4:
            content = content[:at] + content[at:stop] + content[at:]
        elif kind == 5:
            lines[one], lines[other] = lines[other], lines[one]
            content = b"\n".join(lines)
        elif kind == 6:
            content = content.replace(*draw.choice(SWAPS))
        else:
            content = b"\n".join(lines[:one] + lines[one + 1 :])
    return content


TABLES = {
    "commas": b"a,b,c\n1,0,\n0,1,1\n1,1,0\n",
    "semicolons": b"a;b;c\n1,5;0;NA\n2,25;1;0\n0;0;1\n",
    "tabs": b"\xef\xbb\xbfa\tb\n1\t0\n0\t1.5\n",
    "quotes": b'"q, 1","q ""2""","c\nd"\r\n1,"0",NA\r\n0,1,N/A\r\n"1",1,0\r\n',
    "row numbers": b",a,b\n0,1,0\n1,0,1\n2,1,1\n",
    "numbers": b"0,1,2\n1,0,1\n0,0,1\n1,1,0\n",
    "blanks": b"a b c\n1 0 1\n0 1 .\n1 1 0\n",
    "truth": b"a|b\nTRUE|0\nFALSE|1\nTRUE|1\n",
}
ALIGNMENTS = {
    "fasta": b">one\nACDEF\nGHIK\n>two\nAC-EF\nGH.K\n>three\nXCDEF\nGHIK\n",
    "a3m": b">one\nACDEFG\n>two\nAC-aaEFG\n>three\nACDE-gG\n",
    "sto": b"# STOCKHOLM 1.0\n#=GF ID x\n\none ACDE\ntwo A-DE\n\none FG\ntwo .G\n#=GC SS HH\n//\n",
    "clustal": b"CLUSTAL W (1)\n\none  ACDE 4\ntwo  A-DE 3\n     * **\n\none  FG 6\ntwo  FG 5\n",
    "aln": b"ACDEFG\nAC-EFG\nACDE-G\n",
}


def outcomes(path, content, read, reference, count):
    """How many damaged files were read, warned of and refused; fails where one is misread."""
    found, draw = Counter(), random.Random(0)
    for _ in range(count):
        changed = damaged(content, draw)
        path.write_bytes(changed)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                result = read(path)
            except ValueError as error:
                assert "Expected" in str(error), changed  # noqa: PT017
                found["refused"] += 1
                continue
        if seen:
            found["warned"] += 1
            continue
        try:
            expected = reference(changed)
        except Doubt:
            pytest.fail(f"The reference refuses what was read: {changed!r}, as {result}")
        assert repr(result) == repr(expected), changed
        found["read"] += 1
    return found


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path, kind):
    def read(path):
        table = read_csv_table(path)
        names = [re.sub("\r\n|\r", "\n", name) for name in table.columns]
        return names, table.values.mT.tolist()

    found = outcomes(tmp_path / "x.csv", TABLES[kind], read, reference_table, COUNT)
    print(kind, dict(found))
    assert min(found["read"], found["refused"]) > 0


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_alignments(tmp_path, kind):
    def read(path):
        return read_alignment(path).codes.tolist()

    def reference(content):
        return reference_alignment(content, kind)

    found = outcomes(tmp_path / f"x.{kind}", ALIGNMENTS[kind], read, reference, COUNT)
    print(kind, dict(found))
    assert min(found["read"], found["refused"]) > 0


@pytest.mark.parametrize("kind", TABLES)
def test_references_read_good_tables(tmp_path, kind):
    (tmp_path / "x.csv").write_bytes(TABLES[kind])
    table = read_csv_table(tmp_path / "x.csv")
    assert repr((table.columns, table.values.mT.tolist())) == repr(reference_table(TABLES[kind]))
