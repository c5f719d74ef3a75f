"""The demo runs."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_digits(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "argv", ["digits.py", "--smoke", "--out", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "digits.py"), run_name="__main__")
    assert "RBM" in capsys.readouterr().out
    assert (tmp_path / "digits.png").stat().st_size > 1000
