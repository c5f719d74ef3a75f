"""Standard errors: the closed form, and that intervals cover."""

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from pyro_rm import StateSpace, estimate
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.estimators import Estimator
from pyro_rm.networks import IsingNetwork, recode
from pyro_rm.networks.batched_fits import BatchedFits
from pyro_rm.networks.fitter import Fitter
from pyro_rm.networks.missing_cells import refill, with_fills
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.sandwich import _covariance_over_fills, sandwich
from pyro_rm.objectives import as_objective

pytestmark = pytest.mark.usefixtures("float64")
FITTER = Fitter(Estimator(num_neighbors="all"))
EDGES = torch.tensor([[0, 1], [1, 2], [0, 3]])


def draw(num_data, num_sites=4, states=(-1, 1)):
    couplings = torch.zeros(num_sites, num_sites)
    couplings[EDGES[:, 0], EDGES[:, 1]] = torch.tensor([0.5, -0.4, 0.3])
    model = NormalizedModel(
        Ising(couplings + couplings.mT, 0.3 * torch.ones(num_sites), states=states)
    )
    return model.sample((num_data,)), couplings


@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching", "squared_ratio"])
@pytest.mark.parametrize(("states", "ridge"), [((0, 1), 0.0), ((-1, 1), 0.0), ((-1, 1), 3.0)])
def test_closed_form_is_that_of_automatic_differentiation(objective, states, ridge):
    x, _ = draw(300, states=states)
    space = StateSpace(4, states=states)
    weights = torch.rand(300)
    observations = Observations.of(x, space, weights)
    fit = Fitter(Estimator(objective, "all"))(observations, EDGES, covariance=False)

    def losses(theta):
        upper = torch.zeros(4, 4).index_put((EDGES[:, 0], EDGES[:, 1]), theta[:3])
        return estimate(
            PairwiseFunction(upper + upper.mT, theta[3:], space), x, objective=objective
        )

    theta = torch.cat([fit.energy.weight, fit.energy.fields]).detach()
    gradients = jacobian(losses, theta)
    size = 1 / observations.weights.square().sum()

    def penalized(theta):
        return observations.weights @ losses(theta) + ridge / size * theta[:3].square().sum()

    middle = (gradients * observations.weights[:, None] ** 2).mT @ gradients
    inverse = hessian(penalized, theta).inverse()
    found = sandwich(fit.model, observations, as_objective(objective), ridge=ridge)
    torch.testing.assert_close(found.covariance, inverse @ middle @ inverse, rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(
        found.num_effective, float((inverse @ middle).trace() * size), rtol=1e-3, atol=0
    )


def test_a_coupling_counts_twice_without_interactions():
    """Independent fair spins: a coupling's pseudolikelihood is a sum of two equal terms."""
    x = torch.randint(2, (20000, 2)).double() * 2 - 1
    observations = Observations.of(x, StateSpace(2, states=(-1, 1)))
    fit = FITTER(observations, torch.tensor([[0, 1]]))
    assert abs(fit.sandwich.num_effective - 4) < 0.1  # 2 for the coupling, 1 a field


def coverage(blank_share, num_sets, num_data):
    """Share of 95 % intervals of couplings that hold the truth."""
    space, hits = StateSpace(4, states=(-1, 1)), []
    for _ in range(num_sets):
        x, couplings = draw(num_data)
        x = torch.where(torch.rand(x.shape) < blank_share, torch.nan, x)
        observations = with_fills(x, space, None, 5)
        fit = FITTER(observations, EDGES)
        for _ in range(3 if blank_share else 0):
            observations = refill(observations, fit.model)
            fit = FITTER(observations, EDGES, start=fit.model)
        errors = fit.sandwich.covariance.diagonal()[:3].sqrt()
        distance = (fit.energy.weight.detach() - couplings[EDGES[:, 0], EDGES[:, 1]]).abs()
        hits.append(distance < 1.96 * errors)
    return torch.stack(hits).double().mean()


@pytest.mark.parametrize("blank_share", [0.0, 0.2])
def test_intervals_cover(blank_share):
    """Three couplings, 40 sets: a nominal 95 % gives 0.85 or less with probability < 1e-4."""
    assert coverage(blank_share, 40, 500) > 0.85


def test_couplings_about_which_blanks_leave_less_than_nothing_are_separated():
    """No row has both columns low; the fills of this table make the Hessian indefinite."""
    rng = np.random.default_rng(10)
    thirds = rng.choice(3, 200, p=[0.6, 0.15, 0.25])
    x = (
        np.stack([thirds == 0, thirds < 2, rng.random(200) < 0.5, rng.random(200) < 0.5], 1) * 2.0
        - 1
    )
    for first, second in ((0, 2), (1, 3)):
        x[:, second] = np.where(rng.random(200) < 0.5, x[:, first], x[:, second])
    x[rng.random(x.shape) < 0.3] = np.nan
    with pytest.warns(UserWarning, match="no finite estimate"):
        network = IsingNetwork(selection=None, random_state=0).fit(x)
    assert [0, 1] in network.separated_.tolist()
    assert np.abs(network.weights_).max() < 1.5


@pytest.mark.filterwarnings("ignore:.*no finite estimate:UserWarning")
@pytest.mark.parametrize("seed", [0, 1, 3, 18])
def test_couplings_that_run_off_where_others_are_bounded_are_separated_too(seed):
    """Sixty rows with blanks, of rare answers; in the second table a pair shows in no row."""
    rng = np.random.default_rng(seed)
    x = (rng.random((60, 5)) < [0.06, 0.1, 0.1, 0.9, 0.5]).astype(float)
    x[:, 3] = np.where(rng.random(60) < 0.5, x[:, 0], x[:, 3])
    x[rng.random(x.shape) < 0.1] = np.nan
    network = IsingNetwork(selection=None, random_state=0, num_rounds=4).fit(x)
    assert len(network.separated_) > 0
    assert np.abs(network.weights_).max() < 7
    known = np.isfinite(network.standard_errors_)
    assert known.sum() + len(network.separated_) == 10
    assert network.standard_errors_[known].max() < 5
    table = network.summary()
    separated = table[table.separated]
    assert (np.isinf(separated.lower) | np.isinf(separated.upper)).all()
    assert ((separated.lower <= separated.coupling) & (separated.coupling <= separated.upper)).all()
    fits = BatchedFits.of(network, torch.as_tensor(x))(torch.ones(1, 60, dtype=torch.float64))[0]
    assert fits.abs().max() < 7


@pytest.mark.filterwarnings("ignore:.*no finite estimate:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tables_of_fewer_rows_than_columns_are_separated_throughout(dtype):
    """Each column is predicted exactly by the others: no row tells anything."""
    x = (np.random.default_rng(1).random((8, 12)) < 0.5).astype(float)
    x = x[:, (x.std(0) > 0)]
    network = IsingNetwork(selection=None, dtype=dtype).fit(x)
    assert len(network.separated_) == len(network.edges_)
    assert np.abs(network.weights_).max() < 7


@pytest.mark.parametrize(("strength", "pairs"), [(2.0, ()), (4.0, ()), (6.0, (0,)), (9.0, (0,))])
def test_pairs_without_information_are_the_same_in_both_codings(strength, pairs):
    """A coupling, here a log odds ratio, has none where its variance would be more than 25."""
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).repeat(40, 1)
    couplings, fields = torch.zeros(3, 3), torch.tensor([strength / 2, strength / 2, 0.0])
    couplings[0, 1] = couplings[1, 0] = strength
    for states in ((0, 1), (-1, 1)):
        space = StateSpace(3, states=states)
        model = PairwiseModel.on(space, EDGES[:2], bits)
        own, alone = recode(couplings, fields, source=(0, 1), target=states)
        model.energy.requires_grad_(False).weight[0] = own[0, 1]
        model.energy.fields.copy_(alone)
        observations = Observations.of(states[0] + (states[1] - states[0]) * bits, space)
        found = sandwich(model, observations, as_objective("pseudolikelihood"))
        assert found.diverging == pairs


def test_covariances_over_fills_are_exact_or_unbiased():
    x = torch.randint(2, (30, 12)).double()
    x[torch.rand(x.shape) < torch.linspace(0, 0.8, 30)[:, None]] = torch.nan
    data = with_fills(x, StateSpace(12), None, 3)
    left, right = torch.randn(len(data.datum), 2), torch.randn(len(data.datum), 3)
    expected = torch.zeros(2, 3)
    for number in range(30):
        own = data.datum == number
        a, b, shares = left[own], right[own], data.fill_weights[own, None]
        if data.drawn[own].all() and own.sum() > 1:
            spread = torch.cov(torch.cat([a, b], 1).mT)[:2, 2:]  # by the unbiased estimate
        else:
            spread = (shares * a).mT @ b - (shares * a).sum(0)[:, None] * (shares * b).sum(0)
        expected += data.weights[own].sum() * spread
    assert 0 < data.drawn.sum() < len(data.drawn)
    torch.testing.assert_close(_covariance_over_fills(left, right, data), expected)
