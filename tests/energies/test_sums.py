"""Sums of energies: the arithmetic, what they say of themselves, and what is refused."""

import operator
from functools import partial

import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, SumEnergy
from pyro_rm.energies.levels import LevelFields
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import log_partition
from pyro_rm.neighborhoods import all_neighbors
from pyro_rm.target import Target

pytestmark = pytest.mark.usefixtures("float64")
SPACE = StateSpace(4)
EVERY = SPACE.encode(states_at(SPACE, torch.arange(16)), torch.float64)


GENERATOR = torch.Generator().manual_seed(0)


def random(energy):
    with torch.no_grad():
        for parameter in energy.double().parameters():
            parameter.normal_(generator=GENERATOR)
    return energy


ISING, OTHER, RBM, MLP = map(
    random, (IsingEnergy(4), IsingEnergy(4), RBMEnergy(4, 3), MLPEnergy(4, (5,)))
)
SUMS = {
    "plus": (RBM + MLP, lambda x: RBM(x) + MLP(x)),
    "minus": (RBM - MLP, lambda x: RBM(x) - MLP(x)),
    "times": (3 * RBM + MLP * torch.tensor(0.5), lambda x: 3 * RBM(x) + 0.5 * MLP(x)),
    "over": (RBM / 4, lambda x: RBM(x) / 4),
    "over a tensor": (RBM / torch.tensor(4.0), lambda x: RBM(x) / 4),
    "negated": (-MLP, lambda x: -MLP(x)),
    "sum()": (sum([RBM, MLP, ISING]), lambda x: RBM(x) + MLP(x) + ISING(x)),
    "nested": (2 * (RBM - 3 * MLP), lambda x: 2 * RBM(x) - 6 * MLP(x)),
    "pairwise": (ISING - 2 * OTHER, lambda x: ISING(x) - 2 * OTHER(x)),
    "one": (SumEnergy(RBM), RBM),
    "no signature": (RBM + partial(torch.sum, dim=-1), lambda x: RBM(x) + x.sum(-1)),
}


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_is_what_its_formula_says_in_values_gaps_and_partition_function(name):
    energy, formula = SUMS[name]
    values = formula(EVERY)
    torch.testing.assert_close(energy(EVERY), values)
    torch.testing.assert_close(log_partition(energy), (-values).logsumexp(0))
    near, _ = all_neighbors(SPACE, EVERY)
    gaps = Target.of(energy).gaps(EVERY, near)
    torch.testing.assert_close(gaps, Target.of(formula, SPACE).gaps(EVERY, near))


def test_gradients_in_the_data_are_differentiable_where_that_is_asked_for():
    energy, x = 2 * RBM + MLP, EVERY.clone().requires_grad_()
    expected = torch.autograd.grad(energy(x).sum(), x, create_graph=True)[0]
    value, gradient = energy.energy_and_gradient(EVERY, differentiable=True)
    torch.testing.assert_close((value, gradient), (energy(EVERY).detach(), expected.detach()))
    own, other = (
        torch.autograd.grad(g.square().sum(), MLP.weight)[0] for g in (gradient, expected)
    )
    torch.testing.assert_close(own, other)
    assert not any(t.requires_grad for t in energy.energy_and_gradient(EVERY))


def test_terms_of_nested_sums_with_numbers_for_weights_are_one_list():
    energy = 2 * (RBM - 3 * MLP)
    assert [(t.weight, t.energy) for t in energy.terms] == [(2, RBM), (-6, MLP)]
    trained = torch.nn.Parameter(torch.tensor(2.0))
    assert len(SumEnergy((trained, RBM + MLP)).terms) == 1


@pytest.mark.parametrize("others", [(), (RBM,), (RBM, (0.5, MLP))])
def test_walks_along_fields_follow_the_values_alone_and_beside_others(others):
    fields = random(LevelFields(SPACE, 2)), (2.0, random(LevelFields(SPACE, 2)))
    energy = SumEnergy(*fields, *others)
    level = torch.ones(16, dtype=torch.long)
    walk = energy.site_walk(EVERY, level)
    for site in range(4):
        other = EVERY.clone()
        other[:, site] = 1 - other[:, site]
        gaps = energy(EVERY, level) - energy(other, level)
        torch.testing.assert_close(walk.gaps(slice(site, site + 1))[:, 0], gaps)


REFUSED = {
    "plus a number": (lambda: RBM + 1, "unsupported operand"),
    "a number plus": (lambda: 1 + RBM, "unsupported operand"),
    "minus a number": (lambda: RBM - 1, "unsupported operand"),
    "times a word": (lambda: RBM * "2", "can't multiply|unsupported operand"),
    "times a truth": (lambda: True * RBM, "unsupported operand"),
    "over an energy": (lambda: RBM / MLP, "unsupported operand"),
    "over a truth": (lambda: RBM / True, "unsupported operand"),
    "nothing": (SumEnergy, "Expected at least one energy to add up"),
    "a number": (lambda: SumEnergy(RBM, (1.0, 3)), "Expected energies to add up, but got int"),
    "no space": (lambda: SumEnergy(operator.neg), "state_space"),
    "two spaces": (lambda: RBM + PottsEnergy(4, 3), "Expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sum_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
