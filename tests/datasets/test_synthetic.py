"""Draws, densities, masses and entropies of the seven densities agree with each other."""

import math

import numpy as np
import pytest
import torch

from pyro_rm.datasets import synthetic_density, synthetic_names


@pytest.mark.parametrize("name", synthetic_names())
def test_draws_follow_the_masses(name):
    data = synthetic_density(name, num_bits=10)
    index = data.code.decode(data.sample(100_000))
    cell = ((index / data.code.radius + 1) * 16).floor().long()
    counts = torch.bincount(32 * cell[:, 0] + cell[:, 1], minlength=1024)
    expected = 100_000 * data.probabilities()
    many = expected > 5
    statistic = ((counts - expected)[many].square() / expected[many]).sum().item()
    freedom = int(many.sum())
    assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)  # fails once in 1e6


@pytest.mark.parametrize("name", synthetic_names())
def test_density_integrates_to_the_masses(name):
    density = synthetic_density(name).density
    ticks = (torch.arange(200, dtype=torch.float64) + 0.5) / 100 - 1
    sums = (density.grid_density(ticks) / 100**2).view(20, 10, 20, 10).sum((1, 3))
    masses = density.cell_masses(torch.linspace(-1, 1, 21, dtype=torch.float64))
    torch.testing.assert_close(sums, masses, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", synthetic_names())
def test_entropy_is_minus_the_mean_log_density(name):
    data = synthetic_density(name)
    points = data.density.sample(4000)
    surprise = -data.density.density(points).log() - 2 * math.log(data.code.cell_width)
    error = surprise.std().item() / math.sqrt(4000)
    assert abs(surprise.mean().item() - data.entropy()) < 5 * error + 1e-6  # fails once in 1e6


@pytest.mark.parametrize("name", synthetic_names())
def test_entropy_is_known_to_a_thousandth(name):
    data = synthetic_density(name)
    fine = data.density.entropy(data.code.radius, 700)
    assert abs(data.density.entropy(data.code.radius) - fine) < 1e-4


def test_entropies_of_cells_tend_to_the_differential_one():
    fine, coarse = (synthetic_density("8gaussians", num_bits=bits) for bits in (22, 20))
    assert fine.entropy() - coarse.entropy() == pytest.approx(2 * math.log(2), abs=1e-3)


def test_states_and_probabilities_are_in_one_order():
    data = synthetic_density("2spirals", num_bits=14)
    middle = data.code.decode(data.states())
    density = data.density.density(middle) * data.code.cell_width**2
    correlation = torch.corrcoef(torch.stack([density, data.probabilities()]))[0, 1]
    assert correlation > 0.99
    assert len(data.states().unique(dim=0)) == 2**14
    assert data.probabilities().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", synthetic_names())
def test_densities_stay_on_the_device_of_the_points(name):
    density = synthetic_density(name).density
    ticks = torch.linspace(-1, 1, 4, dtype=torch.float64)
    points = torch.cartesian_prod(ticks, ticks)
    expected = density.density(points), density.cell_masses(ticks)
    with torch.device("meta"):
        assert density.density(points).equal(expected[0])
        assert density.cell_masses(ticks).equal(expected[1])


def test_draws_are_seeded():
    torch.manual_seed(1)
    first = synthetic_density("circles").sample(5)
    torch.manual_seed(1)
    assert synthetic_density("circles").sample(5).equal(first)


@pytest.mark.parametrize("name", ["circles", "moons", "swissroll"])
def test_radii_and_shapes_are_the_published_ones(name):
    datasets = pytest.importorskip("sklearn.datasets")
    options = {"n_samples": 5000, "random_state": np.random.RandomState(1)}
    points = {
        "circles": lambda: 3 * datasets.make_circles(factor=0.5, noise=0.08, **options)[0],
        "moons": lambda: 2 * datasets.make_moons(noise=0.1, **options)[0] - [1, 0.2],
        "swissroll": lambda: datasets.make_swiss_roll(noise=1.0, **options)[0][:, [0, 2]] / 5,
    }[name]()
    data = synthetic_density(name)
    assert data.code.radius == pytest.approx(np.abs(points).max() + 2)
    surprise = -data.density.density(torch.tensor(points)).log()
    error = surprise.std().item() / math.sqrt(5000)
    expected = data.entropy() + 2 * math.log(data.code.cell_width)
    assert abs(surprise.mean().item() - expected) < 5 * error  # fails once in 1e6


def test_errors():
    with pytest.raises(ValueError, match="but got 'rings'"):
        synthetic_density("rings")
    with pytest.raises(ValueError, match="at most 20 bits, but got 32"):
        synthetic_density("moons").probabilities()
