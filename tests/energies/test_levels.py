"""Energies that know levels of noise: each fast way against the plain values."""

import copy
import pickle

import pytest
import torch

import pyro_rm
from pyro_rm.energies import (
    IsingEnergy,
    MLPEnergy,
    PottsEnergy,
    RBMEnergy,
    RelationalGraphEnergy,
    SumEnergy,
    with_levels,
)
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.enumeration import states_at
from pyro_rm.generic_paths import LeveledAt, evaluated_gaps, evaluated_levels
from pyro_rm.graphs import active_pairs
from pyro_rm.infer import NoiseLevels
from pyro_rm.markov_steps import GibbsSweep
from pyro_rm.neighborhoods import all_neighbors, at_neighbors
from pyro_rm.site_walks import SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing import check_energy, check_step

pytestmark = pytest.mark.usefixtures("float64")


class Fields(torch.nn.Module):
    """A conditional energy: each datum has a field of its own."""

    def __init__(self, space):
        super().__init__()
        self.state_space = space

    def forward(self, x, field):
        return -((field * x).sum(-1) + (x[..., 0] * x[..., 1]))


class LevelWeight(torch.nn.Module):
    """A weight that depends on context and level, and has no table of all levels."""

    def forward(self, *context):
        return 1 + 0.5 * context[-1] if context and not context[-1].is_floating_point() else 1.0


def plain(energy):
    """The same values, without any fast way."""

    def values(x, *context):
        return energy(x, *context)

    return values


ENERGIES = {
    "bits": lambda: (MLPEnergy(3, (5, 4), num_levels=3), 0),
    "bits that are not centered": lambda: (MLPEnergy(3, (5,), num_levels=3, centered=False), 0),
    "spins": lambda: (MLPEnergy(3, (5,), states=(-1, 1), num_levels=3), 0),
    "categories": lambda: (MLPEnergy(3, (5,), num_categories=(2, 3, 3), num_levels=3), 0),
    "pairs with levels": lambda: (with_levels(IsingEnergy(3), 3), 0),
    "Potts with levels": lambda: (with_levels(PottsEnergy(3, 3), 3), 0),
    "hidden units with levels": lambda: (with_levels(RBMEnergy(3, 2), 3), 0),
    "a network with levels": lambda: (with_levels(MLPEnergy(3, (4,)), 3), 0),
    "a sum": lambda: (
        0.5 * MLPEnergy(3, (4,), num_levels=3) + IsingEnergy(3) + with_levels(IsingEnergy(3), 3), 0
    ),
    "a sum of a sum": lambda: (
        2.0 * (MLPEnergy(3, (4,), num_levels=3) + IsingEnergy(3)) + RBMEnergy(3, 2), 0
    ),
    "a context and levels": lambda: (
        with_levels(Fields(StateSpace(3)), 3, num_context=1), 1
    ),
    "a context beside a network": lambda: (
        SumEnergy(Fields(StateSpace(3)), MLPEnergy(3, (4,), num_levels=3)), 1
    ),
    "a network beside a context": lambda: (
        MLPEnergy(3, (4,), num_levels=3)
        + SumEnergy(Fields(StateSpace(3)), IsingEnergy(3))
        + with_levels(Fields(StateSpace(3)), 3, num_context=1),
        1,
    ),
    "a weight of levels": lambda: (
        SumEnergy((LevelWeight(), IsingEnergy(3)), MLPEnergy(3, (4,), num_levels=3)), 0
    ),
}  # fmt: skip


@pytest.fixture(params=list(ENERGIES))
def case(request):
    """An energy, data, their context, and a level for each."""
    energy, num_context = ENERGIES[request.param]()
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space = energy.state_space
    x = space.encode(states_at(space, torch.arange(8)), torch.float64)
    context = tuple(torch.randn(8, 3) for _ in range(num_context))
    return energy, x, context, torch.arange(8) % 3


def test_it_knows_as_many_levels_as_it_says(case):
    energy, x, context, _ = case
    assert energy.num_levels == 3
    target = Target(energy, energy.state_space, context)
    table = target.level_energies(x, 3)
    expected = evaluated_levels(lambda x, c: energy(x, *c), energy.state_space, x, 3, context)
    torch.testing.assert_close(table, expected)
    torch.testing.assert_close(target.level_energies(x, 2), expected[:, :2])
    torch.testing.assert_close(target(x), expected[:, 0])  # without a level it is level 0
    each = torch.stack([energy(x, *context, torch.full((8,), k)) for k in range(3)], 1)
    torch.testing.assert_close(expected, each)


def test_gaps_at_a_level_are_differences(case):
    energy, x, context, level = case
    space = energy.state_space
    neighbors, exists = all_neighbors(space, x)
    for given in ((*context, level), context):
        target = Target(energy, space, given)
        expected = evaluated_gaps(lambda x, c: energy(x, *c), space, x, neighbors, given) * exists
        for here in (target, target.prepared(x)):
            torch.testing.assert_close(here.gaps(x, neighbors) * exists, expected)
            torch.testing.assert_close(
                at_neighbors(here.gap_table(x), neighbors) * exists, expected
            )


def test_gradients_at_a_level_are_those_of_the_values(case):
    energy, x, context, level = case
    target = Target(energy, energy.state_space, (*context, level))
    generic = Target(plain(energy), energy.state_space, (*context, level))
    for here in (target, target.prepared(x)):
        for found, expected in zip(
            here.energy_and_gradient(x), generic.energy_and_gradient(x), strict=True
        ):
            torch.testing.assert_close(found, expected)


def test_walks_at_a_level_follow_the_values(case):
    energy, x, context, level = case
    space = energy.state_space
    target = Target(energy, space, (*context, level))
    torch.manual_seed(1)
    own = GibbsSweep()(target, GibbsSweep().init(target, x)).encoded
    generic = Target(plain(energy), space, (*context, level))
    torch.manual_seed(1)
    expected = GibbsSweep()(generic, GibbsSweep().init(generic, x)).encoded
    assert torch.equal(own, expected)
    if not isinstance(energy, SumEnergy):
        assert type(target.walk(x)) is not SiteWalk


@pytest.mark.parametrize("position", [0, 0.25, 1, 1.5, 2])
def test_between_two_levels_energies_are_interpolated(case, position):
    energy, x, context, _ = case
    space = energy.state_space
    table = Target(energy, space, context).level_energies(x, 3)
    below = int(min(position, 1))
    share = position - below
    expected = (1 - share) * table[:, below] + share * table[:, below + 1]
    target = Target(energy, space, context).between(position)
    generic = Target(LeveledAt(energy, space, position), space, context)
    assert getattr(target.energy, "num_levels", None) is None
    torch.testing.assert_close(target(x), expected)
    torch.testing.assert_close(generic(x), expected)
    neighbors, exists = all_neighbors(space, x)
    gaps = evaluated_gaps(lambda x, c: target.energy(x, *c), space, x, neighbors, context)
    torch.testing.assert_close(target.gaps(x, neighbors) * exists, gaps * exists)


def test_parameters_are_reached_by_the_level_term(case):
    energy, x, context, level = case
    table = Target(energy, energy.state_space, context).level_energies(x, 3)
    table.gather(1, level[:, None]).sum().backward()
    reached = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in energy.parameters()]
    assert all(reached)


def test_copies_know_the_same_levels(case):
    energy, x, context, level = case
    expected = energy(x, *context, level)
    for other in (copy.deepcopy(energy), pickle.loads(pickle.dumps(energy))):
        assert other.num_levels == 3
        torch.testing.assert_close(other(x, *context, level), expected)


def test_an_energy_at_a_level_shares_its_layers_and_is_not_trained_there():
    energy = MLPEnergy(3, (4,), num_levels=3)
    one = energy.at_level(1.5)
    assert one.weight is energy.weight
    assert one.layers[0] is energy.layers[0]
    assert not one.layers[-1].weight.requires_grad
    assert energy.num_levels == 3
    assert energy.layers[-1].weight.shape == (3, 4)


@pytest.mark.parametrize("energy", [
    lambda: MLPEnergy(3, (4,), num_levels=2), lambda: with_levels(IsingEnergy(3), 2),
])  # fmt: skip
def test_it_passes_the_checks_of_an_energy(energy):
    check_energy(energy())
    check_step(GibbsSweep(), Target.of(energy(), context=torch.tensor([1])))


def test_levels_that_are_no_integers_are_told_from_other_context():
    energy = MLPEnergy(3, (4,), num_levels=2)
    with pytest.raises(EnergyError, match=r"as integers, but got torch.float64. In a sum with"):
        energy(torch.zeros(2, 3), torch.ones(2))


def test_terms_that_know_other_levels_are_refused():
    with pytest.raises(ValueError, match=r"know as many levels of noise, but got \[2, 3\]"):
        MLPEnergy(3, (4,), num_levels=2) + MLPEnergy(3, (4,), num_levels=3)


@pytest.mark.parametrize("num_features", [0, 2])
def test_graphs_know_levels_beside_sizes_and_features(num_features):
    """Values without a level are those of level 0; the level comes last."""
    energy = RelationalGraphEnergy(4, num_hidden=3, num_levels=3, num_features=num_features)
    x = states_at(energy.state_space, torch.arange(64))[::9].double()
    context = (torch.tensor([3, 4] * 4), torch.randn(8, 4, num_features))[: 1 + bool(num_features)]
    target = Target(energy, energy.state_space, context)
    table = target.level_energies(x, 3)
    each = torch.stack([energy(x, *context, torch.full((8,), k)) for k in range(3)], 1)
    torch.testing.assert_close(table, each)
    torch.testing.assert_close(target(x), each[:, 0])
    torch.testing.assert_close(target.between(1.25)(x), 0.75 * each[:, 1] + 0.25 * each[:, 2])
    assert (each[:, 0] - each[:, 1]).abs().max() > 1e-6
    active = active_pairs(context[0], 4)
    levels = NoiseLevels((0.0, 0.5, 1.0))
    found = pyro_rm.estimate(energy, x, context=context, active=active, levels=levels)
    found.sum().backward()
    assert energy.shifts.grad.abs().sum() > 0


def test_context_that_nobody_announced_is_refused():
    energy = with_levels(Fields(StateSpace(3)), 2)
    with pytest.raises(EnergyError, match=r"Expected 0 tensors of .* Say .*num_context=1"):
        energy(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2).long())


def test_a_network_needs_a_level_at_least():
    with pytest.raises(ValueError, match="num_levels to be at least 1, but got 0"):
        MLPEnergy(3, (4,), num_levels=0)


def test_a_subclass_that_overrides_its_values_inherits_no_levels():
    class Field(MLPEnergy):
        def forward(self, x, level=None):
            return super().forward(x, level) + x.sum(-1)

    energy, x = Field(3, (4,), num_levels=2), states_at(StateSpace(3), torch.arange(8))
    target = Target.of(energy, levels=NoiseLevels((0.0, 1.0)))
    expected = torch.stack([energy(x, torch.full((8,), k)) for k in range(2)], 1)
    torch.testing.assert_close(target.level_energies(x, 2), expected)
    torch.testing.assert_close(target.between(0.5)(x), expected.mean(1))
