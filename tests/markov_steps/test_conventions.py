"""What all steps share: contexts, clamping chain by chain, and what they refuse."""

import pytest
import torch

from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy, TemperedEnergy
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.markov_steps import (
    BlockGibbs,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    ParallelTempering,
    add_replicas,
    check_chains,
)
from pyro_rm.state_space import StateSpace

STEPS = {
    "gibbs": GibbsSweep(),
    "colored": ColoredGibbs((0, 1, 2, 3)),
    "block": BlockGibbs(),
    "gradients": GibbsWithGradients(num_proposals=3),
    "langevin": DiscreteLangevin(step_size=1.0),
    "tempering": ParallelTempering(GibbsSweep(), (1.0, 0.5, 0.25)),
}


@pytest.fixture(params=STEPS)
def step(request):
    return STEPS[request.param]


def test_chains_clamp_their_own_sites(step):
    """Fails with probability below 1e-8: half of the free sites differ from their start."""
    energy = RBMEnergy(4, 3)
    chains = torch.randint(2, (2, 60, 4)).float()
    active = torch.rand(60, 4) < 0.5
    active[0] = False  # nothing to move at all
    start = add_replicas(step, chains)
    moved, acceptance = start, None
    for _ in range(5):
        moved, acceptance = step(energy, energy.state_space, moved, active=active)
    assert moved.shape == start.shape
    assert acceptance.shape == start.shape[:-1]
    assert ((acceptance >= 0) & (acceptance <= 1)).all()
    changed = moved != start
    assert not changed[..., ~active].any()
    assert changed.flatten(0, -3).any(0)[active].float().mean() > 0.5
    assert not moved.requires_grad


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"block"}))
def test_contexts_follow_their_chains(name):
    """Strong fields drive each chain to its own state; fails with probability below 1e-9."""
    step = STEPS[name]

    def energy(x, field):
        return -40.0 * (field * x).sum(-1)

    field = torch.randint(2, (6, 4)) * 2.0 - 1
    chains = add_replicas(step, torch.zeros(6, 4))
    context = field if chains.dim() == 2 else field[None]
    for _ in range(30):
        chains, _ = step(energy, StateSpace(4), chains, (context,))
    assert torch.equal(chains.reshape(-1, 6, 4)[0], (field > 0).float())


def test_bad_chains_are_refused(step):
    energy = RBMEnergy(4, 3)
    space = energy.state_space
    good = add_replicas(step, torch.zeros(5, 4))
    with pytest.raises(ValueError, match="Expected active to broadcast to batch_shape"):
        step(energy, space, good, active=torch.ones(5, 3, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"Expected active .* booleans, but got torch.float32"):
        step(energy, space, good, active=torch.ones(4))
    with pytest.raises(ValueError, match=r"shape batch_shape \+ \(4,\)"):
        step(energy, space, good[..., :3])
    for bad in (0.5, torch.nan, -1.0):
        with pytest.raises(ValueError, match=r"Expected chains of states \(0, 1\)"):
            step(energy, space, good + bad)


def test_bad_categories_are_refused():
    space = StateSpace(2, (2, 3))
    energy = MLPEnergy(2, (4,), num_categories=(2, 3))
    for bad in (torch.zeros(2, 3), torch.eye(3)[[2, 0]], torch.eye(3)[[0, 1]] * 0.5):
        with pytest.raises(ValueError, match="one-hot rows of categories"):
            check_chains(energy, space, bad)
    with pytest.raises(ValueError, match=r"StateSpace\.encode"):
        check_chains(energy, space, torch.zeros(5, 2))


@pytest.mark.parametrize("step", [GibbsWithGradients(), DiscreteLangevin()])
def test_energies_without_gradient_are_refused_where_one_is_needed(step):
    space = StateSpace(3)
    with pytest.raises(EnergyError, match=r"differentiable in x.* GibbsSweep\(\)"):
        step(lambda x: x.detach().sum(-1), space, torch.zeros(2, 3))
    moved, _ = step(IsingEnergy(3), space, torch.zeros(2, 3))  # a gap table needs no gradient
    assert moved.shape == (2, 3)


def test_other_refusals(step):
    energy = RBMEnergy(4, 3)
    energy.dropout = torch.nn.Dropout(0.5)
    with pytest.raises(EnergyError, match="without dropout"):
        step(energy, energy.state_space, add_replicas(step, torch.zeros(4)))


def test_refusals_of_single_steps():
    with pytest.raises(EnergyError, match=r"hidden_logits and .* got TemperedEnergy"):
        BlockGibbs()(TemperedEnergy(RBMEnergy(3, 2), 0.5), StateSpace(3), torch.zeros(3))
    with pytest.raises(ValueError, match="step_size above 0"):
        DiscreteLangevin(step_size=0.0)
    for kind in (DiscreteLangevin, GibbsWithGradients):
        with pytest.raises(ValueError, match="num_proposals to be at least 1"):
            kind(num_proposals=0)
