"""The graph example runs, on both sets."""

import json
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "graphs.py"
PROMISED = {
    "mmd_degree",
    "mmd_clustering",
    "mmd_orbit",
    "mmd_average",
    "floor_average",
    "novelty",
    "uniqueness",
    "seconds",
}


def _run(monkeypatch, tmp_path, *arguments):
    pytest.importorskip("matplotlib")
    command = ["graphs.py", "--smoke", "--out", str(tmp_path), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert (tmp_path / "graphs.png").stat().st_size > 1000
    return json.loads((tmp_path / "results.json").read_text())


def test_communities(monkeypatch, tmp_path):
    results = _run(monkeypatch, tmp_path)
    assert set(results) >= PROMISED
    assert results["log_likelihood_up_to_7_nodes"] is None


def test_ego_small(monkeypatch, tmp_path, real_data):
    edges = real_data / "graphs" / "citeseer_edges.csv.gz"
    results = _run(monkeypatch, tmp_path, "--dataset", "ego-small", "--data", str(edges))
    assert set(results) >= PROMISED
    assert results["log_likelihood_up_to_7_nodes"] < 0
    assert results["novelty_test"] == pytest.approx(0.3)


def test_ego_small_needs_its_edges(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        _run(monkeypatch, tmp_path, "--dataset", "ego-small")
    assert "needs --data" in capsys.readouterr().err
