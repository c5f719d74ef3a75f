"""The pool of persistent chains: which of them move, restart and are kept, and at which levels."""

import sys
from pathlib import Path

import pyro
import pytest
import torch
from pyro.infer import SVI

from pyro_rm import ContrastiveDivergence
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy
from pyro_rm.enumeration import index_of
from pyro_rm.infer import NoiseLevels
from pyro_rm.markov_steps import ChainState, GibbsSweep, MarkovStep, ParallelTempering
from pyro_rm.state_space import StateSpace

sys.path.insert(0, str(Path(__file__).parents[1]))
from level_tables import LevelTable, every_state, level_marginals, shares_of

SPACE, LEVELS = StateSpace(2), NoiseLevels((0.0, 0.5, 1.0), shares=(0.5, 0.2, 0.3))
DATA = torch.tensor([0.5, 0.1, 0.1, 0.3], dtype=torch.float64)


def no_guide(*args):
    pass


def program(energy, levels=None):
    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, levels=levels), obs=x)

    return model


class Flip(MarkovStep):
    """Flips all sites."""

    def __call__(self, target, state):
        encoded = state.encoded
        return ChainState(1 - encoded, torch.ones(encoded.shape[:-1]))


class Stay(MarkovStep):
    """Moves nothing."""

    def __call__(self, target, state):
        return ChainState(state.encoded, torch.ones(state.encoded.shape[:-1]))


def stepped(loss, x, energy=None):
    energy = IsingEnergy(x.shape[1]) if energy is None else energy
    loss.differentiable_loss(program(energy), no_guide, x)
    return loss.chains["x"].clone()


@pytest.mark.parametrize("num_chains", [12, 40, 5])
def test_as_many_chains_move_as_there_are_data(num_chains):
    """A step without a batch's worth of chains moves all there are."""
    x = torch.zeros(12, 3)
    loss = ContrastiveDivergence(step=Flip(), persistent=True, num_chains=num_chains)
    first = stepped(loss, x)
    assert first.shape == (num_chains, 3)
    assert first.all(1).sum() == min(12, num_chains)
    assert first.any(1).sum() == min(12, num_chains)
    second = stepped(loss, x)
    assert (second != first).all(1).sum() == min(12, num_chains)


def test_every_chain_moves_sooner_or_later():
    """Fails with probability 40 * .7 ** 200 < 1e-29."""
    loss = ContrastiveDivergence(step=Flip(), persistent=True, num_chains=40)
    counts, before = torch.zeros(40), None
    for _ in range(200):
        after = stepped(loss, torch.zeros(12, 3))
        if before is not None:
            counts += (after != before).any(1)
        before = after
    assert (counts > 0).all()
    assert counts.sum() == 12 * 199


@pytest.mark.parametrize(("share", "restarts"), [(0.0, 0), (0.25, 3), (0.99, 11)])
def test_a_share_of_the_moved_chains_restarts_from_data(share, restarts):
    loss = ContrastiveDivergence(step=Stay(), persistent=True, num_chains=30, restart_share=share)
    stepped(loss, torch.zeros(12, 3))
    chains = stepped(loss, torch.ones(12, 3))
    assert chains.all(1).sum() == restarts
    assert (~chains.any(1)).sum() == 30 - restarts


def test_replicas_restart_together():
    step = ParallelTempering(Stay(), (1.0, 0.5))
    loss = ContrastiveDivergence(step=step, persistent=True, num_chains=30, restart_share=0.5)
    stepped(loss, torch.zeros(12, 3))
    chains = stepped(loss, torch.ones(12, 3))
    assert chains.shape == (2, 30, 3)
    assert chains.all(-1).sum(1).tolist() == [6, 6]


def test_evaluation_leaves_the_chains_alone():
    energy = IsingEnergy(3)
    loss = ContrastiveDivergence(step=Flip(), persistent=True, num_chains=20)
    kept = stepped(loss, torch.zeros(12, 3), energy)
    with torch.no_grad():
        loss.loss(program(energy), no_guide, torch.ones(12, 3))
    assert torch.equal(loss.chains["x"], kept)


def test_a_saved_state_goes_on_alike():
    x, energy = torch.bernoulli(torch.full((12, 3), 0.5)), IsingEnergy(3)
    loss = ContrastiveDivergence(persistent=True, num_chains=40, restart_share=0.2)
    for _ in range(3):
        stepped(loss, x, energy)
    state = loss.state_dict()
    other = ContrastiveDivergence(persistent=True, num_chains=40, restart_share=0.2)
    other.load_state_dict(state)
    assert other.steps_taken == loss.steps_taken
    ends = []
    for each in (loss, other):
        torch.manual_seed(3)
        ends.append(stepped(each, x, energy))
    assert torch.equal(*ends)
    assert not torch.equal(state["chains"]["x"], ends[0])  # the state is a copy


@pytest.mark.parametrize("num_sites", [3, 2])
@pytest.mark.parametrize("saved", [True, False])
def test_chains_of_another_space_are_refused(num_sites, saved):
    loss = ContrastiveDivergence(persistent=True, num_chains=20)
    stepped(loss, torch.zeros(12, 3))
    if saved:
        state, loss = loss.state_dict(), ContrastiveDivergence(persistent=True, num_chains=20)
        loss.load_state_dict(state)
    pyro.clear_param_store()
    with pytest.raises(ValueError, match=r"chains of site 'x' on StateSpace\(num_sites=\d"):
        stepped(loss, torch.ones(12, num_sites), IsingEnergy(num_sites, states=(-1, 1)))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_other_shares_are_refused(share):
    with pytest.raises(ValueError, match=r"Expected restart_share in \[0, 1\), but got"):
        ContrastiveDivergence(persistent=True, restart_share=share)


class Exact(MarkovStep):
    """Goes to independent draws of state and level, wherever it was."""

    redraws_levels = True

    def __call__(self, target, state):
        energy = target.energy
        joint = (shares_of(target.levels).log()[:, None] - energy.values.detach()).flatten()
        shape = state.encoded.shape[:-1]
        drawn = torch.multinomial(joint.softmax(0), shape.numel(), replacement=True).view(shape)
        encoded = every_state(SPACE)[drawn % 4].to(state.encoded)
        return ChainState(encoded, torch.ones(shape), drawn // 4)


def slope(loss, energy, count):
    """The mean gradient of the loss over data drawn from their distribution."""
    x = every_state(SPACE)[torch.multinomial(DATA, count, replacement=True)]
    pyro.clear_param_store()
    value = loss.differentiable_loss(program(energy, LEVELS), no_guide, x) / count
    return torch.autograd.grad(value, energy.values)[0]


@pytest.mark.parametrize("persistent", [False, True])
def test_the_gradient_is_that_of_the_joint_likelihood(persistent):
    """With exact chains; fails below 1e-6, six standard errors on 40 000 data and chains."""
    energy, n = LevelTable(SPACE, torch.randn(3, 4, dtype=torch.float64)), 40_000
    share = shares_of(LEVELS)[:, None]
    data = share * level_marginals(LEVELS, SPACE, DATA)
    model = (share.log() - energy.values.detach()).flatten().softmax(0).view(3, 4)
    loss = ContrastiveDivergence(step=Exact(), persistent=persistent)
    found = slope(loss, energy, n)
    error = 6 * ((data + model) / n).sqrt()
    assert ((found - (data - model)).abs() < error).all()


@pytest.mark.parametrize("step", [None, GibbsSweep()])
@pytest.mark.parametrize("persistent", [False, True])
def test_the_gradient_vanishes_at_the_joint(persistent, step):
    """Chains are at the levels of the pairs that are scored, whatever the step.

    Fails with probability below 1e-6: six standard errors on 40 000 data and chains.
    """
    exact, n = level_marginals(LEVELS, SPACE, DATA), 40_000
    energy = LevelTable(SPACE, -exact.log())
    loss = ContrastiveDivergence(step=step, persistent=persistent)
    joint = shares_of(LEVELS)[:, None] * exact
    assert (slope(loss, energy, n).abs() < 6 * (2 * joint / n).sqrt()).all()


def test_a_fit_by_chains_that_move_through_levels():
    """From a wrong share of far modes to the right one, within .05."""
    space, levels = StateSpace(5), NoiseLevels((0.0, 0.2, 0.5, 1.0))
    x = torch.zeros(400, 5)
    x[:100] = 1
    x = torch.where(torch.rand(400, 5) < 0.02, 1 - x, x)
    energy = MLPEnergy(5, (16,), num_levels=4)
    loss = ContrastiveDivergence(persistent=True, num_chains=400)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.03, "lrd": 0.02 ** (1 / 400)})
    svi = SVI(program(energy, levels), no_guide, optimizer, loss=loss)
    for _ in range(400):
        svi.step(x)
    p = torch.softmax(-energy(every_state(space)).detach(), 0)
    share = p[every_state(space).sum(-1) >= 3].sum()
    assert abs(share - (x.sum(-1) >= 3).float().mean()) < 0.05
    assert index_of(space, loss.chains["x"]).bincount(minlength=32)[0] > 40
