"""Calibrated posteriors: the matrices, the weight, the map, and the ways out."""

from types import SimpleNamespace

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, autoguide

from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.estimators import Estimator
from pyro_rm.infer import calibrate
from pyro_rm.posteriors.affine_adjustment import affine_adjustment
from pyro_rm.posteriors.posterior_modes import posterior_mode
from pyro_rm.posteriors.sandwich import jacobian, sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram

ROW, COLUMN = torch.triu_indices(3, 3, 1)
EXACT = Estimator(num_neighbors="all")


def ising(pairs, fields):
    matrix = torch.zeros(3, 3, dtype=pairs.dtype).index_put((ROW, COLUMN), pairs)
    return Ising(matrix + matrix.mT, fields, states=(-1, 1))


def model(x):
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    fields = pyro.sample("fields", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", ising(pairs, fields), obs=x)


def data(count, pairs=(0.5, -0.3, 0.2), fields=(0.1, -0.2, 0.3)):
    return NormalizedModel(ising(torch.tensor(pairs), torch.tensor(fields))).sample((count,))


@pytest.mark.usefixtures("float64")
def test_matrices_against_automatic_differentiation():
    x = data(50)
    program = UnconstrainedProgram(model, Estimator("ratio_matching", "all"), (x,))
    point = torch.randn(6)
    found = sandwich_at(program, point)
    scores = torch.autograd.functional.jacobian(program.losses, point)
    torch.testing.assert_close(jacobian(program.losses(p := point.requires_grad_()), p), scores)
    whole = torch.autograd.functional.hessian(program.potential, point)
    torch.testing.assert_close(found.hessian + found.prior_hessian, whole)
    torch.testing.assert_close(found.prior_hessian, torch.eye(6))
    torch.testing.assert_close(found.variability, 50 / 44 * 49 * scores.mT.cov())


@pytest.mark.usefixtures("float64")
def test_eigenvalues_in_the_directions_that_data_inform():
    """Reparametrized and with a parameter that data say nothing of, they stay the same."""
    x = data(80)
    mixing = torch.randn(6, 6)

    def other(x):
        scale = pyro.sample("scale", dist.HalfNormal(1.0))
        flat = mixing @ pyro.sample("flat", dist.Normal(torch.zeros(6), scale).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("x", ising(flat[:3], flat[3:]), obs=x)

    one = UnconstrainedProgram(model, EXACT, (x,))
    two = UnconstrainedProgram(other, EXACT, (x,))
    point = 0.3 * torch.randn(6)
    moved = torch.cat([torch.zeros(1), torch.linalg.solve(mixing, point)])
    at_one, at_two = sandwich_at(one, point), sandwich_at(two, moved)
    generic = torch.linalg.solve(at_one.hessian, at_one.variability)
    expected = torch.linalg.eigvals(generic).real.sort().values
    torch.testing.assert_close(at_one.eigenvalues(), expected)
    torch.testing.assert_close(at_two.eigenvalues(), expected)


def test_affine_adjustment_gives_the_covariance_and_keeps_the_mean():
    draws = torch.randn(50, 3, dtype=torch.double) @ torch.randn(3, 3, dtype=torch.double)
    factor = torch.randn(3, 3, dtype=torch.double)
    moved = affine_adjustment(draws, factor @ factor.mT)
    torch.testing.assert_close(moved.mT.cov(), factor @ factor.mT)
    torch.testing.assert_close(moved.mean(0), draws.mean(0))
    torch.testing.assert_close(affine_adjustment(draws, draws.mT.cov()), draws)
    center = torch.tensor([1.0, 2.0, 3.0], dtype=torch.double)
    moved = affine_adjustment(draws, draws.mT.cov(), center)
    torch.testing.assert_close(moved, draws - draws.mean(0) + center)
    with pytest.raises(ValueError, match="more draws than the 3 parameters"):
        affine_adjustment(draws[:3], factor @ factor.mT)
    with pytest.raises(ValueError, match="a positive definite covariance"):
        affine_adjustment(draws, -torch.eye(3))
    with pytest.raises(ValueError, match="draws that vary in all directions"):
        affine_adjustment(draws[:1].expand(50, 3), torch.eye(3))


@pytest.mark.usefixtures("float64")
def test_default_is_the_normal_with_the_covariance_of_the_estimate():
    x = data(100)
    posterior = calibrate(model, (x,), num_draws=200)
    assert posterior.method == "affine"
    program = UnconstrainedProgram(model, EXACT, (x,))
    mode = posterior_mode(program, program.start, posterior.weight)
    at_mode = sandwich_at(program, mode)
    h, k, w = at_mode.hessian, at_mode.variability, posterior.weight
    inverse = torch.linalg.inv(w * h + torch.eye(6))
    flat = program.flatten(posterior.draws)
    expected = inverse @ (w**2 * k + torch.eye(6)) @ inverse
    torch.testing.assert_close(flat.mT.cov(), expected, rtol=1e-4, atol=1e-5)
    assert w == pytest.approx(6 / float(posterior.eigenvalues.sum()))


def repeated(x):
    """Each datum four times, as if these were independent."""
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(3), 3.0).to_event(1))
    with pyro.plate("rows", len(x), dim=-2), pyro.plate("copies", 4, dim=-1):
        pyro.sample("x", ising(pairs, torch.zeros(3)), obs=x[:, None].expand(-1, 4, -1))


@pytest.mark.usefixtures("float64")
def test_copies_of_data_do_not_narrow_intervals():
    x = data(60)
    program = UnconstrainedProgram(repeated, EXACT, (x,), units=("rows",))
    single = UnconstrainedProgram(repeated, EXACT, (x,), units=("rows", "copies"))
    point = torch.zeros(3)
    by_rows, by_cells = sandwich_at(program, point), sandwich_at(single, point)
    torch.testing.assert_close(by_rows.hessian, by_cells.hessian)
    ratio = by_rows.variability / by_cells.variability
    corrections = (60 / 57) / (240 / 237)
    torch.testing.assert_close(ratio, torch.full((3, 3), 4 * corrections))


def test_coverage():
    """40 data sets, 3 parameters, 90 % intervals: a correct method leaves [0.75, 0.99] with
    probability below 1e-4 even if the parameters were the same; uncalibrated covers 0.59."""
    true = torch.tensor([0.5, -0.3, 0.2])
    inside = []
    for _ in range(40):
        x = data(80, fields=(0.0, 0.0, 0.0))
        low, high = calibrate(repeated, (x,), units=("rows",), num_draws=300).intervals()["pairs"]
        inside.append((low < true) & (true < high))
    assert 0.75 < torch.stack(inside).float().mean() < 0.99


def nuts(handled, *args):
    mcmc = MCMC(NUTS(handled), num_samples=200, warmup_steps=60, disable_progbar=True)
    mcmc.run(*args)
    return mcmc.get_samples()


def mean_field(handled, *args):
    guide = autoguide.AutoNormal(handled, init_scale=0.05)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.03, "lrd": 0.99})
    svi = SVI(handled, guide, optimizer, loss=Trace_ELBO())
    pyro.clear_param_store()
    for _ in range(400):
        svi.step(*args)
    return Predictive(guide, num_samples=500)(*args)


@pytest.mark.parametrize("sampler", [nuts, mean_field])
def test_samplers(sampler):
    """A tenth of a posterior sd of optimization error, or 3 Monte Carlo errors of 200 draws."""
    x = data(300)
    reference = calibrate(model, (x,), num_draws=4000)
    posterior = calibrate(model, (x,), sampler=sampler)
    assert posterior.method == "affine"
    assert posterior.weight == pytest.approx(reference.weight, rel=0.1)
    for name in ("pairs", "fields"):
        spread = reference.draws[name].std(0)
        assert ((posterior.draws[name].std(0) / spread) - 1).abs().max() < 0.25
        off = (posterior.draws[name].mean(0) - reference.draws[name].mean(0)) / spread
        assert off.abs().max() < 0.5


@pytest.mark.usefixtures("float64")
def test_draws_of_a_skewed_posterior_are_moved_to_its_mode():
    """Whatever the mean of the draws is; their covariance becomes that of the estimate."""
    x = data(100)
    program = UnconstrainedProgram(model, EXACT, (x,))
    mode = posterior_mode(program, program.start)
    skewed = mode + 0.1 * (torch.empty(300, 6).exponential_() - 0.5)

    def sampler(handled, x):
        return program.unflatten(skewed)

    posterior = calibrate(model, (x,), sampler=sampler)
    weighted_mode = posterior_mode(program, mode, posterior.weight)
    assert ((skewed.mean(0) - mode).abs() > 0.02).all()  # .05 but for 5 errors
    adjusted = program.flatten(posterior.draws)
    torch.testing.assert_close(adjusted.mean(0), weighted_mode, atol=1e-5, rtol=0)
    matrices = sandwich_at(program, weighted_mode)
    posterior_covariance = matrices.posterior_covariance(posterior.weight)
    expected = matrices.calibrated_covariance(posterior.weight, posterior_covariance)
    torch.testing.assert_close(adjusted.mT.cov(), expected, rtol=1e-4, atol=1e-6)


def test_bootstrap_agrees():
    x = data(300)
    reference = calibrate(model, (x,), num_draws=4000)
    posterior = calibrate(model, (x,), method="bootstrap", num_draws=100, progress=False)
    assert posterior.method == "bootstrap"
    assert posterior.weight == 1
    for name in ("pairs", "fields"):
        ratio = posterior.draws[name].std(0) / reference.draws[name].std(0)
        assert (ratio - 1).abs().max() < 0.4  # a standard deviation of 100 draws is known to 7 %


def test_few_data_get_a_scalar_weight():
    with pytest.warns(UserWarning, match="15 independent units are few for 6 parameters"):
        posterior = calibrate(model, (data(15),))
    assert posterior.method == "scalar"
    assert posterior.draws["pairs"] is posterior.uncalibrated["pairs"] or torch.equal(
        posterior.draws["pairs"], posterior.uncalibrated["pairs"]
    )
    assert calibrate(model, (data(50),), method="scalar").warnings == ()


def test_indefinite_curvature_falls_back_to_the_bootstrap():
    """Far from its optimum ratio matching is not convex."""

    def far(handled, x):
        return {"pairs": 0.1 * torch.randn(9, 3), "fields": 3 + 0.1 * torch.randn(9, 3)}

    x = -torch.ones(40, 3)
    x[:5] = 1
    with pytest.warns(UserWarning, match="no mode|not convex") as warned:
        posterior = calibrate(
            model, (x,), estimator=Estimator("ratio_matching", "all"), sampler=far,
            num_draws=5, progress=False,
        )  # fmt: skip
    first, second = (str(warning.message) for warning in warned)
    assert first.startswith("There is no mode among the draws of weight 1,")
    assert "took the bootstrap" in second
    assert posterior.method == "bootstrap"
    assert posterior.eigenvalues is None


def horseshoe(x):
    """Its scales have no curvature to speak of at the draws' mean."""
    scales = pyro.sample("scales", dist.HalfCauchy(torch.ones(3)).to_event(1))
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(3), scales).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", ising(pairs, torch.zeros(3)), obs=x)


def under_a_horseshoe(spread):
    """Calibrated draws of a sampler whose couplings spread so much."""

    def sampler(handled, x):
        pairs = torch.tensor([0.8, 0.0, 0.0]) + spread * torch.randn(400, 3)
        return {"pairs": pairs, "scales": torch.randn(400, 3).sub(4).exp()}

    x = data(200, pairs=(0.8, 0.0, 0.0), fields=(0.0, 0.0, 0.0))
    with pytest.warns(UserWarning, match="no mode|not log-concave|not positive definite") as warned:
        posterior = calibrate(horseshoe, (x,), sampler=sampler)
    return posterior, [str(warning.message) for warning in warned]


def test_posteriors_that_are_not_log_concave_are_adjusted_by_their_draws():
    posterior, (first, second, third) = under_a_horseshoe(spread=0.08)
    assert first.startswith("There is no mode among the draws of weight 1,")
    assert second.startswith("There is no mode among the draws of weight")
    assert third.startswith("The posterior is not log-concave at its center")
    assert posterior.method == "affine"
    assert posterior.draws["scales"].min() > 0
    assert len(posterior.eigenvalues) == 3


def test_draws_that_are_far_too_wide_are_not_adjusted():
    """Data that inform much more than the draws know: no covariance is consistent with both."""
    posterior, warned = under_a_horseshoe(spread=2.0)
    assert warned[-1].startswith("The calibrated covariance is not positive definite")
    assert posterior.method == "scalar"
    assert torch.equal(posterior.draws["pairs"], posterior.uncalibrated["pairs"])
    assert posterior.warnings == tuple(warned)


def test_errors():
    with pytest.raises(ValueError, match="Expected method"):
        calibrate(model, (data(20),), method="other")
    with pytest.raises(ValueError, match="several independent units"):
        calibrate(model, (data(1),))

    def flat(x):
        level = pyro.sample("level", dist.Normal(torch.zeros(2), 1.0).mask(False).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("x", ising(torch.zeros(3), level[..., :1].expand(3)), obs=x)

    endless = SimpleNamespace(num_units=1, potential=lambda point, weights: -point.pow(4).sum())
    with pytest.raises(ValueError, match="a posterior with a finite mode"):
        posterior_mode(endless, torch.ones(2))
    with pytest.raises(ValueError, match="Pass a sampler"):
        calibrate(flat, (data(20),))
