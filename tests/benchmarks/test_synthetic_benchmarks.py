"""Small versions of the benchmarks on synthetic densities and of what they claim."""

import contextlib
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(monkeypatch, name, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    return runpy.run_path(str(BENCHMARKS / name), run_name="__main__")


@pytest.mark.parametrize(
    ("method", "slope"),
    [
        ("full ratio matching, Eq. 3", 1.0),
        ("full squared ratio, Eq. 4", 0.25),
        ("RMwRAND", 0.25),
        ("RMwGGIS unbiased, Eq. 7", 0.25),
        ("pyro_rm, default", 1.0),
    ],
)
def test_methods_learn_at_the_temperature_that_they_declare(method, slope):
    shrinkage = runpy.run_path(str(BENCHMARKS / "shrinkage.py"))
    torch.manual_seed(0)
    p = torch.randn(32).softmax(0)
    energy = shrinkage["fitted"](shrinkage["LOSSES"][method], p, 400)
    result = shrinkage["compare"](energy, p, 1 / slope)
    assert result["slope"] == pytest.approx(slope, rel=0.05)
    assert result["KL, energy * kappa"] < 0.01


def test_biased_method_has_no_temperature():
    shrinkage = runpy.run_path(str(BENCHMARKS / "shrinkage.py"))
    torch.manual_seed(0)
    p = torch.randn(32).softmax(0)
    energy = shrinkage["fitted"](shrinkage["LOSSES"]["RMwGGIS biased, Eq. 12"], p, 400)
    result = shrinkage["compare"](energy, p, 4.0)
    assert result["slope"] < 0.22
    best = min(
        shrinkage["compare"](energy, p, float(k))["KL, energy * kappa"]
        for k in torch.linspace(1, 10, 50)
    )
    assert best > 0.005  # no temperature repairs it


def test_step_cost(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")

    def run_here(command, **options):  # not in a process of its own, to save its start
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), monkeypatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            runpy.run_path(command[1], run_name="__main__")
        return subprocess.CompletedProcess(command, 0, printed.getvalue())

    monkeypatch.setattr(subprocess, "run", run_here)
    script = _run(monkeypatch, "step_cost.py", "--bits", 8, "--seconds", 0.1, "--out", tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    seconds = {row["name"]: row["seconds"] for row in rows}
    assert seconds.keys() == {*script["LOSSES"], script["CODER"]}
    assert all(value > 0 for value in seconds.values())
    assert (tmp_path / "step_cost.png").stat().st_size > 1000
    assert "| full |" in capsys.readouterr().out


def test_guidance_is_measured_for_every_proposal(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    _run(monkeypatch, "guidance.py", "--smoke", "--out", tmp_path)
    table = json.loads((tmp_path / "results.json").read_text())
    for rows in table.values():
        assert {row["proposal"] for row in rows} == {"uniform", "gradient", "activity", "oracle"}
        exact = [row["variance"] for row in rows if row["num_neighbors"] == 50]
        assert min(exact) < 1e-9  # as many neighbors as sites, without replacement
    assert (tmp_path / "guidance.png").stat().st_size > 1000
    assert "gradient / uniform, 10" in capsys.readouterr().out


def test_table_of_results(monkeypatch, tmp_path, capsys):
    cells = [
        ("moons", "pyro_rm", 0, 5.1),
        ("moons", "rmwrand", 0, 5.5),
        ("moons", "pyro_rm", 1, 5.3),
    ]
    for dataset, method, seed, nll in cells:
        folder = tmp_path / f"{dataset}-16-{method}-{seed}"
        folder.mkdir()
        result = {"dataset": dataset, "bits": 16, "method": method, "seed": seed, "nll": nll}
        result |= {"entropy": 5.0, "nll_restored": None, "seconds": 3.0, "cpu_seconds": 2.0}
        result |= {"mmd_exponential": seed, "mmd_exponential_floor": 0.5, "mmd_linear": 0.0}
        (folder / "results.json").write_text(json.dumps(result))
    _run(monkeypatch, "synthetic_table.py", tmp_path)
    printed = capsys.readouterr().out
    for text in ("0.2000 (0.3000) | 0.5000 (0.5000)", "| +0.4000 |", "| 0.00, 2.00 |"):
        assert text in printed
