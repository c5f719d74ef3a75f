"""Paths from a base to a model: their ends, their families, their gaps."""

import pytest
import torch

from pyro_rm import Target
from pyro_rm.energies import MLPEnergy, PairwiseFunction, RBMEnergy, SumEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import IndependentSites
from pyro_rm.evaluation.annealing_paths import annealing_path

pytestmark = pytest.mark.usefixtures("float64")


def fitted_base(space):
    index = torch.randint(space.num_states, (30,))
    return IndependentSites.fit(states_at(space, index), space)


def every_state(space):
    states = states_at(space, torch.arange(space.num_states))
    return states, space.encode(states, torch.float64)


def test_path_ends_at_base_and_target(target):
    space = target.state_space
    base = fitted_base(space)
    path = annealing_path(base, Target.of(target))
    _, encoded = every_state(space)
    start = path.at(0.0)(encoded)
    torch.testing.assert_close(start + path.log_partition_at_base, base(encoded))
    torch.testing.assert_close(path.at(1.0)(encoded), target(encoded))


def test_families_are_kept_and_pairwise_paths_are_geometric(target):
    space = target.state_space
    base = fitted_base(space)
    path = annealing_path(base, Target.of(target))
    _, encoded = every_state(space)
    member = path.at(0.3).energy
    if isinstance(target, RBMEnergy):
        assert type(member) is RBMEnergy
        torch.testing.assert_close(member.weight, 0.3 * target.weight)
        return
    assert type(member) is (SumEnergy if isinstance(target, MLPEnergy) else PairwiseFunction)
    mixed = 0.7 * base(encoded) + 0.3 * target(encoded)
    torch.testing.assert_close(member(encoded), mixed)


@pytest.mark.parametrize("target", ["ising"], indirect=True)
def test_mixed_gap_table_is_the_mixture(target):
    base = fitted_base(target.state_space)
    mixed = SumEnergy((0.75, base), (0.25, target))
    _, x = every_state(target.state_space)
    assert mixed.has_gap_table
    expected = 0.75 * base.gap_table(x) + 0.25 * target.gap_table(x)
    torch.testing.assert_close(mixed.gap_table(x), expected)
    assert not (base + MLPEnergy(4, (2,), states=(-1, 1))).has_gap_table
