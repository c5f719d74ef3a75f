"""Bounding the neighbors evaluated at once changes nothing but memory."""

import pytest
import torch
from torch import nn

import pyro_rm
from pyro_rm.energies import MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.evaluation import IndependentSites, annealed_importance_sampling
from pyro_rm.markov_steps import GibbsSweep

pytestmark = pytest.mark.usefixtures("float64")


class Recorded(nn.Module):
    """A generic energy that keeps the number of states of each evaluation."""

    def __init__(self, num_categories=2):
        super().__init__()
        self.state_space = pyro_rm.StateSpace(5, num_categories)
        self.weight = nn.Parameter(torch.randn(5))
        self.counts = []

    def forward(self, x, *context):
        batch_shape = x.shape[:-1] if self.state_space.is_binary else x.shape[:-2]
        self.counts.append(batch_shape.numel())
        sites = x if self.state_space.is_binary else x[..., 0] - 2 * x[..., 1]
        energies = (sites @ self.weight).sin() + (sites * sites.roll(1, -1)).sum(-1)
        return energies + sum((c * sites).sum(-1) for c in context)


ENERGIES = {
    "mlp": lambda: MLPEnergy(5, (6,)),
    "rbm": lambda: RBMEnergy(5, 4),
    "potts": lambda: PottsEnergy(5, 3),
    "categorical mlp": lambda: MLPEnergy(5, (6,), num_categories=(2, 3, 4, 3, 2)),
    "generic": Recorded,
    "categorical generic": lambda: Recorded(3),
    "tempered": lambda: 0.5 * MLPEnergy(5, (6,)),
}


def values_and_gradients(energy, x, **options):
    torch.manual_seed(1)
    energy.zero_grad()
    values = pyro_rm.estimate(energy, x, **options)
    (values * torch.arange(1.0, len(x) + 1)).sum().backward()
    return [values.detach(), *(p.grad for p in energy.parameters() if p.grad is not None)]


@pytest.mark.parametrize("num_neighbors", [3, "all"])
@pytest.mark.parametrize("objective", ["pseudolikelihood", "minimum_probability_flow"])
@pytest.mark.parametrize("make", ENERGIES.values(), ids=ENERGIES)
def test_values_and_gradients_are_the_same(make, objective, num_neighbors):
    energy = make()
    for parameter in energy.parameters():
        nn.init.normal_(parameter)
    x = torch.randint(2, (4, 5)).double()
    options = {"objective": objective, "num_neighbors": num_neighbors, "proposal": "gradient"}
    if isinstance(energy, Recorded):
        options["context"] = torch.randn(4, 5)
    expected = values_and_gradients(energy, x, **options)
    assert len(expected) > 1
    for bound in (1, 6, 1000):
        got = values_and_gradients(energy, x, max_neighbors_per_chunk=bound, **options)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("num_neighbors", [4, "all"])
@pytest.mark.parametrize("make", [Recorded, lambda: Recorded(3)])
def test_the_bound_holds_forward_and_backward(make, num_neighbors):
    energy, x = make(), torch.zeros(4, 5)
    pyro_rm.estimate(energy, x, context=torch.ones(4, 5))  # checks that it repeats itself
    energy.counts.clear()
    value = pyro_rm.estimate(
        energy,
        x,
        num_neighbors=num_neighbors,
        max_neighbors_per_chunk=8,
        context=torch.ones(4, 5),
    ).sum()
    forward = len(energy.counts)
    value.backward()
    assert len(energy.counts) == 2 * forward >= 4  # each chunk is computed again
    assert max(energy.counts) == 8 + 4  # with the data


def greedy(x):
    """An energy that wants a pebibyte for more than three states at once."""
    if x.shape[:-1].numel() > 3:
        torch.empty(2**50)
    return x.sum(-1)


def test_neighbors_that_do_not_fit_in_memory_name_the_option():
    x, target = torch.zeros(1, 4), pyro_rm.Target.of(greedy, pyro_rm.StateSpace(4))
    with pytest.raises(RuntimeError, match=r"4 neighbors .* Set max_neighbors_per_chunk"):
        pyro_rm.estimate(target, x, num_neighbors="all")
    few = pyro_rm.estimate(target, x, num_neighbors="all", max_neighbors_per_chunk=2)
    assert few.isfinite().all()


def test_chains_that_do_not_fit_in_memory_name_the_option():
    base = IndependentSites(torch.zeros(3), pyro_rm.StateSpace(3))
    options = {"num_chains": 4, "inverse_temperatures": 3, "state_space": pyro_rm.StateSpace(3)}
    options |= {"step": GibbsSweep(), "progress": False}
    with pytest.raises(RuntimeError, match="Set chunk_size to less than 4 chains"):
        annealed_importance_sampling(greedy, base, **options)
