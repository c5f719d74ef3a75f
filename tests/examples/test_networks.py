"""The network examples run, and write what they promise."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
pytest.importorskip("matplotlib")
pytest.importorskip("pandas")


def run(monkeypatch, out, name, *options):
    monkeypatch.setattr(sys, "argv", [name, "--smoke", "--out", str(out), *options])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert (out / name.replace(".py", ".png")).stat().st_size > 1000
    return json.loads((out / "results.json").read_text())


def test_ising_on_a_lattice(tmp_path, monkeypatch):
    """4 x 4 sites, 2000 data: couplings within 0.03, an edge or two too many at most."""
    results = run(monkeypatch, tmp_path, "ising.py")
    assert results["support_f1"] > 0.9
    assert results["neg_log_rmse"] > 4.5
    assert results["seconds"] > 0


def test_ising_on_a_table(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    x = torch.randint(2, (300, 3))
    x[:, 1] = torch.where(torch.rand(300) < 0.8, x[:, 0], x[:, 1])
    rows = [",".join(map(str, row)) for row in x.tolist()]
    path.write_text("\n".join(["a,b,c", *rows, "1,1,", "0,,0"]))
    results = run(monkeypatch, tmp_path, "ising.py", "--data", str(path))
    assert results["num_edges"] >= 1


def test_votes(tmp_path, monkeypatch):
    results = run(monkeypatch, tmp_path, "votes.py")
    assert results["num_rows"] == 200
    assert results["num_blanks"] > 0
    assert all(edge["lower"] < edge["weight"] < edge["upper"] for edge in results["edges"])


def test_contacts(tmp_path, monkeypatch):
    results = run(monkeypatch, tmp_path, "contacts.py")
    assert results["precision_at_L5"] > 0.8
    assert results["precision_at_L"] < 12.1 / 30  # there are twelve contacts
    assert len(results["pairs"]) == results["num_positions"]
