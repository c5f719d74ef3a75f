"""Quasi-Newton fits of binary models against automatic differentiation and other solvers."""

import pytest
import torch

from pyro_rm.energies import SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks import IsingNetwork
from pyro_rm.networks.binary_fits import BinaryFits, _Metric
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.quasi_newton import quasi_newton
from pyro_rm.networks.sandwich import gram
from pyro_rm.objectives import as_objective
from pyro_rm.state_space import StateSpace

pytestmark = pytest.mark.usefixtures("float64")


def data(num_rows=200, num_sites=6, states=(0, 1), seed=0):
    torch.manual_seed(seed)
    drive = torch.randn(num_rows, 1)
    up = drive + torch.randn(num_rows, num_sites) > 0.3
    return torch.where(up, float(states[1]), float(states[0]))


def fits(x, states, edges, *, dense, objective="pseudolikelihood", **options):
    energy = SparseIsingEnergy(x.shape[1], edges, states=states)
    energy.is_dense = dense
    weights = torch.rand(2, len(x))
    weights /= weights.sum(1, keepdim=True)
    penalty = 0.01 * torch.rand(len(edges) + x.shape[1])
    return BinaryFits(energy, x, as_objective(objective), weights, penalty, **options)


def test_many_bowls_at_once():
    torch.manual_seed(0)
    root = torch.randn(3, 5, 5)
    curvature, target = root @ root.mT + torch.eye(5), torch.randn(3, 5)

    def bowls(point):
        slope = (curvature @ (point - target)[:, :, None])[:, :, 0]
        return (slope * (point - target)).sum(1) / 2, slope

    point, arrived = quasi_newton(
        bowls, lambda g: g, torch.zeros(3, 5), tolerance=1e-8, max_steps=60
    )
    assert arrived.all()
    torch.testing.assert_close(point, target)


def test_what_does_not_arrive_says_so():
    def slopes(point):
        return point.sum(1), torch.ones_like(point)

    _, arrived = quasi_newton(slopes, lambda g: g, torch.zeros(2, 3), tolerance=1e-8, max_steps=4)
    assert not arrived.any()


def test_a_function_without_a_lower_point_stays_where_it_was():
    def rises(point):
        return -(point.sum(1) > -1).double(), torch.ones_like(point)

    point, arrived = quasi_newton(
        rises, lambda g: 1e12 * g, torch.zeros(1, 2), tolerance=1e-8, max_steps=4
    )
    assert (point == 0).all()
    assert not arrived.any()


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("states", [(0, 1), (-1, 1)])
@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching"])
def test_gradients_and_hessians_are_those_of_automatic_differentiation(dense, states, objective):
    x, edges = data(states=states), torch.tensor([[0, 1], [4, 2], [2, 3]])
    active = torch.rand(x.shape) < 0.8
    problem = fits(x, states, edges, dense=dense, objective=objective, active=active)
    point = torch.randn(2, 9)

    def terms(point):
        couplings = point.new_zeros(6, 6).index_put(tuple(edges.T), point[:3])
        felt = x @ (couplings + couplings.T) + point[3:]
        gaps = felt * (sum(states) - 2 * x)  # E(x) - E(flipped)
        return as_objective(objective)(gaps) * active

    values, gradients = problem(point)
    hessians = problem.hessians(point)
    for row in range(2):

        def total(own, row=row):
            return (terms(own) * problem.weights[row, :, None]).sum() + problem.penalty @ own**2

        torch.testing.assert_close(values[row], total(point[row]))
        torch.testing.assert_close(
            gradients[row], torch.autograd.functional.jacobian(total, point[row])
        )
        torch.testing.assert_close(
            hessians[row], torch.autograd.functional.hessian(total, point[row])
        )


@pytest.mark.parametrize("dense", [True, False])
def test_the_metric_is_symmetric_and_positive_definite(dense):
    edges = torch.triu_indices(6, 6, 1).T
    problem = fits(data(), (0, 1), edges, dense=dense)
    metric = _Metric(problem, torch.zeros(2, 21))
    columns = torch.stack([metric(row.expand(2, -1)) for row in torch.eye(21)], -1)
    torch.testing.assert_close(columns, columns.mT)
    assert (torch.linalg.eigvalsh(columns) > 0).all()


def test_the_metric_inverts_the_hessian_of_independent_sites():
    """All states of fair coins: conditionals are equally curved everywhere, data uncorrelated."""
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    edges = torch.triu_indices(4, 4, 1).T
    energy = SparseIsingEnergy(4, edges)
    weights = torch.full((1, 16), 1 / 16)
    problem = BinaryFits(energy, x, as_objective("pseudolikelihood"), weights, torch.zeros(10))
    start = torch.zeros(1, 10)
    metric, (hessian,) = _Metric(problem, start), problem.hessians(start)
    steps = torch.cat([metric(column[None]) for column in hessian.T])
    torch.testing.assert_close(steps, torch.eye(10))


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("states", [(0, 1), (-1, 1)])
def test_fits_take_few_steps_and_their_gradients_vanish(dense, states, monkeypatch):
    x, edges = data(1000, states=states), torch.triu_indices(6, 6, 1).T
    problem, calls = fits(x, states, edges, dense=dense), []
    plain = BinaryFits.__call__
    monkeypatch.setattr(BinaryFits, "__call__", lambda *a: (calls.append(1), plain(*a))[1])
    point, arrived = problem.minimize(torch.zeros(2, 21), tolerance=1e-8, max_steps=100)
    assert arrived.all()
    assert problem(point)[1].abs().max() <= 1e-8
    assert len(calls) < 40


def test_held_couplings_stay():
    edges = torch.triu_indices(6, 6, 1).T
    held = torch.arange(15) == 3
    problem = fits(data(), (0, 1), edges, dense=True, held=held)
    start = torch.zeros(2, 21)
    start[:, 3] = 0.7
    point, arrived = problem.minimize(start, tolerance=1e-8, max_steps=100)
    assert arrived.all()
    assert (point[:, 3] == 0.7).all()


def test_equal_rows_are_one_row_of_their_weight():
    x = data(300, 3)
    observations = Observations.of(x, StateSpace(3))
    rows, weights = observations.distinct
    assert len(rows) == 8
    expected = torch.stack([(x == row).all(1).double().mean() for row in rows])
    torch.testing.assert_close(weights, expected)
    merged = observations.collapsed
    assert merged.effective_size == observations.effective_size
    estimator, energy = Estimator(num_neighbors="all"), SparseIsingEnergy(3, torch.tensor([[0, 1]]))
    means = [mean_objective(energy, each, estimator) for each in (observations, merged)]
    assert means[0] == pytest.approx(means[1])


def test_standard_errors_do_not_notice_that_equal_rows_are_merged(monkeypatch):
    x = data(300, 4)
    merged = IsingNetwork(selection=None).fit(x)
    monkeypatch.setattr(Observations, "collapsed", property(lambda self: self))
    plain = IsingNetwork(selection=None).fit(x)
    torch.testing.assert_close(merged.covariance_, plain.covariance_)


@pytest.mark.parametrize("weights", [None, torch.arange(300) % 3 + 1.0])
def test_standard_errors_do_not_notice_chunks_of_rows(weights, monkeypatch):
    x = data(300, 4)
    at_once = IsingNetwork(selection=None).fit(x, sample_weight=weights)
    monkeypatch.setattr(f"{gram.__module__}._ENTRIES_AT_ONCE", 1)
    monkeypatch.setattr(f"{gram.__module__}._COLUMNS_AT_ONCE", 3)
    chunked = IsingNetwork(selection=None).fit(x, sample_weight=weights)
    torch.testing.assert_close(at_once.covariance_, chunked.covariance_)


def test_sampling_weights_are_not_frequencies():
    weights = torch.rand(300)
    observations = Observations.of(data(300, 3), StateSpace(3), weights)
    assert observations.collapsed is observations


def test_half_of_the_products_determines_all():
    rows = torch.randn(20, 300)
    torch.testing.assert_close(gram(rows), rows.T @ rows)
