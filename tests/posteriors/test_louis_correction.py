"""Standard errors of fits to filled data: Louis' correction against exact slopes."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.infer import CalibratedPosterior, GibbsFill, Marginalized, calibrate
from pyro_rm.posteriors.louis_correction import Fills, sandwiches_over_fills
from pyro_rm.posteriors.sandwich import sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

NAN = float("nan")


def holes(space, count=12):
    """Data with up to three missing cells in a row."""
    x = states_at(space, torch.randint(space.num_states, (count,))).float()
    missing = torch.rand(count, 4) < 0.4
    missing[:, 0] = False
    missing[0] = torch.tensor([False, True, True, True])
    missing[1] = False
    return x.masked_fill(missing, NAN)


def ising_with_holes(x, weights=1.0):
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(6), 1.0).to_event(1))
    matrix = torch.zeros(4, 4).index_put(tuple(torch.triu_indices(4, 4, 1)), pairs)
    energy = PairwiseFunction(matrix + matrix.mT, torch.zeros(4), StateSpace(4))
    with pyro.plate("data", len(x)), poutine.scale(scale=weights):
        pyro.sample("x", EnergyModel(energy, active=~x.isnan()), obs=x)


def slope_of_mean_score(x, weights, flat):
    """Finite differences of the exact mean score over completions."""

    def mean_score(flat):
        point = flat.clone().requires_grad_()
        matrix = torch.zeros(4, 4).index_put(tuple(torch.triu_indices(4, 4, 1)), point)
        energy = PairwiseFunction(matrix + matrix.mT, torch.zeros(4), StateSpace(4))
        states = states_at(StateSpace(4), torch.arange(16))
        agrees = ((states == x[:, None]) | x[:, None].isnan()).all(-1)
        share = (-energy(states)).masked_fill(~agrees, -torch.inf).softmax(-1).detach()
        rows = states.expand(len(x), 16, 4)
        target = Target(energy, StateSpace(4), active=~x[:, None].isnan())
        scores = Estimator(num_neighbors="all")(target, rows)
        return torch.autograd.grad((weights[:, None] * share * scores).sum(), point)[0]

    step = 1e-5 * torch.eye(len(flat))
    columns = [(mean_score(flat + d) - mean_score(flat - d)) / 2e-5 for d in step]
    return torch.stack(columns, -1), mean_score(flat)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("weighted", [False, True])
def test_louis_correction_is_the_slope_of_the_mean_score(weighted):
    x = holes(StateSpace(4), 40).double()
    weights = 4 * torch.rand(40).square() if weighted else torch.ones(40)
    point = 0.5 * torch.randn(6)
    slope, mean_score = slope_of_mean_score(x, weights, point)
    fills = Fills(GibbsFill(Estimator(num_neighbors="all")))
    program = UnconstrainedProgram(ising_with_holes, fills, (x.repeat(25, 1), weights.repeat(25)))
    taken_for_data, found = sandwiches_over_fills(program, point, 60, progress=False)
    # Monte Carlo error of 1500 fills a row, about 1 % of the largest entries
    assert (found.hessian / 25 - slope).abs().max() < 0.04 * slope.abs().max()
    assert (taken_for_data.hessian / 25 - slope).abs().max() > 0.1 * slope.abs().max()
    torch.testing.assert_close(found.scores.sum(0) / 25, mean_score, rtol=0.1, atol=0.3)


@pytest.mark.usefixtures("float64")
def test_two_fills_are_right_on_average():
    """Of one cell a row, which a sweep draws independently; 1/2 in place of 1 would be biased."""
    x = states_at(StateSpace(4), torch.randint(16, (20,))).double()
    x[:, 0] = NAN
    point = 0.5 * torch.randn(6)
    slope, _ = slope_of_mean_score(x, torch.ones(20), point)
    program = UnconstrainedProgram(ising_with_holes, Fills(GibbsFill()), (x.repeat(500, 1),))
    taken_for_data, found = sandwiches_over_fills(program, point, 2, progress=False)
    expected = taken_for_data.hessian / 500 - slope
    covariance = (taken_for_data.hessian - found.hessian) / 500
    assert (covariance - expected).abs().max() < 0.2 * expected.abs().max()


@pytest.mark.usefixtures("float64")
def test_standard_errors_of_complete_data_are_the_sandwich():
    x = states_at(StateSpace(4), torch.randint(16, (80,)))
    posterior = calibrate(
        ising_with_holes, (x,), values={"pairs": torch.zeros(6)},
        num_fills=2, num_draws=20_000, progress=False,
    )  # fmt: skip
    assert isinstance(posterior, CalibratedPosterior)
    assert (posterior.method, posterior.weight, posterior.warnings) == ("normal", 1, ())
    program = UnconstrainedProgram(ising_with_holes, Estimator(num_neighbors="all"), (x,))
    found = sandwich_at(program, torch.zeros(6))
    inverse = torch.linalg.inv(found.hessian + torch.eye(6))
    expected = inverse @ (found.variability + torch.eye(6)) @ inverse
    torch.testing.assert_close(posterior.eigenvalues, found.eigenvalues())
    for draws in (posterior.draws["pairs"], posterior.uncalibrated["pairs"]):
        ratio = draws.std(0) / expected.diagonal().sqrt()
        assert (ratio - 1).abs().max() < 0.03  # 6 errors of a standard deviation of 20 000 draws


def test_fills_taken_for_data_give_intervals_that_are_too_short():
    """In the mean over parameters by a tenth or more; a mean ratio of 6 is known to 1 %."""
    x = holes(StateSpace(4), 200)
    posterior = calibrate(
        ising_with_holes, (x,), values={"pairs": torch.zeros(6)}, num_fills=10,
        num_draws=4000, progress=False,
    )  # fmt: skip
    ratio = posterior.draws["pairs"].std(0) / posterior.uncalibrated["pairs"].std(0)
    assert ratio.mean() > 1.1
    low, high = posterior.intervals()["pairs"]
    assert (low < high).all()


@pytest.mark.usefixtures("float64")
def test_other_estimators_fill_nothing_and_are_taken_by_site():
    x, values = holes(StateSpace(4), 60).double(), {"pairs": torch.zeros(6)}
    posterior = calibrate(
        ising_with_holes, (x,), estimator={"x": Marginalized()}, values=values,
        num_fills=2, num_draws=20_000, progress=False,
    )  # fmt: skip
    program = UnconstrainedProgram(ising_with_holes, Marginalized(), (x,))
    found = sandwich_at(program, torch.zeros(6))
    expected = found.calibrated_covariance(1.0, found.posterior_covariance(1.0))
    ratio = posterior.draws["pairs"].std(0) / expected.diagonal().sqrt()
    assert (ratio - 1).abs().max() < 0.03  # as above


def test_missing_cells_are_noticed():
    """They would count as zeros, and the intervals be wrong without a word."""
    x = holes(StateSpace(4), 40)
    for estimator in (None, Estimator(num_neighbors="all"), GibbsFill()):
        with pytest.raises(ValueError, match=r"values=guide.median\(\)\); or .*Marginalized\(\)"):
            calibrate(ising_with_holes, (x,), estimator=estimator)
    with pytest.warns(UserWarning, match=r"are few for 6 .*: intervals may be too short\."):
        calibrate(ising_with_holes, (x[:12],), values={"pairs": torch.zeros(6)}, progress=False)


@pytest.mark.parametrize("options", [{"method": "scalar"}, {"sampler": dict}])
def test_draws_about_values_are_normal(options):
    with pytest.raises(ValueError, match="values without a sampler or a method"):
        calibrate(ising_with_holes, (holes(StateSpace(4)),), values={}, **options)
