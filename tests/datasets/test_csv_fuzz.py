"""Damaged CSV files become what a strict reference reads, or a warning, or an error."""

import math
import re

import pytest

from pyro_rm.datasets import read_csv_table

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
                assert end >= 0
                cell += text[place:end]
                place = end + 1
                if text[place : place + 1] != '"':
                    break
                cell, place = cell + '"', place + 1
            assert text[place : place + 1] in ("", "\n", separator)
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
    assert rows
    width = max(map(len, rows))
    rows = [row for row in rows if row != [""]] if width > 1 else rows
    assert all(len(row) == width for row in rows)
    return rows


def rows_of(text):
    fits = {}
    declared = re.match(r'"?sep=(.)"?\r?\n', text)
    if declared:
        return tokens(text[declared.end() :], declared[1]), declared[1]
    for separator in ",;\t|":
        try:
            rows = tokens(text, separator)
        except AssertionError:
            continue
        if len(rows[0]) > 1:
            fits[separator] = rows
    if len(fits) == 1:
        return fits.popitem()[::-1]
    assert not fits
    try:
        return tokens(text, " "), " "
    except AssertionError:
        return tokens(text, ","), ","


def numeral(cell, separator, comma):
    pattern = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
    if comma and "," in cell:
        assert "." not in cell
        cell = (
            cell.replace(",", ".") if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", cell, re.I) else ""
        )
    if not cell.isascii() or not re.fullmatch(pattern, cell, re.I):
        return None
    return float(cell) if math.isfinite(float(cell)) else None


def reference_table(text):
    rows, separator = rows_of(text)
    names, body = rows[0], rows[1:]
    assert body
    columns = [list(column) for column in zip(*body, strict=True)]
    keep = [i for i, name in enumerate(names) if name or any(columns[i])]
    if keep and not names[keep[0]]:
        assert keep[0] == 0
        assert any(columns[0] == [str(i + k) for i in range(len(body))] for k in (0, 1))
        keep = keep[1:]
    names, columns = [names[i] for i in keep], [columns[i] for i in keep]
    assert all(names)
    assert len(set(names)) == len(names)
    plain = [
        re.sub(",", "0", re.sub(r"\.", "0", n.removeprefix("-"), count=1), count=1) for n in names
    ]
    counting = [name for name, digits in zip(names, plain, strict=True) if digits.isdecimal()]
    if counting:
        assert len(counting) > 2
        assert all(name.isdecimal() for name in counting)
        assert [int(name) - int(counting[0]) for name in counting] == list(range(len(counting)))
        assert not any(counting[-1] in row for row in body)
    assert not any(n in c for n, c in zip(names, columns, strict=True) if n not in counting)
    cells = {cell for column in columns for cell in column}
    commas = {c for c in cells if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", c, re.I)}
    if separator != "," and commas:
        assert not all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", c) for c in commas)
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
        assert None not in read
        values.append(read)
    assert values
    return names, values


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


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path, outcomes, kind):
    def read(path):
        table = read_csv_table(path)
        names = [re.sub("\r\n|\r", "\n", name) for name in table.columns]
        return names, table.values.mT.tolist()

    found = outcomes(tmp_path / "x.csv", TABLES[kind], read, reference_table)
    print(kind, dict(found))
    assert min(found["read"], found["refused"]) > 0


@pytest.mark.parametrize("kind", TABLES)
def test_references_read_good_tables(tmp_path, kind):
    (tmp_path / "x.csv").write_bytes(TABLES[kind])
    table = read_csv_table(tmp_path / "x.csv")
    assert repr((table.columns, table.values.mT.tolist())) == repr(
        reference_table(TABLES[kind].decode("utf-8-sig"))
    )
