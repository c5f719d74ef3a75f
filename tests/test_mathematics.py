"""Objectives, designs, gaps and estimates against oracles by enumeration."""

import itertools

import pytest
import torch

from pyro_rm import StateSpace, estimate
from pyro_rm.designs import (
    ProportionalToSize,
    Unweighted,
    WithReplacement,
    as_design,
    inclusion_probabilities,
    systematic_draw,
)
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, restore_temperature
from pyro_rm.energy_gaps import (
    energy_gaps,
    gap_table,
    generic_energy_gaps,
    has_gap_table,
    taylor_gaps,
)
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.estimators import Estimator
from pyro_rm.neighborhoods import all_neighbors, at_neighbors
from pyro_rm.objectives import as_objective
from pyro_rm.proposals import as_proposal, exact_gap_table

pytestmark = pytest.mark.usefixtures("float64")
SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]
OBJECTIVES = ["ratio_matching", "pseudolikelihood", "minimum_probability_flow", "squared_ratio"]


class TableEnergy(torch.nn.Module):
    """A free energy for every state: the richest model there is."""

    def __init__(self, space, table):
        super().__init__()
        self.state_space, self.table = space, torch.nn.Parameter(table)

    def forward(self, encoded):
        return self.table[index_of(self.state_space, self.state_space.decode(encoded))]


def every_state(space):
    return states_at(space, torch.arange(space.num_states))


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_population_minimizer_has_the_declared_temperature(space, objective):
    truth = torch.randn(space.num_states)
    data, p = every_state(space), torch.softmax(-truth, 0)
    energy = TableEnergy(space, torch.zeros(space.num_states))
    optimizer = torch.optim.LBFGS(
        energy.parameters(), max_iter=2000, tolerance_grad=1e-11, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = (p * estimate(energy, data, objective=objective, num_neighbors="all")).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    centered = truth - truth.mean()

    def scale(fitted):
        fitted = fitted(space.encode(data, torch.float64)).detach()
        return (fitted * centered).sum() / centered.square().sum()

    kappa = as_objective(objective).kappa
    assert abs(scale(energy) - 1 / kappa) < 1e-3
    assert abs(scale(restore_temperature(energy, objective)) - 1) < 1e-3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_log_derivative_is_the_derivative(objective):
    gap = torch.linspace(-5, 5, 21, requires_grad=True)
    phi = as_objective(objective)
    (derivative,) = torch.autograd.grad(phi(gap).sum(), gap)
    torch.testing.assert_close(phi.log_derivative(gap).exp(), derivative)


@pytest.mark.parametrize("seed", range(20))
def test_inclusion_probabilities_are_met_exactly(seed):
    torch.manual_seed(seed)
    sizes = torch.rand(7) ** (1 + seed % 5 * 3)
    sizes[seed % 3] = 0
    inclusion = inclusion_probabilities(sizes, 3)
    torch.testing.assert_close(inclusion.sum(), torch.tensor(3.0))
    assert (inclusion <= 1).all()
    assert inclusion[seed % 3] == 0
    free = (inclusion < 1) & (sizes > 0)
    ratio = inclusion[free] / sizes[free]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    # every offset: the draw is constant between the breaks of the cumulative sum
    order = torch.randperm(7)
    breaks = torch.cat([inclusion[order].cumsum(0) % 1, torch.tensor([0.0, 1.0])]).sort().values
    visits = torch.zeros(7)
    for low, high in itertools.pairwise(breaks.tolist()):
        if high - low > 1e-12:
            index, weights = systematic_draw(inclusion, order, torch.tensor((low + high) / 2), 3)
            assert len(set(index.tolist())) == 3
            torch.testing.assert_close(weights, 1 / inclusion[index])
            visits[index] += high - low
    torch.testing.assert_close(visits, inclusion)


def test_rows_with_few_candidates_are_summed_exactly():
    sizes = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.4, 0.3, 0.2, 0.1]])
    draw = ProportionalToSize().draw(sizes, 3)
    visited = draw.candidates[:, 0][draw.weights[:, 0] > 0]
    assert sorted(visited.tolist()) == [0, 2]
    assert draw.weights[:, 0].sum() == 2
    assert (draw.weights[:, 1] == 0).all()


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


ENERGIES = [
    lambda: MLPEnergy(6, (8, 8)),
    lambda: MLPEnergy(6, (8,), states=(-1, 1)),
    lambda: MLPEnergy(4, (8, 8), num_categories=(2, 3, 4, 3)),
    lambda: RBMEnergy(6, 5),
    lambda: RBMEnergy(4, 5, num_categories=3),
    lambda: IsingEnergy(6),
    lambda: IsingEnergy(6, states=(-1, 1)),
    lambda: PottsEnergy(4, (2, 3, 4, 3)),
]  # fmt: skip


@pytest.mark.parametrize("make", ENERGIES)
def test_single_precision_gaps_are_no_further_from_double_than_generic_ones(make):
    """Root mean square over all gaps of 40 models with unit weights."""
    fast_error = generic_error = 0.0
    for _ in range(40):
        energy = make().float()
        for parameter in energy.parameters():
            torch.nn.init.normal_(parameter)
        space = energy.state_space
        x = space.encode(states_at(space, torch.randint(space.num_states, (16,))), torch.float32)
        neighbors, exists = all_neighbors(space, x)
        generic = generic_energy_gaps(energy, space, x, neighbors)
        if has_gap_table(energy):
            fast = at_neighbors(gap_table(energy, x), neighbors)
        else:
            fast = energy_gaps(energy, space, x, neighbors)
        exact = generic_energy_gaps(energy.double(), space, x.double(), neighbors)
        there = exists.expand_as(exact)
        fast_error += (fast - exact)[there].square().mean().item()
        generic_error += (generic - exact)[there].square().mean().item()
    assert fast_error <= generic_error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", ENERGIES)
def test_fast_gaps_agree_with_the_generic_path(make, dtype):
    energy = make().to(dtype)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space = energy.state_space
    x = space.encode(states_at(space, torch.randint(space.num_states, (3, 5))), dtype)
    neighbors, exists = all_neighbors(space, x)
    generic = generic_energy_gaps(energy, space, x, neighbors)
    if hasattr(energy, "gap_table"):
        table = gap_table(energy, x)
        fast = at_neighbors(table, neighbors)
        torch.testing.assert_close(taylor_gaps(energy, space, x), table, rtol=1e-4, atol=1e-4)
    else:
        fast = energy_gaps(energy, space, x, neighbors)
        chunked = energy_gaps(energy, space, x, neighbors, max_neighbors_per_chunk=20)
        torch.testing.assert_close(chunked, fast)
    tempered = restore_temperature(energy, "squared_ratio")
    torch.testing.assert_close(energy_gaps(tempered, space, x, neighbors), 4 * fast)
    assert has_gap_table(tempered) == has_gap_table(energy)
    if has_gap_table(tempered):
        torch.testing.assert_close(gap_table(tempered, x), 4 * table)
    bound = 32 * torch.finfo(dtype).eps * (1 + energy(x).abs().max())
    assert ((fast - generic)[exists.expand_as(generic)].abs() <= bound).all()


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
