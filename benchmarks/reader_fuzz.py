"""Damaged tables and alignments: what is read without a word is what strict readers read.

Files of all formats are damaged: bytes and lines are flipped, deleted, inserted and doubled, cut
off and swapped; separators, line ends, case, white space and encodings change; compressed files
are damaged before and after they are packed. What `read_csv_table` and `read_alignment` take
without a warning is compared with two strict readers: pandas or Biopython, where these take the
file, and one that is written from the format's definition (`strict_readers.py`). *Silent
differences* are files that either reads otherwise, or that the second refuses.

Prints Markdown. Needs pandas and Biopython.
"""

import argparse
import bz2
import gzip
import io
import json
import lzma
import random
import re
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import strict_readers as strict

from pyro_rm.datasets import read_alignment, read_csv_table

QUOTED = b'"q, 1","q ""2""","c\nd"\r\n1,"0",NA\r\n0,1,N/A\r\n"1",1,0\r\n'
TABLES = {
    "commas.csv": b"a,b,c\n1,0,\n0,1,1\n1,1,0\n",
    "semicolons.csv": b"a;b;c\n1,5;0;NA\n2,25;1;0\n0;0;1\n",
    "declared.csv": b"sep=;\r\na;b\r\n1,5;0\r\n2;1\r\n",
    "tabs.tsv": b"\xef\xbb\xbfa\tb\n1\t0\n0\t1.5\n",
    "quotes.csv": QUOTED,
    "row_numbers.csv": b",a,b\n0,1,0\n1,0,1\n2,1,1\n",
    "numbers.csv": b"0,1,2\n1,0,1\n0,0,1\n1,1,0\n",
    "blanks.txt": b"a b c\n1 0 1\n0 1 .\n1 1 0\n",
    "truth.csv": b"a|b\nTRUE|0\nFALSE|1\nTRUE|1\n",
    "labels.csv": b'who,a,b\n"left, far",1,0\nright,0,NA\n,1,1\n',
    "utf16.csv": "größe,b\n1,0\n0,1\n".encode("utf-16"),
    "quotes.csv.gz": QUOTED,
    "commas.csv.bz2": b"a,b\n1,0\n0,1\n1,1\n",
    "tabs.csv.xz": b"a\tb\n1\t0\n0\t1\n",
    "pipes.csv.zip": b"a|b\n1|0\n0|1\n",
}
FASTA = b">one\nACDEF\nGHIK\n>two of a kind\nAC-EF\nGH.K\n>three\nXCDEF\nGHIK\n"
STOCKHOLM = b"""# STOCKHOLM 1.0
#=GF ID x

one ACDE
two A-DE
#=GC SS_cons HHHH

one FG
two .G
#=GC SS_cons HH
//
"""
ALIGNMENTS = {
    "wrapped.fasta": FASTA,
    "a3m.a3m": b">one\nACDEFG\n>two\nAC-aaEFG\n>three\nACDE-gG\n",
    "a2m.a2m": b">one\nAC..DEFG\n>two\nACaa-EFG\n>three\nAC.gDE-G\n",
    "colabfold.a3m": b"#6\t1\n>101\nACDEFG\n>two\t0.5\nAC-aaEFG\n",
    "pfam.sto": STOCKHOLM,
    "clustal.aln": b"CLUSTAL W (1)\n\none ACD 3\ntwo A-D 2\n    * *\n\none F 4\ntwo F 3\n    *\n",
    "omega.clustal": b"CLUSTAL O(1.2.4)\r\n\r\none  AC-DE\r\ntwo  ACKDE\r\n     **:.*\r\n",
    "lines.aln": b"ACDEFG\nAC-EFG\nACDE-G\n",
    "utf16.fasta": FASTA.decode().encode("utf-16"),
    "fasta.fasta.gz": FASTA,
    "pfam.sto.bz2": STOCKHOLM,
    "a3m.a3m.xz": b">one\nACDEFG\n>two\nAC-aaEFG\n",
    "lines.aln.zip": b"ACDEFG\nAC-EFG\n",
}
PIECES = [
    *(bytes([b]) for b in b"01,;|.\t \n\r\"'>#*-/:xANa~\x1c\x00\xe2\f\v"), b"\xef\xbb\xbf",
    b"\xc2\xa0", b"NA", b"n/a", b"#N/A", b"-9", b"1,5", b"1.234", b"1_0", b"inf", b"TRUE", b"\r\n",
    b"\n\n", b"//\n", b">s\n", b"A-D\n", b"sep=;\n", b'""', b"ss_pred", "\u0410".encode(), b"P1;",
]  # fmt: skip
SWAPS = [
    (b",", b";"), (b",", b"\t"), (b",", b"|"), (b",", b", "), (b";", b","), (b"\t", b" "),
    (b".", b","), (b"1", b"1.5"), (b"0", b"NA"), (b"\n", b"\r\n"), (b"\n", b"\r"), (b"\r\n", b"\n"),
    (b"\n", b"\n\n"), (b"\n", b" \n"), (b" ", b"  "), (b"-", b"."), (b"A", b"a"), (b'"', b"'"),
]  # fmt: skip
ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "utf-7")


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Bytes after one change."""
    at, stop = sorted(draw.choices(range(len(content) + 1), k=2))
    lines = content.split(b"\n")
    one, other = sorted(draw.choices(range(len(lines)), k=2))
    kind = draw.randrange(13)
    if kind < 2:
        return content[:at] + draw.choice(PIECES) + content[at + kind :]
    if kind == 2:
        return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
    if kind == 3:
        flipped = bytes(b ^ (1 << draw.randrange(8)) for b in content[at : at + 1])
        return content[:at] + flipped + content[at + 1 :]
    if kind == 4:
        return content[:at] + content[min(stop, at + 3) :]
    if kind == 5:
        return content[:at] + content[at:stop] + content[at:]
    if kind == 6:
        return content[:at]
    if kind == 7:
        lines[one], lines[other] = lines[other], lines[one]
        return b"\n".join(lines)
    if kind == 8:
        return b"\n".join(lines[:one] + lines[one + 1 :])
    if kind == 9:
        return b"\n".join([*lines[:other], lines[one], *lines[other:]])
    if kind == 10:
        return content.swapcase() if draw.random() < 0.3 else content.lower()
    if kind == 11:
        try:
            return content.decode().encode(draw.choice(ENCODINGS))
        except UnicodeError:
            return content[::-1]
    return content.replace(*draw.choice(SWAPS))


def packed(content: bytes, name: str, draw: random.Random) -> bytes:
    """Bytes in the compression that a name says, at times in two streams."""
    pack = {".gz": partial(gzip.compress, mtime=0), ".bz2": bz2.compress, ".xz": lzma.compress}.get(
        Path(name).suffix
    )
    if pack is not None:
        cut = draw.choice((0, len(content) // 2))
        streams = (content[:cut], content[cut:]) if cut else (content,)
        return b"".join(map(pack, streams))
    if not name.endswith(".zip"):
        return content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # of the same day each time
        kind = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        archive.writestr(zipfile.ZipInfo("x"), content, kind)
    return file.getvalue()


def made(content: bytes, name: str, draw: random.Random) -> bytes:
    """A damaged file: one to three changes, before or after it is packed."""
    afterwards = name.endswith((".gz", ".bz2", ".xz", ".zip")) and draw.random() < 0.5
    for _ in range(0 if afterwards else draw.choice((1, 1, 2, 3))):
        content = damaged(content, draw)
    content = packed(content, name, draw)
    for _ in range(draw.choice((1, 1, 2)) if afterwards else 0):
        content = damaged(content, draw)
    return content


def suffix_of(name: str) -> str:
    """Of a name without that of a compression."""
    return re.sub(r"\.(gz|bz2|xz|zip)$", "", name).rsplit(".", 1)[1]


def our_table(path: Path) -> Any:
    """Names, columns and labels."""
    labels = ["who"] if path.name.startswith("labels") else []
    found = read_csv_table(path, labels=labels)
    names, *texts = (
        [re.sub("\r\n|\r", "\n", cell) for cell in cells]
        for cells in (found.columns, *(found.labels[name] for name in labels))
    )
    return names, found.values.mT.tolist(), dict(zip(labels, texts, strict=True))


def strict_tables(content: bytes, name: str) -> list[Callable[[], Any]]:
    """By definition, and by pandas."""
    labels = ["who"] if name.startswith("labels") else []
    text, rows, separator = strict.rows_of(strict.decoded(strict.unpacked(content)))
    return [
        lambda: strict.table(rows, separator, labels),
        lambda: strict.table(strict.pandas_rows(text, separator), separator, labels),
    ]


def our_alignment(path: Path) -> Any:
    """Names and codes."""
    found = read_alignment(path)
    return found.names and [name.strip() for name in found.names], found.codes.tolist()


def strict_alignments(content: bytes, name: str) -> list[Callable[[], Any]]:
    """By definition, and by Biopython."""
    suffix = suffix_of(name)
    kind, lines = strict.kind_of(strict.decoded(strict.unpacked(content)), suffix)
    return [
        lambda: strict.codes(strict.strict_sequences(kind, lines), suffix),
        lambda: strict.codes(strict.biopython_sequences(kind, lines), suffix),
    ]


READERS: dict[str, tuple[dict[str, bytes], Callable[[Path], Any], Any]] = {
    "tables": (TABLES, our_table, strict_tables),
    "alignments": (ALIGNMENTS, our_alignment, strict_alignments),
}


def verdict(path: Path, read: Callable[[Path], Any], references: Any) -> str:
    """What becomes of a file."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = read(path)
        except ValueError as error:
            return "refused" if "Expected" in str(error) else f"different: {error}"
        except Exception as error:
            return f"different: {type(error).__name__}"
    if seen:
        return "warned"
    try:
        defined, library = references(path.read_bytes(), path.name)
        if repr(defined()) != repr(found):
            return "different: read otherwise by definition"
    except strict.Refused:
        return "different: refused by definition"
    try:
        same = repr(library()) == repr(found)
    except strict.Refused:
        return "equal to one"
    return "equal to both" if same else "different: read otherwise by the library"


def fuzz(reader: str, num_files: int, seed: int, show: bool = False) -> dict[str, Counter[str]]:
    """Verdicts on damaged files, by the file that was damaged."""
    sources, read, references = READERS[reader]
    draw, counts = random.Random(seed), {name: Counter[str]() for name in sources}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in sources.items():
            path = Path(folder) / name
            path.write_bytes(packed(content, name, draw))
            if not verdict(path, read, references).startswith("equal"):
                raise RuntimeError(f"Expected {name} to be read as it is.")
        for number in range(num_files):
            name = list(sources)[number % len(sources)]
            path = Path(folder) / name
            path.write_bytes(made(sources[name], name, draw))
            said = verdict(path, read, references)
            counts[name][said] += 1
            if show and said.startswith("different"):
                print(f"{name}: {said}: {path.read_bytes()!r}")
    return counts


def main() -> None:
    """Damage, read, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="of tables, and of alignments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print each silent difference")
    parser.add_argument("--json", type=Path, help="write counts here, too")
    options = parser.parse_args()
    columns = ("refused", "warned", "equal to both", "equal to one")
    print(f"| damaged | files | {' | '.join(columns)} | silent differences |")
    print("|---|" + "---|" * (len(columns) + 2))
    everything = {}
    for reader in READERS:
        counts = fuzz(reader, options.files, options.seed, options.show)
        everything[reader] = counts
        for name, found in {**counts, f"all {reader}": sum(counts.values(), Counter())}.items():
            cells = [found.total(), *(found[column] for column in columns)]
            cells.append(cells[0] - sum(cells[1:]))
            print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)
        for said, number in sum(counts.values(), Counter[str]()).items():
            if said.startswith("different"):
                print(f"{said}: {number}")
    if options.json is not None:
        options.json.write_text(json.dumps({"options": vars(options), **everything}, default=str))


if __name__ == "__main__":
    main()
