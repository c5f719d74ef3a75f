"""Control variates leave means alone, over every draw, and take away what is linear."""

import itertools

import pyro
import pytest
import torch
from torch import nn

import pyro_rm
from pyro_rm import Estimator, RatioMatchingLoss, StateSpace, estimate, estimate_terms, objectives
from pyro_rm.control_variates import coefficient, taylor_correction
from pyro_rm.designs import Draw
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy
from pyro_rm.energy_protocol import energy_dtype
from pyro_rm.enumeration import states_at
from pyro_rm.neighborhoods import candidates
from pyro_rm.objectives import as_objective
from pyro_rm.proposals import as_proposal
from pyro_rm.systematic_sampling import inclusion_probabilities, systematic_draw
from pyro_rm.target import Target

pytestmark = pytest.mark.usefixtures("float64")
OBJECTIVES = sorted(objectives._BUILT_IN)
SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]


def gradient(value, energy):
    """Zero where a parameter has none."""
    found = torch.autograd.grad(value, list(energy.parameters()), materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_corrections_have_mean_zero_over_all_draws(objective, space, masked):
    """Value and gradient, for a fixed pilot: the seed that draws it is the same each time."""
    energy = MLPEnergy(
        space.num_sites, (5,), num_categories=space.num_categories, states=space.states
    )
    phi, target = as_objective(objective), Target.of(energy)
    x = space.encode(torch.full((6, space.num_sites), float(space.states[0])), torch.float64)
    active = torch.tensor([True] * 2 + [False] * (space.num_sites - 2)) if masked else None
    mask = candidates(space, x, active, sites=phi.sampling_unit == "site")
    sizes = as_proposal("gradient").sizes(target, x, phi, mask)
    inclusion, order = inclusion_probabilities(sizes, 2), torch.randperm(sizes.shape[-1])
    breaks = inclusion[0, order].cumsum(0) % 1
    breaks = torch.cat([breaks, torch.tensor([0.0, 1.0])]).sort().values
    total, largest = 0.0, 0.0
    for low, high in itertools.pairwise(breaks.tolist()):
        if high - low < 1e-13:
            continue
        index, weights = systematic_draw(inclusion, order, torch.full((6,), (low + high) / 2), 2)
        torch.manual_seed(0)
        draw = Draw(index.movedim(-1, 0), weights.movedim(-1, 0))
        correction = taylor_correction(target, x, phi, mask, draw)
        both = torch.cat([correction.detach(), gradient(correction.sum(), energy)])
        largest = max(largest, float(both.abs().max()))
        total = total + (high - low) * both
    torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-10, rtol=0)
    if not (masked and phi.sampling_unit == "site") and not (masked and space.is_binary):
        assert largest > 1e-6  # two draws do not exhaust, and the pilot agreed


@pytest.mark.parametrize("design", ["proportional_to_size", "with_replacement"])
@pytest.mark.parametrize("objective", ["ratio_matching", "pseudolikelihood"])
def test_sums_are_exact_where_the_energy_is_linear_in_each_site(objective, design):
    """As that of Ising is; enough pilots that one gap is close to the largest."""
    energy = IsingEnergy(6)
    for parameter in energy.parameters():
        nn.init.normal_(parameter)
    x = torch.randint(2, (200, 6)).double()
    exact = estimate(energy, x, objective=objective, num_neighbors="all")
    options = {"objective": objective, "num_neighbors": 1, "design": design}
    plain = estimate(energy, x, **options)
    got = estimate(energy, x, control_variate=True, **options)
    assert (plain - exact).abs().max() > 1
    torch.testing.assert_close(got, exact)
    torch.testing.assert_close(gradient(got.sum(), energy), gradient(exact.sum(), energy))


def test_the_error_of_a_network_falls_and_the_terms_stay():
    torch.manual_seed(0)
    energy, x = MLPEnergy(40, (16, 16)), torch.randint(2, (64, 40)).double()
    exact = gradient(estimate(energy, x, num_neighbors="all").mean(), energy)
    errors, kept = {}, {}
    for control in (False, True):
        torch.manual_seed(1)
        kept[control] = estimate_terms(energy, x, num_neighbors=4, control_variate=control)
        errors[control] = (gradient(kept[control].value.mean(), energy) - exact).norm()
    assert errors[True] < 0.2 * errors[False]
    assert kept[False].correction is None
    torch.testing.assert_close(kept[True][:2], kept[False][:2])


@pytest.mark.parametrize("make", [
    lambda: (MLPEnergy(5, (6,)).float(), {}),
    lambda: (MLPEnergy(5, (6,), hidden_dtype=torch.bfloat16).float(), {}),
    lambda: (MLPEnergy(5, (6,)).bfloat16(), {}),
    lambda: (RBMEnergy(5, 3).float(), {"num_neighbors": 2, "max_neighbors_per_chunk": 3}),
    lambda: (MLPEnergy(5, (6,), num_categories=(2, 3, 4, 3, 2)).float(), {}),
])  # fmt: skip
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_types_chunks_and_seeds(make, objective):
    energy, options = make()
    options = {"num_neighbors": 2, "objective": objective, "control_variate": True, **options}
    x = torch.randint(2, (3, 7, 5)).to(torch.float32)
    active = torch.rand(7, 5) < 0.5
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        values = estimate(energy, x, active=active, **options)
        assert values.shape == (3, 7)
        assert values.dtype == torch.float32
        results.append((values.detach(), gradient(values.sum(), energy)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert results[0][1].isfinite().all()
    with torch.no_grad():
        torch.manual_seed(3)
        same = estimate(energy, x, active=active, **options)
    rounding = 5e-3 if energy_dtype(energy, x) == torch.bfloat16 else 1e-5
    torch.testing.assert_close(same, results[0][0], rtol=rounding, atol=rounding)


def test_exact_sums_need_none():
    energy, x = MLPEnergy(5, (6,)), torch.zeros(2, 5)
    options = {"num_neighbors": "all", "control_variate": True}
    assert Estimator(**options).is_deterministic(energy)
    assert estimate_terms(energy, x, **options).correction is None


def test_first_order_gaps_far_beyond_the_actual_ones_do_not_overflow():
    """A steep derivative at x, of a term that is 0 at all states."""
    size = nn.Parameter(torch.tensor(1e5))

    def energy(x):
        return size * (x * (1 - x)).sum(-1) + x.sum(-1)

    for objective in ("minimum_probability_flow", "squared_ratio"):
        value = estimate(
            energy, torch.ones(9, 30), objective=objective, num_neighbors=4,
            state_space=StateSpace(30), control_variate=True,
        ).sum()  # fmt: skip
        assert torch.autograd.grad(value, size)[0].isfinite()


def test_how_far_first_order_contributions_are_trusted():
    exact = torch.randn(2, 500)
    noisy = 2 * exact + 2 * torch.randn(2, 500)
    slope = ((exact - exact.mean()) * (noisy - noisy.mean())).sum() / noisy.var() / 999
    squared = torch.corrcoef(torch.stack([exact.flatten(), noisy.flatten()]))[0, 1] ** 2
    adjusted = 1 - (1 - squared) * 999 / 998
    torch.testing.assert_close(coefficient(exact, noisy), slope * adjusted)
    for other in (-exact, torch.zeros(2, 500), exact * torch.inf):
        assert coefficient(exact, other) == 0
    assert coefficient(exact, exact / 5) == 1
    assert coefficient(exact[0, :3], exact[0, :3]) == 1
    assert coefficient(exact[:, :1], noisy[:, :1]) == 0  # a line through two points says nothing
    assert coefficient(exact[:1, :1], noisy[:1, :1]) == 0


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("objective", ["ratio_matching", "pseudolikelihood"])
def test_the_pilot_is_a_unit_a_datum_with_its_context_and_in_chunks(objective, chunk):
    """A datum beside its neighbors, of which a site has two; first-order gaps are one energy."""
    space, rows = StateSpace(3, 3), []

    def energy(x, tilt):
        rows.append(x.shape[:-2].numel())
        return (x * tilt).sum((-2, -1))

    x = space.encode(torch.zeros(2, 4, 3), torch.float64)
    context, phi = (torch.randn(2, 4, 3, 3),), as_objective(objective)
    sites = phi.sampling_unit == "site"
    mask = candidates(space, x, None, sites=sites)
    first = Draw(torch.ones(1, 2, 4, dtype=torch.long), torch.ones(1, 2, 4))
    taylor_correction(Target(energy, space, context), x, phi, mask, first, chunk)
    pilot = [8 * 2] if not sites else [8 * 3] if chunk is None else [8 * 2] * 2
    assert rows == [8, *pilot]


def test_the_bound_on_states_holds_for_all_that_is_evaluated():
    rows = []

    def energy(x):
        rows.append(len(x.flatten(0, -3)))
        return x[..., 0].sum(-1)

    estimate(
        energy, torch.zeros(8, 3), state_space=StateSpace(3, 3), num_neighbors=2,
        max_neighbors_per_chunk=8, control_variate=True,
    )  # fmt: skip
    assert max(rows) == 2 * 8  # the data beside one neighbor each


def test_first_order_contributions_that_overflow_are_refused():
    """Three above the largest actual gap, at which exp(2 d) is just finite in single precision."""
    options = {"objective": "squared_ratio", "num_neighbors": 4, "state_space": StateSpace(30)}
    x = torch.ones(9, 30, dtype=torch.float32)

    def energy(x):
        return 42 * x.sum(-1) + 40 * (x * (x - 1)).sum(-1)

    assert estimate(energy, x, **options).isfinite().all()
    with pytest.raises(ValueError, match=r"first-order contributions, but SquaredRatio\(\) over"):
        estimate(energy, x, control_variate=True, **options)


def test_refused():
    with pytest.raises(ValueError, match="unbiased design"):
        Estimator(design="unweighted", control_variate=True)
    with pytest.raises(ValueError, match="differentiable in x"):
        estimate(
            lambda x: x.round().detach().sum(-1), torch.ones(2, 20, dtype=torch.float32),
            state_space=StateSpace(20), control_variate=True,
        )  # fmt: skip


def test_in_a_program():
    energy = MLPEnergy(30, (8,))
    data = torch.randint(2, (16, 30)).double()

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", pyro_rm.distributions.EnergyModel(energy), obs=x)

    losses = []
    for control in (False, True):
        loss = RatioMatchingLoss(num_neighbors=2, control_variate=control)
        svi = pyro.infer.SVI(model, lambda x: None, pyro.optim.Adam({"lr": 0.0}), loss=loss)
        losses.append(torch.tensor([svi.evaluate_loss(data) for _ in range(9)]).std())
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize("num_categories", [2, 3])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_first_layer_computed_once_has_the_same_gradient(num_categories, frozen):
    energy = MLPEnergy(4, (5, 3), num_categories=num_categories)
    energy.weight.requires_grad_(not frozen)
    energy.bias.requires_grad_(not frozen)
    space = energy.state_space
    x = space.encode(torch.randint(2, (6, 4)).double(), torch.float64)
    found = []
    for target in (Target.of(energy), Target.of(energy).prepared(x)):
        gaps = target.taylor_gaps(x, differentiable=True)
        trained = [p for p in energy.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(gaps.exp().sum(), trained, materialize_grads=True)
        found.append([gaps.detach(), *gradients])
    torch.testing.assert_close(found[0], found[1])
    assert found[0][1].abs().max() > 1e-6


@pytest.mark.parametrize("space", SPACES[:2], ids=str)
def test_linear_energies_are_summed_exactly_over_active_sites(space):
    def energy(x):
        return x @ torch.arange(space.num_sites).double() / 4

    active = torch.arange(space.num_sites) > 0
    x = states_at(space, torch.arange(space.num_states))
    chosen = {"state_space": space, "active": active, "objective": "ratio_matching"}
    exact = estimate(energy, x, num_neighbors="all", **chosen)
    drawn = estimate(energy, x, num_neighbors=1, control_variate=True, **chosen)
    torch.testing.assert_close(drawn, exact)
