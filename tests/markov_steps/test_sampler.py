"""What the chains of a sampler follow, by exact transition matrices."""

import pytest
import torch

from pyro_rm import MarkovSampler, StateSpace
from pyro_rm.energies import IsingEnergy, RBMEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.markov_steps import BlockGibbs, ColoredGibbs, GibbsSweep, ParallelTempering
from pyro_rm.testing.transition_matrices import transition_matrix

pytestmark = pytest.mark.usefixtures("float64")


def scaled(energy, beta):
    """The energy with all parameters times a number, which tempers hidden units too."""
    result = type(energy)(*energy.arguments)
    for own, other in zip(result.parameters(), energy.parameters(), strict=True):
        own.data = beta * other.data
    return result


def make(kind, *arguments):
    energy = kind(*arguments)
    energy.arguments = arguments
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    return energy


def matrix_of(energy, space, **options):
    """The transition matrix of a sampler from given starts."""

    def run(x):
        return MarkovSampler(initial=x, **options)(energy, space, x.shape[:-1])

    states = states_at(space, torch.arange(space.num_states))
    return transition_matrix(run, states, lambda x: index_of(space, x), space.num_states)


@pytest.mark.parametrize(
    ("step", "kind", "arguments"),
    [
        (GibbsSweep(), IsingEnergy, (2,)),
        (ColoredGibbs((0, 1)), IsingEnergy, (2,)),
        (BlockGibbs(), RBMEnergy, (2, 2)),
    ],
)
def test_annealed_steps_follow_rising_inverse_temperatures(step, kind, arguments):
    energy = make(kind, *arguments)
    space = energy.state_space
    annealed = {"num_steps": 2, "step": step, "annealed": True}
    found = matrix_of(energy, space, **annealed)
    warm, cool = (
        matrix_of(scaled(energy, beta), space, num_steps=1, step=step) for beta in (0.5, 1.0)
    )
    torch.testing.assert_close(found, warm @ cool, rtol=0, atol=1e-12)


def test_cooling_chains_spread_better_over_separate_modes():
    space, levels = StateSpace(3), torch.tensor([-6.0, 0.0, -3.0, -6.0])  # by the number of ones
    states = states_at(space, torch.arange(8))

    def distance(betas):
        """Of the ends of chains from uniform starts."""
        ends = torch.full((8,), 1 / 8)
        for beta in betas:

            def energy(x, beta=beta):
                return beta * levels[x.sum(-1).long()]

            ends = ends @ matrix_of(energy, space, num_steps=1)
        return (ends - torch.softmax(-levels[states.sum(-1).long()], 0)).abs().sum()

    assert distance([0.25, 0.5, 0.75, 1.0]) < 0.8 * distance([1.0] * 4)


def test_replicas_cool_down_too():
    step = ParallelTempering(GibbsSweep(), (1.0, 0.5))
    energy = make(IsingEnergy, 3)
    draws = MarkovSampler(3, step, annealed=True)(energy, energy.state_space, torch.Size([5]))
    assert draws.shape == (5, 3)


def test_warm_starts_are_not_heated():
    warm = MarkovSampler(5, annealed=True).starting_from(torch.zeros(3))
    assert not warm.annealed
    assert warm.num_steps == 5
