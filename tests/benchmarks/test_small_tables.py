"""A small version of the benchmark of small and sparse tables."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "small_tables.py"


@pytest.mark.parametrize("part", ["noise", "structure", "rare", "sparse"])
def test_parts_print_their_tables(monkeypatch, capsys, part):
    monkeypatch.setattr(sys, "argv", ["small_tables.py", "--part", part, "--num-sets", "2"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| all |")]
    cells = rows[0].strip("| ").split(" | ")
    refused = int(cells[2 if part in ("noise", "structure") else 3])
    assert refused == 0
    if part == "structure":
        assert int(cells[3]) + int(cells[5]) > 10  # true edges, found and missed
    elif part != "noise":
        assert int(cells[1]) == 2 * (10 if part == "rare" else 15)
