"""What all steps share: contexts, clamping chain by chain, and what they refuse."""

import pytest
import torch

from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.markov_steps import (
    BlockGibbs,
    Chains,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    ParallelGibbs,
    ParallelTempering,
)
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

STEPS = {
    "gibbs": GibbsSweep(),
    "colored": ColoredGibbs((0, 1, 2, 3)),
    "block": BlockGibbs(),
    "gradients": GibbsWithGradients(num_proposals=3),
    "langevin": DiscreteLangevin(step_size=1.0),
    "parallel": ParallelGibbs(num_proposals=1),
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
    run = Chains(Target.of(energy, active=active), chains, step)
    start = run.state.encoded
    moved, acceptance, _ = run.run(5).state
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
    chains = Chains(Target(energy, StateSpace(4), (field,)), torch.zeros(6, 4), step)
    assert torch.equal(chains.run(30).encoded, (field > 0).float())


def test_bad_chains_are_refused(step):
    energy = RBMEnergy(4, 3)
    good = torch.zeros(5, 4)

    def run(chains, active=None):
        Chains(Target.of(energy, active=active), chains, step)

    with pytest.raises(ValueError, match="Expected active to broadcast to batch_shape"):
        run(good, torch.ones(5, 3, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"Expected active .* booleans, but got torch.float32"):
        run(good, torch.ones(4))
    with pytest.raises(ValueError, match=r"shape batch_shape \+ \(4,\)"):
        run(good[..., :3])
    for bad in (0.5, torch.nan, -1.0):
        with pytest.raises(ValueError, match=r"Expected encoded data of states \(0, 1\)"):
            run(good + bad)


def test_bad_categories_are_refused():
    energy = MLPEnergy(2, (4,), num_categories=(2, 3))
    for bad in (torch.zeros(2, 3), torch.eye(3)[[2, 0]], torch.eye(3)[[0, 1]] * 0.5):
        with pytest.raises(ValueError, match="one-hot rows of categories"):
            Target.of(energy).check_states(bad)
    with pytest.raises(ValueError, match=r"StateSpace\.encode"):
        Target.of(energy).check_states(torch.zeros(5, 2))


@pytest.mark.parametrize("step", [GibbsWithGradients(), DiscreteLangevin()])
def test_energies_without_gradient_are_refused_where_one_is_needed(step):
    space = StateSpace(3)
    with pytest.raises(EnergyError, match=r"differentiable in x.* GibbsSweep\(\)"):
        Chains(Target(lambda x: x.detach().sum(-1), space), torch.zeros(2, 3), step).run(1)
    moved = Chains(IsingEnergy(3), torch.zeros(2, 3), step).run(1)  # a gap table needs no gradient
    assert moved.encoded.shape == (2, 3)


def test_other_refusals(step):
    energy = RBMEnergy(4, 3)
    energy.dropout = torch.nn.Dropout(0.5)
    with pytest.raises(EnergyError, match="without dropout"):
        Chains(energy, torch.zeros(4), step)


def test_refusals_of_single_steps():
    with pytest.raises(EnergyError, match=r"hidden_logits and .* got SumEnergy"):
        Chains(0.5 * RBMEnergy(3, 2), torch.zeros(3), BlockGibbs()).run(1)
    with pytest.raises(ValueError, match="step_size above 0"):
        DiscreteLangevin(step_size=0.0)
    for kind in (DiscreteLangevin, GibbsWithGradients):
        with pytest.raises(ValueError, match="num_proposals to be at least 1"):
            kind(num_proposals=0)
