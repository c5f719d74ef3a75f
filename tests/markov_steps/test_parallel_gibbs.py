"""Redrawing many sites at once: exact where sites do not interact, and adapted in burn-in."""

import pytest
import torch

from pyro_rm import StateSpace, Target
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, SumEnergy
from pyro_rm.enumeration import Enumeration
from pyro_rm.evaluation import IndependentSites
from pyro_rm.markov_steps import Chains, GibbsSweep, MarkovSampler, ParallelGibbs
from pyro_rm.markov_steps.chains import burn_in_step

pytestmark = pytest.mark.usefixtures("float64")


class Network(torch.nn.Module):
    """An energy that knows nothing but its values, and counts the states that it is asked for."""

    def __init__(self, num_sites):
        super().__init__()
        self.layer, self.count = torch.nn.Linear(num_sites, 8), 0

    def forward(self, x):
        self.count += x.shape[:-1].numel()
        return self.layer(x).tanh().sum(-1)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_proposals_of_independent_sites_are_all_accepted(share):
    energy = IsingEnergy(6)
    torch.nn.init.normal_(energy.fields)
    chains = Chains(energy, torch.zeros(50, 6), ParallelGibbs(share)).run(3)
    torch.testing.assert_close(chains.acceptance, torch.ones(50))


def test_independent_categories_are_all_accepted():
    energy = PottsEnergy(4, 3)
    torch.nn.init.normal_(energy.fields)
    target = Target.of(energy)
    start = target.encode(torch.zeros(50, 4))
    chains = Chains(target, start, ParallelGibbs(0.7)).run(3)
    torch.testing.assert_close(chains.acceptance, torch.ones(50))


def test_burn_in_brings_the_acceptance_to_its_aim():
    """A share that starts far too large; the mean over 4 000 proposals is within .1, 6 sd."""
    torch.manual_seed(0)
    energy = IsingEnergy(40)
    torch.nn.init.normal_(energy.weight, std=0.4)
    step = ParallelGibbs(1.0, num_proposals=1)
    chains = Chains(energy, torch.zeros(200, 40), step).run(100, num_adapting=100)
    assert 0 < chains.step.share < 1
    fixed, means = chains.step, []
    chains.run(20, observe=lambda _: means.append(chains.acceptance.mean()))
    assert chains.step == fixed
    assert torch.stack(means).mean() == pytest.approx(0.574, abs=0.1)


def test_without_an_aim_the_share_stays():
    step = ParallelGibbs(0.9, target_acceptance=None)
    assert not step.is_adaptive
    assert step.adapted(torch.zeros(3)) == step
    assert Chains(IsingEnergy(4), torch.zeros(3, 4), step).run(5, num_adapting=5).step == step


def test_the_share_is_a_probability():
    assert ParallelGibbs(0.99).adapted(torch.ones(3)).share == 1.0
    with pytest.raises(ValueError, match="Expected share above 0 and at most 1, but got 0"):
        ParallelGibbs(0)
    with pytest.raises(ValueError, match="Expected target_acceptance between 0 and 1"):
        ParallelGibbs(target_acceptance=1.0)


def test_which_step_chains_with_a_burn_in_take():
    start = torch.zeros(3, 40)
    assert burn_in_step(Target.of(MLPEnergy(40, (8, 8))), start) == ParallelGibbs()
    assert burn_in_step(Target.of(MLPEnergy(40, (8,))), start) == GibbsSweep()
    base = IndependentSites.uniform(StateSpace(40))
    for sizes, step in (((8, 8), ParallelGibbs()), ((8,), GibbsSweep())):
        mixed = SumEnergy((0.3, base), (0.7, MLPEnergy(40, sizes)))
        assert burn_in_step(Target.of(mixed), start) == step
    assert burn_in_step(Target.of(Network(40), StateSpace(40)), start) == ParallelGibbs()
    assert burn_in_step(Target.of(MLPEnergy(10, (8, 8))), start[:, :10]) == GibbsSweep()
    assert burn_in_step(Target.of(IsingEnergy(40)), start) == GibbsSweep()

    def flat(x):
        return 0.0 * x.sum(-1)

    def rounded(x):
        return x.detach().sum(-1)

    for energy in (flat, rounded):  # no gradient tells where to go
        assert burn_in_step(Target.of(energy, StateSpace(40)), start) == GibbsSweep()


def test_a_draw_costs_fewer_energies_than_a_sweep():
    energy = Network(40)
    MarkovSampler(10, progress=False)(energy, StateSpace(40), (3,))
    assert 0 < energy.count <= 3 * (10 * 5 + 2)


def test_draws_are_of_the_model():
    """Means of 17 sites differ by less than 6.3 sd of two samples: fails below 1e-8."""
    torch.manual_seed(1)
    energy = MLPEnergy(17, (6, 6))
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    target = Target.of(energy)
    assert burn_in_step(target, torch.zeros(3, 17)) == ParallelGibbs()
    exact = Enumeration(target).draw(10_000).mean(0)
    found = MarkovSampler(60, progress=False)(target, sample_shape=(10_000,)).mean(0)
    assert (found - exact).abs().max() < 0.045
