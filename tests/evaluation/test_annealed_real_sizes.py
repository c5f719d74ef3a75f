"""Annealing at sizes that matter, against exact sums. Bounds fail with probability 1e-6 a test."""

import numpy as np
import pytest
import torch

import pyro_rm
from pyro_rm.energies import IsingEnergy, RBMEnergy
from pyro_rm.evaluation import (
    IndependentSites,
    annealed_importance_sampling,
    exact_samples,
    log_partition,
)
from pyro_rm.infer import train


def assert_bracketed(energy, base, **options):
    result = annealed_importance_sampling(
        energy, base, exact_samples=exact_samples(energy, 256), num_chains=256, **options
    )
    low, high = result.bounds(1e-6)
    exact = log_partition(energy).item()
    assert low <= exact <= high
    assert result.upper_is_bound
    return result


def test_spin_glass_of_twenty_sites():
    energy = IsingEnergy(20, states=(-1, 1))
    torch.nn.init.normal_(energy.weight, std=20**-0.5)
    base = IndependentSites.uniform(energy.state_space)
    result = assert_bracketed(energy, base, inverse_temperatures=60)
    assert abs(result.gap) < 0.3  # ten standard errors


@pytest.mark.filterwarnings("ignore:Base and model hardly overlap")
def test_rbm_fitted_to_digits(real_data):
    with np.load(real_data / "images" / "mnist_t10k_bin28.npz", allow_pickle=False) as archive:
        images = torch.tensor(np.unpackbits(archive["x"], axis=1, count=784)).float()
    energy = RBMEnergy(784, 16)
    base = IndependentSites.fit(images, energy.state_space)
    with torch.no_grad():
        energy.visible_bias.copy_(base.fields)
    train(
        lambda x: pyro_rm.estimate(energy, x, num_neighbors=20).mean(),
        torch.optim.Adam(energy.parameters(), lr=1e-2),
        images,
        num_steps=100,
        batch_size=128,
        progress=False,
    )
    assert_bracketed(energy, base, inverse_temperatures=300, max_gap=5.0)
