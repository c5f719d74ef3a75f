"""Blocked sums against plain ones over a list of all states, for every energy."""

import pytest
import torch

from pyro_rm import Target
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, SumEnergy
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.enumeration import Enumeration, index_of, outer_energies, states_at
from pyro_rm.state_space import StateSpace

pytestmark = pytest.mark.usefixtures("float64")


class Plain(torch.nn.Module):
    """Any energy, without its fast ways."""

    def __init__(self, energy):
        super().__init__()
        self.energy, self.state_space = energy, energy.state_space

    def forward(self, x):
        return self.energy(x)


ENERGIES = {
    "ising": lambda: IsingEnergy(6),
    "spins": lambda: IsingEnergy(6, states=(-1, 1)),
    "potts": lambda: PottsEnergy(4, (2, 3, 4, 2)),
    "rbm": lambda: RBMEnergy(6, 4),
    "categorical rbm": lambda: RBMEnergy(3, 4, num_categories=(3, 2, 3)),
    "mlp": lambda: MLPEnergy(6, (5, 5)),
    "categorical mlp": lambda: MLPEnergy(3, (5,), num_categories=4),
    "tempered": lambda: SumEnergy((0.5, IsingEnergy(6))),
    "plain": lambda: Plain(MLPEnergy(5, (4,), states=(-1, 1))),
}


@pytest.fixture(params=ENERGIES.values(), ids=ENERGIES.keys())
def energy(request):
    energy = request.param()
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    return energy


def all_energies(energy):
    space = energy.state_space
    states = states_at(space, torch.arange(space.num_states))
    return energy(space.encode(states, torch.float64))


@pytest.mark.parametrize("chunk_size", [1, 7, 16, 2**16])
def test_blocks_are_all_energies_in_order(energy, chunk_size):
    sums = Enumeration(Target.of(energy, energy.state_space), chunk_size=chunk_size)
    blocks = torch.cat([sums.block(k) for k in range(sums.num_blocks)])
    torch.testing.assert_close(blocks, all_energies(energy), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [7, 2**16])
def test_sums_and_gradients(energy, chunk_size):
    sums = Enumeration(Target.of(energy, energy.state_space), chunk_size=chunk_size)
    parameters = tuple(energy.parameters())

    def gradients(value):
        return torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)

    log_partition = (-all_energies(energy)).logsumexp(0)
    every = all_energies(energy)
    mean_energy = torch.softmax(-every, 0) @ every
    for value, expected in (
        (sums.log_partition(), log_partition),
        (sums.mean_energy(), mean_energy),
    ):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
        for got, wanted in zip(gradients(value), gradients(expected), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_draws_over_several_blocks_follow_the_model():
    """Fails with probability below 1e-7: six standard errors at 24 states."""
    energy = PottsEnergy(3, (2, 3, 4))
    torch.nn.init.normal_(energy.weight)
    space = energy.state_space
    draws = Enumeration(Target.of(energy, space), chunk_size=5).draw(20_000)
    p = torch.softmax(-all_energies(energy), 0)
    frequency = index_of(space, draws).bincount(minlength=24) / 20_000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 20_000).sqrt()).all()
    assert Enumeration(Target.of(energy, space)).draw(0).shape == (0, 3)


def test_memory_of_the_normalized_model_is_one_number_a_block():
    model = NormalizedModel(EnergyModel(IsingEnergy(18)), chunk_size=2**12)
    assert model._log_block_sums.shape == (2**6,)
    torch.testing.assert_close(model.log_partition, torch.tensor(2.0).log() * 18)


def test_states_are_where_the_energy_is():
    """It sees the device that it says, here one without data."""

    class Elsewhere:
        device = torch.device("meta")

        def __call__(self, x):
            assert x.device == self.device
            return torch.zeros(x.shape[:-1])

    total = Enumeration(Target.of(Elsewhere(), StateSpace(5)), chunk_size=8).log_partition()
    torch.testing.assert_close(total.exp(), torch.tensor(32.0))


def test_infinite_energies_are_refused():
    space = StateSpace(3)
    with pytest.raises(EnergyError, match="finite"):
        Enumeration(Target.of(lambda x: x.sum(-1).log(), space)).log_partition()
    wide = IsingEnergy(3)
    torch.nn.init.constant_(wide.fields, torch.inf)
    with pytest.raises(EnergyError, match="finite"):
        Enumeration(Target.of(wide, space)).block(0)


def test_outer_energies_broadcast_over_partial_states(energy):
    space = energy.state_space
    x = space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)
    left, right = x[:5].clone(), x[-7:].clone()
    left[:, 2:] = 0
    right[:, :2] = 0
    pairs = outer_energies(Target.of(energy), left, right)
    torch.testing.assert_close(pairs, energy(left[:, None] + right), rtol=1e-12, atol=1e-12)
