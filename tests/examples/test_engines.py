"""The examples of other engines run."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["distributed", "lightning"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")  # Lightning's own
def test_engine(name, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    if name == "lightning":
        pytest.importorskip("lightning")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--smoke", "--out", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert json.loads((tmp_path / "results.json").read_text())["held_out"]
