"""Estimates against oracles by enumeration, and what they refuse."""

import itertools

import pytest
import torch

from pyro_rm import StateSpace, estimate
from pyro_rm.designs import (
    Unweighted,
    WithReplacement,
    as_design,
    inclusion_probabilities,
    systematic_draw,
)
from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.objectives import as_objective
from pyro_rm.proposals import as_proposal, exact_gap_table

pytestmark = pytest.mark.usefixtures("float64")
SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]
OBJECTIVES = ["ratio_matching", "pseudolikelihood", "minimum_probability_flow", "squared_ratio"]


def every_state(space):
    return states_at(space, torch.arange(space.num_states))


@pytest.mark.parametrize("proposal", ["uniform", "gradient", "activity", "oracle"])
@pytest.mark.parametrize("space", [SPACES[0], SPACES[2]], ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_estimates_are_unbiased_over_all_draws(space, objective, proposal):
    """Value and gradient, Eq. 7 and proportional to size; Eq. 12 is biased."""
    energy = MLPEnergy(
        space.num_sites, (5,), num_categories=space.num_categories, states=space.states
    )
    phi, x = as_objective(objective), every_state(space)[space.num_states // 2]
    encoded = space.encode(x, torch.float64)
    sitewise = phi.sampling_unit == "site" and not space.is_binary
    table = exact_gap_table(energy, space, encoded)
    if sitewise or not space.is_binary:
        other = space.category_mask() & (encoded < 0.5)
        if sitewise:
            terms = phi(table.masked_fill(~other, -torch.inf).logsumexp(-1))
            mask = None
        else:
            terms, mask = torch.where(other, phi(table), 0.0).flatten(), other
    else:
        terms, mask = phi(table), None
    sizes = as_proposal(proposal).sizes(energy, space, encoded, (), phi, mask)
    assert not sizes.requires_grad
    exact = estimate(energy, x, objective=objective, num_neighbors="all")
    torch.testing.assert_close(terms.sum(), exact)

    def value_and_gradient(total):
        return torch.cat(
            [total.reshape(1)]
            + [
                g.flatten()
                for g in torch.autograd.grad(total, [energy.weight, energy.bias], retain_graph=True)
            ]
        )

    target = value_and_gradient(exact)
    kept = (sizes > 0).nonzero().flatten().tolist()
    q = sizes / sizes.sum()
    expected, plain = 0.0, 0.0
    for pair in itertools.product(kept, repeat=2):
        index = torch.tensor(pair)
        probability = q[index].prod()
        expected = expected + probability * (WithReplacement().weights(sizes, index) * terms[index])
        plain = plain + probability * (Unweighted().weights(sizes, index) * terms[index])
    torch.testing.assert_close(value_and_gradient(expected.sum()), target)
    assert abs(plain.sum() - exact) > 1e-3
    inclusion = inclusion_probabilities(sizes, 2)
    order = torch.randperm(len(sizes))
    breaks = torch.cat([inclusion[order].cumsum(0) % 1, torch.tensor([0.0, 1.0])]).sort().values
    total = 0.0
    for low, high in itertools.pairwise(breaks.tolist()):
        if high - low > 1e-13:
            index, weights = systematic_draw(inclusion, order, torch.tensor((low + high) / 2), 2)
            total = total + (high - low) * (weights * terms[index]).sum()
    torch.testing.assert_close(value_and_gradient(total), target)


@pytest.mark.parametrize("num_neighbors", [2, "all"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_inactive_cells_may_be_missing_and_are_not_counted(objective, num_neighbors):
    energy = MLPEnergy(5, (4,))
    x = torch.tensor([[1.0, float("nan"), 0.0, float("nan"), float("nan")]])
    active = ~x.isnan()
    got = estimate(energy, x, objective=objective, num_neighbors=num_neighbors, active=active)
    filled = x.nan_to_num()
    gaps = exact_gap_table(energy, energy.state_space, filled)
    expected = as_objective(objective)(gaps[active]).sum()
    torch.testing.assert_close(got[0], expected)
    nothing = estimate(
        energy,
        filled,
        objective=objective,
        num_neighbors=num_neighbors,
        active=torch.zeros(5, dtype=torch.bool),
    )
    assert nothing.item() == 0


@pytest.mark.parametrize(("x", "message"), [
    (torch.tensor([[0.0, 0.7, 1.0]]), "got 0.7 at index"),
    (torch.tensor([[0.0, -1.0, 1.0]]), "states="),
    (torch.tensor([[0.0, float("nan"), 1.0]]), "Mark missing cells as inactive"),
    (torch.zeros(2, 4), "Expected data of shape"),
    (torch.zeros(0, 3), "empty batch"),
])  # fmt: skip
def test_bad_data(x, message):
    with pytest.raises(ValueError, match=message):
        estimate(MLPEnergy(3, (4,)), x)


@pytest.mark.parametrize("x", [torch.zeros(2, 3, dtype=torch.complex64), [[0.0, 1.0, 0.0]]])
def test_data_of_the_wrong_type(x):
    with pytest.raises(TypeError, match="Expected data as a tensor of real numbers, but got"):
        MLPEnergy(3, (4,)).state_space.validate(x)


@pytest.mark.parametrize(("energy", "options", "message"), [
    (lambda x: x.sum(-1) / 0, {}, "finite energies"),
    (lambda x: x, {}, "to have shape"),
    (lambda x: x.round().detach().sum(-1), {"proposal": "gradient"}, "differentiable in x"),
    (lambda x: 60 * x.sum(-1), {"objective": "squared_ratio"}, "overflowed"),
    (torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Flatten(0)), {}, "but got Dropout at '0'"),
    (torch.nn.Sequential(torch.nn.BatchNorm1d(20)), {}, "but got BatchNorm1d at '0'"),
    (lambda x: x.long().sum(-1), {}, "floating point type"),
])  # fmt: skip
def test_bad_energies(energy, options, message):
    with pytest.raises(ValueError, match=message):
        estimate(
            energy, torch.ones(2, 20, dtype=torch.float32), state_space=StateSpace(20), **options
        )


def test_bad_options():
    with pytest.raises(ValueError, match="num_neighbors"):
        Estimator(num_neighbors=0)
    with pytest.raises(ValueError, match="max_neighbors_per_chunk"):
        Estimator(max_neighbors_per_chunk=0)
    with pytest.raises(ValueError, match="state_space"):
        estimate(lambda x: x.sum(-1), torch.zeros(2, 3))
    for lookup in (as_objective, as_proposal, as_design):
        with pytest.raises(TypeError, match="but got int"):
            lookup(3)
    for name in ("objective", "proposal", "design"):
        with pytest.raises(ValueError, match="to be one of"):
            Estimator(**{name: "nonsense"})
