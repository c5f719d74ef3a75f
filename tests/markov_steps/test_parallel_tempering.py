"""Parallel tempering leaves the product of all temperatures invariant, clamped or not."""

import copy

import pytest
import torch

from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.markov_steps import (
    BlockGibbs,
    Chains,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    MarkovStep,
    ParallelTempering,
)
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing.transition_matrices import transition_matrix

CASES = {
    "gibbs": (GibbsSweep(), (1.0, 0.4, 0.1), lambda: IsingEnergy(2)),
    "gradients": (GibbsWithGradients(), (1.0, 0.3), lambda: MLPEnergy(3, (4,))),
    "langevin": (DiscreteLangevin(), (1.0, 0.0), lambda: RBMEnergy(2, 3)),
    "categorical": (GibbsSweep(), (1.0, 0.5), lambda: PottsEnergy(2, 3)),
    "block": (BlockGibbs(), (1.0, 0.4), lambda: RBMEnergy(2, 2, states=(-1, 1))),
    "categorical block": (BlockGibbs(), (1.0, 0.0), lambda: RBMEnergy(2, 1, num_categories=3)),
    "colored": (ColoredGibbs((0, 1)), (1.0, 0.5, 0.0), lambda: IsingEnergy(2)),
}


def all_tuples(space, replicas):
    """States of all replicas, ``(T, S ** T, D)``, the first replica leading."""
    states = states_at(space, torch.arange(space.num_states))
    index = torch.arange(space.num_states**replicas)
    places = [space.num_states ** (replicas - 1 - t) for t in range(replicas)]
    return torch.stack([states[index // place % space.num_states] for place in places])


def at_temperature(step, energy, beta):
    """The energy of a replica; block Gibbs tempers both layers, that is all parameters."""
    if not isinstance(step, BlockGibbs):
        return lambda x: beta * energy(x)
    scaled = copy.deepcopy(energy)
    for parameter in scaled.parameters():
        parameter.data *= beta
    return scaled


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("clamped", [False, True], ids=["free", "clamped"])
@pytest.mark.parametrize("name", CASES)
def test_the_product_of_all_temperatures_is_invariant(name, clamped):
    inner, betas, make = CASES[name]
    energy = make()
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space, step = energy.state_space, ParallelTempering(inner, betas)
    states = all_tuples(space, len(betas))
    active = None
    if clamped:
        active = torch.arange(space.num_sites) != 0
        states = states[:, (states[..., 0] == states[:1, :, 0]).all(0)]
    chains = space.encode(states, torch.float64)

    def number(x):
        total = 0
        for replica in index_of(space, space.decode(x)):
            total = total * space.num_states + replica
        return total

    size = space.num_states ** len(betas)
    target = Target.of(energy, active=active)
    matrix = transition_matrix(
        lambda x: step(target, step.init(target, x)).encoded, chains, number, size, chain_dim=1
    )
    exponent = sum(
        at_temperature(inner, energy, beta)(x) for beta, x in zip(betas, chains, strict=True)
    ).detach()
    p = torch.zeros(size).index_put((number(chains),), torch.softmax(-exponent, 0))
    torch.testing.assert_close(p @ matrix, p, rtol=0, atol=1e-10)
    assert (matrix.diagonal()[number(chains)] < 1).all()


class Still(MarkovStep):
    """A step that moves nothing."""

    def __call__(self, target, state):
        return state


@pytest.mark.usefixtures("float64")
def test_neighboring_temperatures_swap_as_often_as_they_should():
    energy, betas = IsingEnergy(2), torch.tensor([1.0, 0.25])
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    step, target = ParallelTempering(Still(), [1, 0.25]), Target.of(energy)
    chains = all_tuples(energy.state_space, 2)

    def number(x):
        return index_of(energy.state_space, x[0]) * 4 + index_of(energy.state_space, x[1])

    matrix = transition_matrix(
        lambda x: step(target, step.init(target, x)).encoded, chains, number, 16, chain_dim=1
    )
    low, high = energy(chains).detach()
    chance = ((betas[0] - betas[1]) * (low - high)).exp().clamp(max=1.0)
    expected = torch.diag(1 - chance).index_put(
        (number(chains), number(chains.flip(0))), chance, accumulate=True
    )
    torch.testing.assert_close(matrix, expected)
    torch.testing.assert_close(step(target, step.init(target, chains)).acceptance[0], chance)


def test_of_three_temperatures_the_first_two_swap_first():
    replicas = torch.eye(3)[:, None]
    step = ParallelTempering(Still(), (1.0, 0.5, 0.0))
    flat = Target(lambda x: 0 * x.sum(-1), StateSpace(3))
    moved = step(flat, step.init(flat, replicas)).encoded
    assert torch.equal(moved, replicas[[1, 2, 0]])


def test_swaps_are_reported_and_replicas_added():
    step = ParallelTempering(GibbsSweep(), (1.0, 0.5, 0.0))
    space = StateSpace(3)
    flat = Chains(Target(lambda x: 0 * x.sum(-1), space), torch.zeros(5, 3), step)
    assert flat.state.encoded.shape == (3, 5, 3)
    assert (flat.run(1).acceptance == 1).all()  # all temperatures are alike
    assert flat.encoded.shape == (5, 3)
    plain = torch.zeros(5, 3)
    assert Chains(Target(lambda x: x.sum(-1), space), plain, GibbsSweep()).encoded is plain


def test_errors():
    step = ParallelTempering(GibbsSweep(), [1, 0.5])
    assert step == ParallelTempering(GibbsSweep(), (1.0, 0.5))
    for betas in [(1.0,), (0.9, 0.5), (1.0, 1.0), (1.0, -0.1), (1.0, 0.5, -0.1), (1.0, 0.5, 0.7)]:
        with pytest.raises(ValueError, match="from 1 strictly down"):
            ParallelTempering(GibbsSweep(), betas)
    step, space = ParallelTempering(GibbsSweep(), (1.0, 0.5)), StateSpace(2)
    with pytest.raises(ValueError, match="2 temperatures as their first dimension"):
        step.init(Target(lambda x: x.sum(-1), space), torch.zeros(3, 2))
    clamped = Target(lambda x: x.sum(-1), space, active=torch.tensor([True, False]))
    with pytest.raises(ValueError, match="same clamped sites and values"):
        step.init(clamped, torch.eye(2))
