"""Conditionals against enumeration, and a simulation that ties the sweep to them."""

import pytest
import torch

from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.markov_steps import gibbs_sweep, site_conditionals


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("categories", [2, (3, 2, 3)])
def test_single_site_kernels_leave_the_model_invariant(categories):
    energy = MLPEnergy(3, (6,), num_categories=categories)
    space = energy.state_space
    x = space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)
    p = torch.softmax(-energy(x), 0)
    for site in range(3):
        states, probabilities = site_conditionals(energy, space, x, site)
        after = torch.zeros_like(p)
        to = index_of(space, space.decode(states))
        after.index_add_(0, to.flatten(), (p * probabilities).flatten())
        torch.testing.assert_close(after, p, rtol=0, atol=1e-12)


def test_sweeps_reach_the_model_and_keep_clamped_sites():
    """Fails with probability below 1e-8: bounds of six standard errors on 20 000 chains."""
    energy = MLPEnergy(3, (6,))
    space = energy.state_space
    states = states_at(space, torch.arange(8))
    chains = states[torch.randint(8, (20_000,))]
    clamped = gibbs_sweep(energy, space, chains, active=torch.tensor([True, False, True]))
    assert (clamped[:, 1] == chains[:, 1]).all()
    for _ in range(20):
        chains = gibbs_sweep(energy, space, chains)
    p = torch.softmax(-energy(states), 0)
    frequency = index_of(space, chains).bincount(minlength=8) / 20_000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 20_000).sqrt()).all()
