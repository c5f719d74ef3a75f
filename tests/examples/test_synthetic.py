"""The example on synthetic densities: command, likelihoods, small claims."""

import functools
import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import torch

from pyro_rm.datasets import GrayCodedDensity, synthetic_density
from pyro_rm.energies import MLPEnergy

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMISED = {
    *("dataset", "bits", "method", "seed", "steps", "seconds", "nll", "nll_error", "entropy"),
    *("mmd_linear", "mmd_exponential", "mmd_linear_floor", "mmd_exponential_floor"),
}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(EXAMPLES))


def _run(monkeypatch, out, *arguments):
    command = ["synthetic.py", "--smoke", "--out", str(out), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(EXAMPLES / "synthetic.py"), run_name="__main__")


def _results(out, cell):
    return json.loads((out / cell / "results.json").read_text())


def test_every_method_at_16_bits(monkeypatch, tmp_path, capsys):
    from synthetic_densities.methods import METHODS

    _run(monkeypatch, tmp_path, "--dataset", "moons", "--bits", "16", "--method", "all")
    for method in METHODS:
        results = _results(tmp_path, f"moons-16-{method}-0")
        assert results.keys() >= PROMISED
        assert results["nll_error"] == 0
        assert results["nll"] > results["entropy"]
        assert (tmp_path / f"moons-16-{method}-0" / "densities.png").stat().st_size > 1000
    assert capsys.readouterr().out.count("moons 16 bits") == len(METHODS)


def test_cells_are_not_repeated(monkeypatch, tmp_path, capsys):
    for _ in range(2):
        _run(monkeypatch, tmp_path, "--bits", "16")
    first, second = capsys.readouterr().out.splitlines()
    assert first == second  # with its seconds


def test_a_time_instead_of_steps(monkeypatch, tmp_path, capsys):
    arguments = ("--bits", "16", "--likelihood-only", "--seconds", "0.3", "--rate", "0.01")
    _run(monkeypatch, tmp_path, *arguments)
    results = _results(tmp_path, "2spirals-16-pyro_rm-0")
    assert results["steps"] >= 1
    assert results["rate"] == 0.01
    assert "mmd_linear" not in results
    assert f"{results['steps']} steps" in capsys.readouterr().out
    assert not (tmp_path / "floors").exists()


@pytest.mark.parametrize("method", ["pyro_rm", "pcd"])
def test_resumed_run_gives_the_same_numbers(monkeypatch, tmp_path, method):
    arguments = ("--bits", "32", "--method", method, "--dataset", "8gaussians")
    _run(monkeypatch, tmp_path / "unbroken", *arguments)
    sample, calls = GrayCodedDensity.sample, []

    def failing(self, num_samples):
        calls.append(num_samples)
        if len(calls) == 13:
            raise RuntimeError("out of power")
        return sample(self, num_samples)

    monkeypatch.setattr(GrayCodedDensity, "sample", failing)
    with pytest.raises(RuntimeError, match="out of power"):
        _run(monkeypatch, tmp_path / "broken", *arguments)
    monkeypatch.setattr(GrayCodedDensity, "sample", sample)
    _run(monkeypatch, tmp_path / "broken", *arguments, "--resume")
    both = [_results(tmp_path / k, f"8gaussians-32-{method}-0") for k in ("unbroken", "broken")]
    for results in both:
        del results["seconds"], results["cpu_seconds"]
    assert both[0] == both[1]


def _rough_energy(num_bits):
    return (30.0 * MLPEnergy(num_bits, (32, 32))).requires_grad_(False)


def test_stratified_likelihood_agrees_with_the_exact_one():
    from synthetic_densities.plane_likelihood import ExactEnergies, PlaneEnergies

    data, energy = synthetic_density("pinwheel", num_bits=16), _rough_energy(16)
    exact = ExactEnergies.of(energy, data)
    rough = PlaneEnergies.of(energy, data, cells_a_side=60, num_draws=10_000)
    for beta in (1.0, 2.0):
        log_partition, error = rough.log_partition(beta)
        assert 0 < error < 0.1
        assert abs(log_partition - exact.likelihood(beta).log_partition) < 5 * error
        likelihood = rough.likelihood(beta)  # 5 sigma: each fails once in 1e6
        assert abs(likelihood.nll - exact.likelihood(beta).nll) < 5 * likelihood.error


def test_stated_error_of_the_partition_function_is_its_error():
    from synthetic_densities.plane_likelihood import PlaneEnergies, energies_of, strata_points

    data, energy = synthetic_density("moons", num_bits=16), _rough_energy(16)
    exact = (-energies_of(energy, data.states())).logsumexp(0)
    ratios = []
    for _ in range(200):
        strata = [energies_of(energy, data.code.encode(p)) for p in strata_points(data.code, 16)]
        estimate = PlaneEnergies(torch.stack(strata), strata[0], strata[0], 0.0, 16)
        value, error = estimate.log_partition()
        ratios.append((value - float(exact)) / error)
    square = torch.tensor(ratios).square().mean().item()
    assert 0.6 < square < 1.6  # 1 +- 0.1 if normal: 4 sigma


def test_exact_likelihood_of_the_data_themselves_is_the_entropy():
    from synthetic_densities.plane_likelihood import ExactEnergies

    data = synthetic_density("swissroll", num_bits=10)
    p = data.probabilities()
    likelihood = ExactEnergies(-p.clamp(min=1e-300).log(), p).likelihood()
    assert likelihood.nll == pytest.approx(data.entropy(), abs=1e-9)
    assert likelihood.log_partition == pytest.approx(0, abs=1e-9)


def test_too_many_bits():
    from synthetic_densities.plane_likelihood import likelihoods

    with pytest.raises(ValueError, match="at most 96 bits, but got 128"):
        likelihoods(MLPEnergy(128, (8,)), synthetic_density("moons", num_bits=128))


def test_a_share_of_uniform_data():
    from synthetic_densities.methods import batch

    data = synthetic_density("moons", num_bits=10)
    possible = {tuple(state) for state in data.states()[data.probabilities() > 1e-9].tolist()}
    for share, least, most in ((0.0, 0, 0), (0.5, 100, 640), (1.0, 600, 1280)):
        rows = [tuple(row) for _ in range(10) for row in batch(data, share).tolist()]
        assert least <= sum(row not in possible for row in rows) <= most


@functools.cache
def _fitted(method, num_steps=400):
    from synthetic_densities.methods import METHODS, Stopwatch, fit

    torch.manual_seed(0)
    data, energy = synthetic_density("8gaussians", num_bits=10), MLPEnergy(10, (48, 48))
    fit(energy, data, METHODS[method], num_steps=num_steps, watch=Stopwatch(), progress=False)
    return data, energy


def test_default_loss_comes_near_the_entropy_and_the_paper_does_not():
    from synthetic_densities.plane_likelihood import likelihoods

    data, energy = _fitted("pyro_rm")
    excess = likelihoods(energy, data).likelihood().nll - data.entropy()
    assert 0 <= excess < 0.05
    _, shrunk = _fitted("full_squared_ratio")
    energies = likelihoods(shrunk, data)
    learned, restored = (energies.likelihood(k).nll - data.entropy() for k in (1.0, 4.0))
    assert learned > 5 * excess  # the temperature is 4
    assert restored < learned / 2
    _, biased = _fitted("rmwggis_biased")
    assert likelihoods(biased, data).likelihood().nll - data.entropy() > 5 * excess


def test_default_loss_is_nearer_than_persistent_chains_in_as_much_time():
    from synthetic_densities.methods import METHODS
    from synthetic_densities.plane_likelihood import likelihoods

    share = METHODS["pcd"].num_steps / METHODS["pyro_rm"].num_steps  # steps of equal time
    data, energy = _fitted("pyro_rm")
    _, chains = _fitted("pcd", round(400 * share))
    assert likelihoods(energy, data).likelihood().nll < likelihoods(chains, data).likelihood().nll


def test_draws_of_the_fitted_model_score_like_true_ones(tmp_path):
    from synthetic_densities.sample_scores import draw, floors, scores

    data, energy = _fitted("pyro_rm")
    floor = floors(data, 500, 40, tmp_path / "floor.json")
    assert floors(data, 500, 40, tmp_path / "floor.json") == floor
    start = scores(draw(MLPEnergy(10, (48, 48)), 500), data)
    learned = scores(draw(energy, 500), data)
    for name in ("mmd_linear", "mmd_exponential"):
        assert start[name] > 5 * floor[f"{name}_floor"]
        assert learned[name] < 3 * floor[f"{name}_floor"]


def test_log_of_the_area():
    data = synthetic_density("checkerboard", num_bits=32)
    assert math.exp(data.entropy()) * data.code.cell_width**2 == pytest.approx(32)
