"""The opponents compute what they are named after; small versions of the measurements run."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

from pyro_rm.energies import MLPEnergy

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OPPONENTS = runpy.run_path(str(BENCHMARKS / "opponents.py"))


def gradient(energy, step, *arguments, **options):
    energy.zero_grad()
    step(energy, *arguments, **options)
    return torch.cat([p.grad.flatten() for p in energy.parameters()])


def test_the_site_loop_is_full_ratio_matching():
    energy, x = MLPEnergy(6, (8,)), torch.randint(2, (5, 6)).float()
    loop = gradient(energy, OPPONENTS["site_loop"], x)
    ours = gradient(energy, OPPONENTS["ours"], x, "all", objective="ratio_matching")
    torch.testing.assert_close(loop, ours)


def test_the_published_step_descends_the_squared_ratio():
    """Its expectation is not the exact gradient, but points the same way."""
    energy, x = MLPEnergy(6, (8,)), torch.randint(2, (5, 6)).float()
    exact = gradient(energy, OPPONENTS["ours"], x, "all", objective="squared_ratio")
    steps = [gradient(energy, OPPONENTS["published"], x, 4) for _ in range(200)]
    assert torch.cosine_similarity(sum(steps), exact, dim=0) > 0.5


def test_the_coder_changes_one_bit_at_a_time():
    points = torch.arange(1, 128)[:, None].expand(-1, 2) / 128
    bits = OPPONENTS["gray_coded"](points, 16)
    assert bits.shape == (127, 16)
    assert ((bits[1:] != bits[:-1]).sum(-1) == 2).all()


@pytest.mark.parametrize(("name", "words"), [
    ("gradient_error", "2spirals, 32 bits | 20"),
    ("noise_reduction", "20 neighbors, 5 backward |"),
    ("time_to_quality", "PCD, 10 Gibbs-with-gradients moves |"),
    ("peak_memory", "CNN, D = 784, 50 neighbors in chunks"),
])  # fmt: skip
def test_measurements_run(name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--smoke", "--out", str(tmp_path)])
    runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert words in capsys.readouterr().out
    assert (tmp_path / "results.json").exists()


@pytest.mark.parametrize(("name", "words"), [
    ("pairwise_fits", "| factors | 200 x 5 | 1 |"),
    ("penalized_paths", "| factors | 200 x 5 | 3 |"),
    ("network_steps", "| convolutional, 256 sites |"),
])  # fmt: skip
def test_benchmarks_run_by_name(name, words, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "argv", ["benchmarks", name, "--smoke"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(BENCHMARKS / "__main__.py"), run_name="__main__")
    assert words in capsys.readouterr().out


def test_benchmarks_are_listed_beside_their_opponents(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    runpy.run_path(str(BENCHMARKS / "__main__.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "pairwise_fits" in printed
    assert "pip install scikit-learn" in printed


def test_the_picture_of_local_and_whole_fits_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["right_as_a_whole", "--smoke", "--out", str(tmp_path)])
    runpy.run_path(str(BENCHMARKS / "right_as_a_whole.py"), run_name="__main__")
    assert "words, right as a whole: mean rate" in capsys.readouterr().out
    assert (tmp_path / "right_as_a_whole.png").exists()


def test_the_walk_counts_calls_files_and_changes_of_file(monkeypatch, capsys):
    walk = runpy.run_path(str(BENCHMARKS / "walk.py"))
    calls = [("a.py", "f"), ("a.py", "g"), ("b.py", "f"), ("a.py", "f")]
    assert walk["summary"](calls) == (4, 2, 2)
    space = MLPEnergy(3, (2,)).state_space
    assert walk["calls_of"](lambda: space.category_mask())[:1] == [
        ("state_space.py", "category_mask")
    ]
    monkeypatch.setattr(sys, "argv", ["walk.py", "--calls"])
    runpy.run_path(str(BENCHMARKS / "walk.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for name in ("sampled: MLPEnergy, 10 neighbors", "exact: IsingEnergy"):
        numbers = re.search(rf"\| {name} \| (\d+) \| (\d+) \| (\d+) \|", printed)
        num_calls, num_files, num_changes = map(int, numbers.groups())
        assert num_calls > num_changes >= num_files - 1 > 0


def test_the_import_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["import_time.py", "--repeats", "1"])
    runpy.run_path(str(BENCHMARKS / "import_time.py"), run_name="__main__")
    assert "| networkx |" in capsys.readouterr().out
