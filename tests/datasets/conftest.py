"""Damages files, and compares readers with strict references that share no code with them.

A damaged file must become what its reference reads, a warning, or an error. References fail an
assertion where a file is wrong or has two meanings. ``READER_FUZZ=10000`` sets how many damaged
files of each kind are tried.
"""

import os
import random
import warnings
from collections import Counter

import pytest

COUNT = int(os.environ.get("READER_FUZZ", "60"))
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


def decode(content):
    text = content.decode("utf-8", "replace")
    assert "\ufffd" not in text
    assert "\0" not in text
    return text.removeprefix("\ufeff")


def outcomes(path, content, read, reference):
    """How many damaged files were read, warned of and refused; fails where one is misread."""
    found, draw = Counter(), random.Random(0)
    for _ in range(COUNT):
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
            expected = reference(decode(changed))
        except AssertionError:
            pytest.fail(f"The reference refuses what was read: {changed!r}, as {result}")
        assert repr(result) == repr(expected), changed
        found["read"] += 1
    return found


@pytest.fixture(name="outcomes")
def _outcomes():
    return outcomes
