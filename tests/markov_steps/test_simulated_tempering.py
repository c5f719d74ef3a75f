"""Chains that move through levels of noise reach the masses of far modes."""

import sys
from pathlib import Path

import pytest
import torch
from pyro.infer import MCMC

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import MLPEnergy, RBMEnergy, with_levels
from pyro_rm.enumeration import index_of
from pyro_rm.infer import MarkovKernel, NoiseLevels
from pyro_rm.markov_steps import (
    BlockGibbs,
    Chains,
    GibbsSweep,
    ParallelTempering,
    SimulatedTempering,
    default_step,
)
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing import check_step

sys.path.insert(0, str(Path(__file__).parents[1]))
from level_tables import LevelTable, every_state, level_marginals, shares_of

SPACE = StateSpace(6)
LEVELS = NoiseLevels((0.0, 0.15, 0.3, 0.5, 0.75, 1.0))


def islands():
    """Two islands of shares .8 and .2, six flips apart; the rest has little."""
    x = every_state(SPACE)
    near = torch.stack([x.sum(-1), 6 - x.sum(-1)])
    p = (torch.tensor([[0.8], [0.2]]) * 0.02**near).sum(0).double()
    p = p / p.sum()
    return p, LevelTable(SPACE, 1.0 - level_marginals(LEVELS, SPACE, p).log())


@pytest.mark.parametrize("start", ["the background", "the smaller island"])
def test_chains_reach_the_masses_of_islands(start):
    """Fails with probability below 1e-7: six standard errors on 2000 chains."""
    p, energy = islands()
    n = 2000
    initial = None if start == "the background" else torch.ones(6)
    sampler = pyro_rm.MarkovSampler(100, initial=initial, progress=False)
    drawn = sampler(Target.of(energy, levels=LEVELS), sample_shape=(n,))
    size = every_state(SPACE).sum(-1)
    for near in (size <= 2, size >= 4, size == 0, size == 6):
        mass = p[near].sum()
        found = near[index_of(SPACE, drawn)].double().mean()
        assert abs(found - mass) < 6 * (mass * (1 - mass) / n).sqrt()
    stuck = pyro_rm.MarkovSampler(100, GibbsSweep(), initial=torch.ones(6), progress=False)
    assert stuck(energy, sample_shape=(200,)).mean() > 0.6


def test_levels_are_visited_by_their_shares():
    """Fails with probability below 1e-7: six standard errors on 4000 chains."""
    levels = NoiseLevels((0.0, 0.5, 1.0), shares=(0.6, 0.1, 0.3))
    space, n = StateSpace(3), 4000
    p = torch.linspace(-2, 2, 8, dtype=torch.float64).softmax(0)
    exact = level_marginals(levels, space, p)
    target = Target.of(LevelTable(space, -exact.log()), levels=levels)
    chains = Chains(target, torch.zeros(n, 3)).run(30)
    share = shares_of(levels)
    joint = (share[:, None] * exact).flatten()
    found = chains.state.known * 8 + index_of(space, chains.encoded)
    frequency = found.bincount(minlength=24).double() / n
    assert ((frequency - joint).abs() < 6 * (joint * (1 - joint) / n).sqrt()).all()


def test_the_mixture_of_levels_is_left_invariant():
    """By the full transition matrix, at unequal shares and with hidden units."""
    levels = NoiseLevels((0.0, 0.5, 1.0), shares=(0.5, 0.3, 0.2))
    for energy in (
        MLPEnergy(2, (4,), num_categories=(2, 3), num_levels=3),
        with_levels(RBMEnergy(2, 2), 3),
    ):
        for parameter in energy.double().parameters():
            torch.nn.init.normal_(parameter)
        check_step(SimulatedTempering(GibbsSweep()), Target.of(energy, levels=levels))


def test_it_is_the_default_where_there_are_levels():
    energy, levels = MLPEnergy(3, (4,), num_levels=2), NoiseLevels((0.0, 1.0))
    assert default_step(energy) == GibbsSweep()
    assert default_step(EnergyModel(energy)) == GibbsSweep()
    assert default_step(EnergyModel(energy, levels=levels)) == SimulatedTempering(GibbsSweep())
    target = Target.of(energy, levels=levels)
    assert default_step(target) == SimulatedTempering(GibbsSweep())
    assert default_step(target.on(torch.zeros(1).long())) == GibbsSweep()


def test_context_and_inactive_sites_stay():
    energy = with_levels(
        lambda x, field: -(field * x).sum(-1), 2, num_context=1, state_space=StateSpace(3)
    )
    model = EnergyModel(
        energy,
        context=torch.full((50, 3), 9.0),
        active=torch.tensor([True, True, False]),
        levels=NoiseLevels((0.0, 1.0)),
        sampler=pyro_rm.MarkovSampler(3, initial=torch.zeros(3), progress=False),
    )
    assert (model.sample() == torch.tensor([1.0, 1.0, 0.0])).float().mean() > 0.95


def test_the_last_step_is_at_the_data():
    seen = []

    class Watching(LevelTable):
        def forward(self, x, level=None):
            if level is not None:
                seen.append(int(level.max()))
            return super().forward(x, level)

    energy = Watching(StateSpace(2), torch.zeros(4, 4))
    levels = NoiseLevels((0.0, 0.3, 0.6, 1.0))
    for num_steps in (0, 1, 2, 3, 9):
        seen.clear()
        pyro_rm.MarkovSampler(num_steps, progress=False)(
            Target.of(energy, levels=levels), sample_shape=(200,)
        )
        assert seen[-1:] == [0] * min(num_steps, 1)
        assert num_steps < 9 or 3 in seen


def test_a_kernel_of_mcmc_is_at_the_data():
    """Fails with probability below 1e-7: six standard errors on 2000 chains."""
    space, n = StateSpace(2), 2000
    p = torch.tensor([0.6, 0.05, 0.05, 0.3], dtype=torch.float64)
    levels = NoiseLevels((0.0, 1.0))
    energy = LevelTable(space, -level_marginals(levels, space, p).log())
    kernel = MarkovKernel(EnergyModel(energy, levels=levels), sample_shape=(n,))
    mcmc = MCMC(kernel, num_samples=1, warmup_steps=40, disable_progbar=True)
    mcmc.run()
    frequency = index_of(space, mcmc.get_samples()["x"][0]).bincount(minlength=4).double() / n
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / n).sqrt()).all()


def test_replicas_and_targets_without_levels_are_refused():
    with pytest.raises(ValueError, match="Expected a step that moves single chains"):
        SimulatedTempering(ParallelTempering(GibbsSweep(), (1.0, 0.5)))
    step = SimulatedTempering(BlockGibbs())
    with pytest.raises(ValueError, match="a target with levels of noise, but got one without"):
        Chains(RBMEnergy(3, 2), torch.zeros(4, 3), step).run(1)
