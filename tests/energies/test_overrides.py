"""A subclass that overrides an energy is not taken for what its base class computes fast."""

import pytest
import torch
from torch import nn

import pyro_rm
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, SparseIsingEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import IndependentSites, log_partition
from pyro_rm.evaluation.annealing_paths import annealing_path
from pyro_rm.markov_steps import BlockGibbs, Chains, GibbsSweep, default_step
from pyro_rm.neighborhoods import all_neighbors
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

pytestmark = pytest.mark.usefixtures("float64")
MAKE = {
    MLPEnergy: lambda kind: kind(4, (6, 6)),
    RBMEnergy: lambda kind: kind(3, 5, num_categories=3),
    IsingEnergy: lambda kind: kind(4),
    SparseIsingEnergy: lambda kind: kind(4, torch.tensor([[0, 1], [1, 2]])),
    PottsEnergy: lambda kind: kind(3, 3),
}


def bounded(base):
    """Of any base: its energies are squashed."""

    class Bounded(base):
        def forward(self, x):
            return 3 * super().forward(x).tanh()

    return Bounded


class OtherTrunk(MLPEnergy):
    def trunk(self, features):
        return 3 * super().trunk(features).tanh()


class OtherFeatures(MLPEnergy):
    def features(self, x):
        return super().features(x * (1 + x.roll(1, -1)))


KINDS = [(base, bounded(base)) for base in MAKE]
KINDS += [(MLPEnergy, OtherTrunk), (MLPEnergy, OtherFeatures)]


def made(base, kind):
    energy = MAKE[base](kind)
    for parameter in energy.parameters():
        nn.init.normal_(parameter)
    return energy


def plain(energy):
    """The same energy, of which nothing but its values is known."""
    return lambda x: energy(x)


@pytest.mark.parametrize(("base", "kind"), KINDS, ids=lambda kind: kind.__name__)
def test_every_path_sees_the_energy_that_overrides(base, kind):
    energy = made(base, kind)
    space = energy.state_space
    target, other = Target.of(energy), Target(plain(energy), space)
    values = states_at(space, torch.arange(space.num_states))
    x = space.encode(values, torch.float64)
    neighbors, _ = all_neighbors(space, x)
    expected = other.gaps(x, neighbors)
    for near in (target, target.prepared(x)):
        torch.testing.assert_close(near.gaps(x, neighbors), expected)
    whole = slice(0, space.num_sites)
    walks = [near.walk(x).gaps(whole) for near in (target, other)]
    torch.testing.assert_close(*walks)
    sums = [log_partition(near) for near in (target, other)]
    torch.testing.assert_close(*sums)


@pytest.mark.parametrize("options", [
    {"num_neighbors": "all"},
    {"proposal": "gradient", "control_variate": True},
    {"proposal": "gradient", "design": "with_replacement"},
    {"objective": "ratio_matching"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize(("base", "kind"), KINDS, ids=lambda kind: kind.__name__)
def test_estimates_are_of_the_energy_that_overrides(base, kind, options):
    energy = made(base, kind)
    space = energy.state_space
    values = states_at(space, torch.arange(space.num_states))
    results = []
    for near in (energy, plain(energy)):
        torch.manual_seed(1)
        chosen = {"num_neighbors": 2, "state_space": space} | options
        results.append(pyro_rm.estimate(near, values, **chosen))
    torch.testing.assert_close(*results)


def test_fast_paths_of_the_subclass_itself_are_taken():
    class InField(IsingEnergy):
        def forward(self, x):
            return super().forward(x) + x.sum(-1)

        def gap_table(self, x):
            return super().gap_table(x) + 2 * x - 1

    class Renamed(IsingEnergy):
        pass

    assert Target.of(InField(4)).has_gap_table
    assert Target.of(Renamed(4)).has_gap_table
    assert not Target.of(bounded(IsingEnergy)(4)).has_gap_table
    energy = made(IsingEnergy, InField)
    x = states_at(energy.state_space, torch.arange(16))
    neighbors, _ = all_neighbors(energy.state_space, x)
    expected = Target(plain(energy), energy.state_space).gaps(x, neighbors)
    torch.testing.assert_close(energy.gap_table(x), expected.movedim(0, -1))


@pytest.mark.parametrize(("base", "make"), [
    (RBMEnergy, lambda kind: kind(6, 2)),
    (IsingEnergy, lambda kind: kind(4)),
    (PottsEnergy, lambda kind: kind(3, 3)),
])  # fmt: skip
def test_sums_in_closed_form_are_of_the_energy_that_overrides(base, make):
    """Over hidden units, and by elimination: no couplings are a forest."""
    energy = make(bounded(base))
    if base is RBMEnergy:
        nn.init.normal_(energy.weight)
    else:
        nn.init.normal_(energy.fields)
    space = energy.state_space
    expected = log_partition(plain(energy), state_space=space)
    torch.testing.assert_close(log_partition(energy), expected)


@pytest.mark.parametrize("base", [RBMEnergy, IsingEnergy, PottsEnergy])
def test_annealing_ends_at_the_energy_that_overrides(base):
    energy = made(base, bounded(base))
    space = energy.state_space
    start = IndependentSites(torch.zeros(space.encoded_shape), space)
    x = space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)
    end = annealing_path(start, Target.of(energy)).at(1.0)
    torch.testing.assert_close(end(x), energy(x))


def test_hidden_units_are_not_of_an_energy_that_overrides():
    energy = made(RBMEnergy, bounded(RBMEnergy))
    assert default_step(energy) == GibbsSweep()
    assert default_step(made(RBMEnergy, RBMEnergy)) == BlockGibbs()
    space = energy.state_space
    x = space.encode(torch.zeros(2, space.num_sites), torch.float64)
    with pytest.raises(ValueError, match="hidden_logits and visible_logits"):
        Chains(energy, x, BlockGibbs()).run(1)


def test_callables_that_are_not_modules_override_by_their_call():
    class Ring:
        state_space = StateSpace(4)

        def __call__(self, x):
            return (x * x.roll(1, -1)).sum(-1)

        def gap_table(self, x):
            return (2 * x - 1) * (x.roll(1, -1) + x.roll(-1, -1))

    class RingInField(Ring):
        def __call__(self, x):
            return super().__call__(x) + x.sum(-1)

    x = states_at(Ring.state_space, torch.arange(16))
    for kind, fast in ((Ring, True), (RingInField, False)):
        assert Target.of(kind()).has_gap_table == fast
        results = [
            pyro_rm.estimate(e, x, num_neighbors="all", state_space=Ring.state_space)
            for e in (kind(), plain(kind()))
        ]
        torch.testing.assert_close(*results)
    assert not Target(plain(Ring()), Ring.state_space).has_gap_table
