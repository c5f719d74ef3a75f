"""Examples that leave results and a picture of their own name."""

import json
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example(monkeypatch, tmp_path):
    """Run an example at its small size in a folder of its own; what it found."""

    def run(name, *options, picture=True):
        monkeypatch.setattr(sys, "argv", [name, "--smoke", "--out", str(tmp_path), *options])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        if picture:
            assert (tmp_path / name.replace(".py", ".png")).stat().st_size > 1000
        return json.loads((tmp_path / "results.json").read_text())

    return run
