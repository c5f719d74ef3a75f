"""A small version of the fuzz of readers: what they take in silence is what strict readers read."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("reader", ["tables", "alignments"])
def test_no_silent_differences(monkeypatch, reader):
    pytest.importorskip("pandas")
    pytest.importorskip("Bio")
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    fuzz = runpy.run_path(str(FOLDER / "reader_fuzz.py"))["fuzz"]
    counts = fuzz(reader, 600, 0)
    said = {verdict for found in counts.values() for verdict in found}
    assert said <= {"refused", "warned", "equal to both", "equal to one"}
    assert all(found["refused"] and found.total() > found["refused"] for found in counts.values())
