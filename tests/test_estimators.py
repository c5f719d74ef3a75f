"""Estimates against oracles by enumeration, and what they refuse."""

import itertools

import pytest
import torch

from pyro_rm import StateSpace, estimate, estimate_terms, objectives, proposals
from pyro_rm.designs import Unweighted, WithReplacement, as_design
from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.objectives import as_objective
from pyro_rm.proposals import as_proposal
from pyro_rm.systematic_sampling import inclusion_probabilities, systematic_draw
from pyro_rm.target import Target

pytestmark = pytest.mark.usefixtures("float64")
SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]
OBJECTIVES = sorted(objectives._BUILT_IN)


def every_state(space):
    return states_at(space, torch.arange(space.num_states))


@pytest.mark.parametrize("proposal", sorted(proposals._BUILT_IN))
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
    table = Target.of(energy).gap_table(encoded)
    if sitewise or not space.is_binary:
        other = space.category_mask() & (encoded < 0.5)
        if sitewise:
            terms = phi(table.masked_fill(~other, -torch.inf).logsumexp(-1))
            mask = None
        else:
            terms, mask = torch.where(other, phi(table), 0.0).flatten(), other
    else:
        terms, mask = phi(table), None
    sizes = as_proposal(proposal).sizes(Target.of(energy), encoded, phi, mask)
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
    gaps = Target.of(energy).gap_table(filled)
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


@pytest.mark.parametrize("num_neighbors", [2, "all"])
def test_inactive_cells_keep_the_state_that_they_hold(num_neighbors):
    energy, x = MLPEnergy(5, (4,)), torch.ones(5)
    active = torch.tensor([True, False, True, False, False])
    expected = torch.nn.functional.softplus(Target.of(energy).gap_table(x))
    got = estimate(energy, x, num_neighbors=num_neighbors, active=active)
    torch.testing.assert_close(got, expected[active].sum())


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
    (lambda x: x.sum(-1) / 0, {}, r"If states are forbidden, .* one site .* by active="),
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


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_of_one_datum_averages_to_the_exact_sum(objective, space, count):
    """Even sizes and as many strata as units (or twice): each is visited equally often."""
    energy = MLPEnergy(
        space.num_sites, (5,), num_categories=space.num_categories, states=space.states
    )
    sitewise = as_objective(objective).sampling_unit == "site"
    units = space.num_sites if sitewise else sum(k - 1 for k in space.categories)
    draws = count * (space.max_categories - 1) if sitewise else count
    x = every_state(space)[space.num_states // 2]
    sampled = estimate(energy, x.expand(2 * units, -1), objective=objective, num_neighbors=draws)
    assert sampled.std() > 1e-3
    exact = estimate(energy, x[None], objective=objective, num_neighbors="all")
    torch.testing.assert_close(sampled.mean(0, keepdim=True), exact)


@pytest.mark.parametrize("num_neighbors", [2, "all"])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_not_visited_contributes_and_weighs_nothing(objective, space, num_neighbors):
    energy = MLPEnergy(
        space.num_sites, (5,), num_categories=space.num_categories, states=space.states
    ).float()
    x = every_state(space)[:3].float()
    active = torch.tensor([[False], [True], [True]]).expand(3, space.num_sites).clone()
    active[1, 1:] = False
    options = {"objective": objective, "num_neighbors": num_neighbors}
    terms = estimate_terms(energy, x, active=active, state_space=space, **options)
    assert terms.contributions.dtype == terms.weights.dtype == torch.float32
    assert (terms.contributions[terms.weights == 0] == 0).all()
    assert (terms.weights[:, 0] == 0).all()
    assert (terms.weights[:, 1:].sum(0) > 0).all()
    assert (terms.weights[:, 1] > 0).sum() <= space.max_categories - 1


class Conditional:
    """An energy whose gaps all come from its table, which needs the context."""

    state_space = StateSpace(12)

    def gap_table(self, x, field):
        return (1 - 2 * x) * field

    def __call__(self, x, field):
        raise AssertionError("the table is enough")


def test_a_gap_table_is_all_that_exact_sums_need():
    x, field = torch.randint(2, (2, 12)).double(), torch.randn(2, 12)
    expected = torch.nn.functional.softplus((1 - 2 * x) * field).sum(-1)
    for options in ({}, {"num_neighbors": "all"}, {"num_neighbors": 12}):
        torch.testing.assert_close(estimate(Conditional(), x, context=field, **options), expected)
    direct = Estimator()(Target(Conditional(), StateSpace(12), (field,), x > 0), x)
    torch.testing.assert_close(
        direct, torch.where(x > 0, torch.nn.functional.softplus(-field), 0.0).sum(-1)
    )


MIXED = StateSpace(5, (2, 3, 4, 2, 2))


@pytest.mark.parametrize(("options", "space", "draws"), [
    ({"num_neighbors": "all"}, StateSpace(20), None),
    ({}, StateSpace(20), 10),
    ({}, StateSpace(10), None),
    ({"num_neighbors": 7}, StateSpace(20), 7),
    ({"num_neighbors": 20}, StateSpace(20), None),
    ({"num_neighbors": 19, "design": "all"}, StateSpace(20), None),
    ({"num_neighbors": 20, "design": "with_replacement"}, StateSpace(20), 20),
    ({"num_neighbors": 7}, MIXED, 2),
    ({"num_neighbors": 1}, MIXED, 1),
    ({"num_neighbors": 15}, MIXED, None),
    ({"num_neighbors": 7, "objective": "ratio_matching"}, MIXED, 7),
    ({"num_neighbors": 8, "objective": "ratio_matching"}, MIXED, None),
])  # fmt: skip
def test_how_many_draws_a_number_of_neighbors_is(options, space, draws):
    estimator = Estimator(**options)
    assert estimator.num_draws(Target(torch.sum, space)) == draws
    assert estimator.is_deterministic(torch.sum, space) == (draws is None)
    table = StateSpace(20) == space and "num_neighbors" not in options
    if table:
        assert estimator.num_draws(Target(Conditional(), space)) is None
        assert estimator.is_deterministic(Target(Conditional(), space))


@pytest.mark.parametrize("options", [
    {"objective": "ratio_matching"},
    {"num_neighbors": 2},
    {"proposal": "gradient"},
    {"design": "with_replacement"},
], ids=str)  # fmt: skip
def test_a_call_has_the_options_of_an_estimator(options):
    energy, x = MLPEnergy(20, (5,)), torch.zeros(3, 20)
    values = []
    for run in (
        lambda: estimate(energy, x, **options),
        lambda: estimate_terms(energy, x, **options).value,
        lambda: Estimator(**options)(Target.of(energy), x),
        lambda: estimate(energy, x),
    ):
        torch.manual_seed(1)
        values.append(run())
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[0], values[2])
    assert not torch.equal(values[0], values[3])


def test_context_of_another_batch_is_refused():
    x = torch.zeros(2, 3, 12)
    with pytest.raises(ValueError, match=r"leading dimensions are the batch shape \(2, 3\)"):
        estimate(Conditional(), x, context=torch.zeros(2, 4, 12))


def test_an_energy_is_prepared_with_its_context():
    class Prepared(Conditional):
        def prepared_at(self, x, field):
            return lambda x, _: (x * field).sum(-1)

    x, options = torch.zeros(2, 12), {"context": torch.randn(2, 12), "num_neighbors": 3}
    values = []
    for energy in (Prepared(), lambda x, field: (x * field).sum(-1)):
        torch.manual_seed(1)
        values.append(estimate(energy, x, state_space=StateSpace(12), **options))
    torch.testing.assert_close(values[0], values[1])


def test_its_text_makes_it_again():
    estimator = Estimator("ratio_matching", 3, proposal="gradient")
    again = eval(repr(estimator))
    assert again == estimator
    assert hash(again) == hash(estimator)
