"""The examples of right masses run, and write what outside checks read."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("ignore:Base and model", "ignore:The ends are")


@pytest.mark.parametrize("target", ["islands", "curie-weiss"])
def test_islands(run_example, target):
    results = run_example("islands.py", "--target", target, "--seed", "3")
    for name in ("kl", "plain_kl", "largest_share_error", "plain_largest_share_error"):
        assert 0 <= results[name] < 20
    assert math.isfinite(results["log_z_error"])
    assert results["seed"] == 3


def test_spikes(run_example):
    results = run_example("spikes.py")
    for when in ("before", "after"):
        assert isinstance(results[f"flagged_{when}"], bool)
        assert 0 <= results[f"rate_error_{when}"] <= 1
    low, high = results["test_log_likelihood"]
    assert low <= high
    assert results["seconds"] > 0


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_spikes_of_a_file(run_example, tmp_path, kind):
    x = (torch.rand(200, 6) < 0.3).int().numpy()
    path = tmp_path / f"x.{kind}"
    if kind == "npz":
        np.savez(path, x=x)
    else:
        path.write_text("\n".join([",".join("abcdef"), *(",".join(map(str, r)) for r in x)]))
    assert not run_example("spikes.py", "--data", str(path))["flagged_before"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("num_sites", [10, 23])
def test_density(run_example, tmp_path, packed, num_sites):
    """Exact up to 20 sites, where both ends are one."""
    rng = np.random.default_rng(0)
    parts = {
        name: (rng.random((count, num_sites)) < 0.3).astype(np.uint8)
        for name, count in [("train", 300), ("valid", 60), ("test", 60)]
    }
    if packed:
        parts = {name: np.packbits(part, axis=1) for name, part in parts.items()}
        parts["D"] = np.array(num_sites)
    np.savez(tmp_path / "x.npz", **parts)
    results = run_example("density.py", "--data", str(tmp_path / "x.npz"), picture=False)
    low, high = results["test_log_likelihood"]
    assert low == high if num_sites == 10 else low < high
    independent = results["independent"]
    assert abs(results["read_off"] - independent) < 5
    assert results["seconds"] > 0
