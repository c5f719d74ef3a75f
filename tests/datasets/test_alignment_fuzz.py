"""Damaged alignments become what a strict reference reads, or a warning, or an error."""

import re

import pytest

from pyro_rm.datasets import read_alignment

WHITE = " \t\n\r\v\f"
LETTERS = "-ACDEFGHIKLMNPQRSTVWY"


def code(letter):
    assert letter.isascii()
    assert letter.isalpha() or letter in "-."
    return max(LETTERS.find(letter.upper()), 0)


def reference_alignment(text, suffix):
    lines = re.split("\r\n|\r|\n", text)
    filled = [line for line in lines if line.strip(WHITE)]
    assert filled
    if filled[0].startswith("# STOCKHOLM") or re.match(r"CLUSTAL\b", filled[0], re.I):
        rows = blocks(lines[lines.index(filled[0]) + 1 :], filled[0][0] == "#")
    elif filled[0].startswith(">"):
        rows = "\n".join(filled).removeprefix(">").split("\n>")
        assert not any(re.match("[A-Z][A-Z0-9];", row) for row in rows)
        rows = ["".join(row.split("\n")[1:]) for row in rows]
    else:
        assert suffix == "aln"
        rows = [line.strip(WHITE) for line in filled]
        assert all(not set(row) & set(WHITE) and row == row.upper() for row in rows)
    rows = ["".join(c for c in row if c not in " \t\v\f") for row in rows]
    codes = [
        [
            code(c)
            for c in row
            if code(c) + 1 and not (suffix == "a3m" and (c.islower() or c == "."))
        ]
        for row in rows
    ]
    assert codes
    assert len(codes[0]) > 0
    assert len(set(map(len, codes))) == 1
    return codes


def blocks(lines, stockholm):
    if stockholm:
        last = [line for line in lines if line.strip(WHITE)][-1:]
        assert last
        assert last[0].startswith("//")
        assert sum(line.startswith("//") for line in lines) == 1
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
            assert len(words) > 1
            assert words[0] not in block
            assert words[0][0] != "#"
            block[words[0]] = "".join(words[1:])
        elif block:
            assert len(set(map(len, block.values()))) == 1
            assert not parts or list(parts) == list(block)
            parts = {name: parts.get(name, "") + piece for name, piece in block.items()}
            block = {}
    return list(parts.values())


ALIGNMENTS = {
    "fasta": b">one\nACDEF\nGHIK\n>two\nAC-EF\nGH.K\n>three\nXCDEF\nGHIK\n",
    "a3m": b">one\nACDEFG\n>two\nAC-aaEFG\n>three\nACDE-gG\n",
    "sto": b"# STOCKHOLM 1.0\n#=GF ID x\n\none ACDE\ntwo A-DE\n\none FG\ntwo .G\n#=GC SS HH\n//\n",
    "clustal": b"CLUSTAL W (1)\n\none  ACDE 4\ntwo  A-DE 3\n     * **\n\none  FG 6\ntwo  FG 5\n",
    "aln": b"ACDEFG\nAC-EFG\nACDE-G\n",
}


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_alignments(tmp_path, outcomes, kind):
    def read(path):
        return read_alignment(path).codes.tolist()

    def reference(text):
        return reference_alignment(text, kind)

    found = outcomes(tmp_path / f"x.{kind}", ALIGNMENTS[kind], read, reference)
    print(kind, dict(found))
    assert min(found["read"], found["refused"]) > 0
