"""Every exact way against plain enumeration, with gradients."""

import pytest
import torch

from pyro_rm import Target
from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import (
    IsingEnergy,
    MLPEnergy,
    PairwiseFunction,
    PottsEnergy,
    RBMEnergy,
    SumEnergy,
)
from pyro_rm.energies.rbm import RBMHiddenEnergy
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.enumeration import Enumeration, index_of, states_at
from pyro_rm.evaluation import (
    IndependentSites,
    TooManyStatesError,
    annealed_importance_sampling,
    exact_samples,
    log_partition,
)
from pyro_rm.state_space import StateSpace

pytestmark = pytest.mark.usefixtures("float64")


def randomized(energy):
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    return energy


def forest(energy):
    """Keep the couplings of a path 0-3-1 and of an edge 2-4 only."""
    keep = torch.zeros(5, 5)
    for i, j in ((0, 3), (1, 3), (2, 4)):
        keep[i, j] = 1
    k = energy.weight.shape[0] // 5
    with torch.no_grad():
        energy.weight.mul_(keep.repeat_interleave(k, 0).repeat_interleave(k, 1))
    return energy


def has_closed_form(energy):
    pairwise = getattr(energy, "pairwise", None)
    return pairwise is not None and pairwise().log_partition(1) is not None


def triangle(energy):
    """Keep three couplings of five sites, which are a loop."""
    with torch.no_grad():
        energy.weight[:3, 3:] = energy.weight[3:, 3:] = 0
    return energy


WAYS = {
    "rbm": lambda: RBMEnergy(7, 3),
    "spin rbm": lambda: RBMEnergy(7, 3, states=(-1, 1)),
    "categorical rbm": lambda: RBMEnergy(4, 2, num_categories=(2, 3, 4, 2)),
    "wide rbm": lambda: RBMEnergy(3, 7),
    "ising forest": lambda: forest(randomized(IsingEnergy(5))),
    "spin forest": lambda: forest(randomized(IsingEnergy(5, states=(-1, 1)))),
    "potts forest": lambda: forest(randomized(PottsEnergy(5, (2, 3, 2, 4, 3)))),
    "fewer edges than sites, in a loop": lambda: triangle(randomized(IsingEnergy(5))),
    "mlp": lambda: MLPEnergy(6, (5,)),
}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS.keys())
def test_log_partition_and_its_gradient(make):
    energy = make()
    if not has_closed_form(energy):
        randomized(energy)
    parameters = tuple(energy.parameters())
    expected = Enumeration(Target.of(energy, energy.state_space)).log_partition()
    value = log_partition(EnergyModel(energy))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    sparse = energy.weight.detach() != 0  # only couplings of the forest enter
    for got, wanted in zip(
        torch.autograd.grad(value, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        mask = sparse if got.shape == sparse.shape and has_closed_form(energy) else torch.ones(())
        torch.testing.assert_close(got, wanted * mask, rtol=1e-10, atol=1e-10)


def test_a_long_chain_equals_its_transfer_matrix():
    size, coupling = 400, 0.7
    couplings = torch.zeros(size, size).diagonal_scatter(torch.full((size - 1,), coupling), 1)
    chain = PairwiseFunction(
        couplings + couplings.mT, torch.zeros(size), StateSpace(size, states=(-1, 1))
    )
    two_cosh = 2 * torch.tensor(coupling).cosh()
    expected = torch.tensor(2.0).log() + (size - 1) * two_cosh.log()
    torch.testing.assert_close(log_partition(chain), expected)


@pytest.mark.parametrize("categories", [2, (2, 3, 2, 2)])
def test_exact_samples_through_the_hidden_units(categories):
    """Fails with probability below 1e-7: six standard errors at 24 states at most."""
    energy = randomized(RBMEnergy(4, 2, num_categories=categories))
    space = energy.state_space
    draws = exact_samples(energy, 20_000)
    space.validate(draws)
    states = states_at(space, torch.arange(space.num_states))
    p = torch.softmax(-energy(space.encode(states, torch.float64)), 0)
    frequency = index_of(space, draws).bincount(minlength=space.num_states) / 20_000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 20_000).sqrt() + 5e-4).all()


def test_hidden_energy_sums_out_the_visible_units():
    rbm = randomized(RBMEnergy(3, 2, states=(-1, 1)))
    hidden = RBMHiddenEnergy(rbm)
    h = states_at(hidden.state_space, torch.arange(4))
    x = states_at(rbm.state_space, torch.arange(8))
    joint = (x @ rbm.visible_bias)[:, None] + (x @ rbm.weight + rbm.bias) @ h.mT
    torch.testing.assert_close(-hidden(h), joint.logsumexp(0))
    torch.testing.assert_close(-rbm(x), joint.logsumexp(1))
    left, right = h * h.new_tensor([1, 0]), h.flip(0) * h.new_tensor([0, 1])
    both = hidden(left[:, None] + right)
    torch.testing.assert_close(hidden.outer_energies(left, right), both)


def test_errors():
    with pytest.raises(TooManyStatesError, match="annealed_importance_sampling"):
        log_partition(RBMEnergy(40, 30))
    mlp = MLPEnergy(3, (2,))
    assert log_partition(mlp, max_states=8) == log_partition(mlp)
    with pytest.raises(TooManyStatesError):
        log_partition(mlp, max_states=7)
    assert randomized(IsingEnergy(3)).log_partition(8) is None  # it has a loop
    with pytest.raises(ValueError, match="num_samples to be at least 0, but got -1"):
        exact_samples(IsingEnergy(3), -1)
    alike = EnergyModel(IsingEnergy(3)).expand((2,))
    scaled = SumEnergy((torch.ones(2), IsingEnergy(3)))
    for several in (Ising(torch.zeros(2, 3, 3)), alike, scaled):
        with pytest.raises(ValueError, match="batch shape"):
            log_partition(several)
    random = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Dropout(), torch.nn.Flatten(-2))
    base = IndependentSites.uniform(StateSpace(3))
    for use in (log_partition, lambda *a, **k: annealed_importance_sampling(a[0], base, **k)):
        with pytest.raises(EnergyError, match=r"Dropout at '1'.* call \.eval"):
            use(random, state_space=StateSpace(3))
    with pytest.raises(ValueError, match="state_space"):
        log_partition(lambda x: x.sum(-1))
