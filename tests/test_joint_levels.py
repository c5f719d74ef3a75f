"""Pairs of a datum and a level of noise: their objective against sums over all pairs."""

import sys
from dataclasses import replace
from pathlib import Path

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, with_levels
from pyro_rm.enumeration import index_of
from pyro_rm.estimators import Estimator
from pyro_rm.evaluation import IndependentSites, read_off
from pyro_rm.infer import GibbsFill, Marginalized, NoiseLevels
from pyro_rm.poutine import ratio_matching
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

sys.path.insert(0, str(Path(__file__).parent))
from level_tables import (
    LevelTable,
    background_table,
    channel,
    every_pair,
    every_state,
    level_marginals,
    shares_of,
)

pytestmark = pytest.mark.usefixtures("float64")
BITS, SPINS, CODES = StateSpace(3), StateSpace(3, states=(-1, 1)), StateSpace(2, (2, 3))
SHARES = (0.5, 0.2, 0.3)


def distribution(space):
    """Unequal probabilities of all states."""
    return torch.linspace(-1.0, 2.0, space.num_states).mul(3).sin().exp().softmax(0)


def levels_of(space, *, background, shares=SHARES):
    base = None
    if background:
        base = IndependentSites.fit(every_state(space)[: space.num_states // 2], space)
    return NoiseLevels((0.0, 0.4, 1.0), base, shares)


def site_terms(space, log_q):
    """Minus the log conditionals of all sites, summed, ``(L, num_states)``, one by one."""
    x = every_state(space)
    total = torch.zeros_like(log_q)
    for site in range(space.num_sites):
        others = torch.arange(space.num_sites) != site
        alike = (x[:, None, others] == x[None, :, others]).all(-1)
        total -= log_q - torch.where(alike, log_q[:, None], -torch.inf).logsumexp(-1)
    return total


def pair_objective(space, values, shares):
    """The pseudolikelihood of all pairs, ``(L, num_states)``, by the joint table."""
    log_q = shares.log()[:, None] - values
    return site_terms(space, log_q) - (log_q - log_q.logsumexp(0))


@pytest.mark.parametrize("space", [BITS, SPINS, CODES])
def test_the_objective_is_the_pseudolikelihood_of_the_pair(space):
    levels = levels_of(space, background=False)
    energy = LevelTable(space, torch.randn(3, space.num_states))
    target = Target.of(energy, levels=levels)
    x, level = every_pair(space, 3)
    found = Estimator(num_neighbors="all").joint_terms(target, level, target.encode(x))
    expected = pair_objective(space, energy.values, shares_of(levels)).flatten()
    torch.testing.assert_close(found.value, expected)
    assert found.contributions.shape == found.weights.shape


@pytest.mark.parametrize("objective", ["ratio_matching", "minimum_probability_flow"])
def test_any_consistent_objective_is_least_at_the_joint(objective):
    """With a gradient of zero at the exact joint, which is weighted by itself."""
    levels = levels_of(BITS, background=True)
    exact = level_marginals(levels, BITS, distribution(BITS))
    energy = LevelTable(BITS, -exact.log() + 1.7)
    target = Target.of(energy, levels=levels)
    x, level = every_pair(BITS, 3)
    value = Estimator(objective, "all").joint_terms(target, level, target.encode(x)).value
    weight = (shares_of(levels)[:, None] * exact).flatten()
    (slope,) = torch.autograd.grad((weight * value).sum(), energy.values)
    assert slope.abs().max() < 1e-12


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("space", [BITS, SPINS, CODES])
def test_the_optimum_is_the_joint_and_its_constant_is_read_off(space, background):
    """From zeros, over a free table: the channel's marginals, and one constant for all."""
    levels = levels_of(space, background=background)
    exact = level_marginals(levels, space, distribution(space))
    weight = shares_of(levels)[:, None] * exact
    energy = LevelTable(space, torch.zeros(3, space.num_states))
    target, (x, level) = Target.of(energy, levels=levels), every_pair(space, 3)
    encoded, estimator = target.encode(x), Estimator(num_neighbors="all")
    optimizer = torch.optim.LBFGS(
        energy.parameters(), max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = (weight.flatten() * estimator.joint_terms(target, level, encoded).value).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    log_z = (-energy.values.detach()).logsumexp(1)
    learned = (-energy.values.detach() - log_z[:, None]).exp()
    torch.testing.assert_close(learned, exact, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_z, log_z[:1].expand(3), atol=1e-4, rtol=0)
    found = read_off(target, num_draws=500)
    torch.testing.assert_close(found.log_partition, log_z[0], atol=1e-3, rtol=0)
    assert found.standard_error < 1e-4


@pytest.mark.parametrize("noise_weight", [None, 0.4])
@pytest.mark.parametrize("space", [BITS, CODES])
def test_an_estimate_is_unbiased_over_levels_noise_and_sites(space, noise_weight):
    """Fails with probability below 1e-7: six standard errors on 40 000 draws."""
    levels, n = levels_of(space, background=True), 40_000
    levels = replace(levels, noise_weight=noise_weight)
    energy = LevelTable(space, torch.randn(3, space.num_states))
    x = every_state(space)[1]
    noisy = torch.stack(
        [
            channel(space, p, background_table(space, levels.background))[1]
            for p in levels.probabilities
        ]
    )
    exact = pair_objective(space, energy.values.detach(), shares_of(levels))
    expected = (shares_of(levels)[:, None] * noisy * exact).sum()
    if noise_weight is not None:
        own = site_terms(space, -energy.values.detach()[:1])[0, 1]
        expected = own + noise_weight * expected
    for num_neighbors in ("all", 1):
        found = pyro_rm.estimate(
            energy, x.expand(n, -1), levels=levels, num_neighbors=num_neighbors
        ).detach()
        assert abs(found.mean() - expected) < 6 * found.std() / n**0.5


@pytest.mark.parametrize(("asked", "visited"), [(2, 2 + 1 + 1), (6, 6 + 2 + 1), ("all", 17)])
def test_pairs_beside_data_visit_a_third_of_the_neighbors(asked, visited):
    levels = NoiseLevels((0.0, 0.5, 1.0), noise_weight=0.3)
    energy, x = MLPEnergy(8, (5,), num_levels=3), torch.zeros(4, 8)
    for options in ({}, {"control_variate": True}):
        found = pyro_rm.estimate_terms(energy, x, levels=levels, num_neighbors=asked, **options)
        assert found.contributions.shape == found.weights.shape == (visited, 4)
        assert torch.equal(found.weights[-1], torch.full((4,), 0.3))
        assert (found.correction is not None) == (asked != "all" and bool(options))


def test_sampled_sites_and_the_level_term_agree_in_expectation():
    """Fails with probability below 1e-7: six standard errors on 20 000 draws of one pair."""
    energy, levels = MLPEnergy(4, (5,), num_levels=3), NoiseLevels((0.0, 0.5, 1.0))
    target, n = Target.of(energy, levels=levels), 20_000
    x, level = torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor(1)
    exact = Estimator(num_neighbors="all").joint_terms(target, level[None], x[None])
    for options in ({}, {"control_variate": True}):
        some = Estimator(num_neighbors=2, **options)
        drawn = some.joint_terms(target, level.expand(n), x.expand(n, 4))
        value = drawn.value.detach()
        assert abs(value.mean() - exact.value) < 6 * value.std() / n**0.5
        torch.testing.assert_close(drawn.contributions[-1], exact.contributions[-1].expand(n))
        assert drawn.contributions.shape == (3, n)


def test_inactive_sites_are_neither_noisy_nor_counted():
    """The sum over active sites and the level, with NaN in the others."""
    levels = NoiseLevels((0.0, 1.0))
    seen = []

    class Watching(MLPEnergy):
        def level_energies(self, x):
            seen.append(x)
            return super().level_energies(x)

    energy = Watching(4, (5,), num_levels=2)
    active = torch.tensor([True, True, False, False])
    x = torch.tensor([1.0, 0.0, 1.0, torch.nan]).expand(64, 4)
    pyro_rm.estimate(energy, x, active=active, levels=levels).sum().backward()
    assert (seen[0][:, 2:] == torch.tensor([1.0, 0.0])).all()
    assert len(seen[0][:, :2].unique(dim=0)) == 4
    terms = pyro_rm.estimate_terms(energy, x, active=active, levels=levels, num_neighbors="all")
    assert (terms.weights.sum(0) == 3).all()


def test_context_goes_before_the_level():
    def energy(x, field, level=None):
        shift = 0 if level is None else level
        return -((field + shift[..., None] if torch.is_tensor(shift) else field) * x).sum(-1)

    energy.num_levels = 2
    field, level = torch.randn(8, 3), torch.tensor([0, 1] * 4)
    x = every_state(BITS)
    target = Target.of(energy, BITS, context=field, levels=NoiseLevels((0.0, 1.0)))
    found = Estimator(num_neighbors="all").joint_terms(target, level, x).value
    energies = torch.stack([energy(x, field), energy(x, field, torch.ones(8).long())], 1)
    term = energies.gather(1, level[:, None])[:, 0] + (-energies).logsumexp(1)
    fields = field + level[:, None]
    sites = torch.nn.functional.softplus(-(2 * x - 1) * fields).sum(-1)
    torch.testing.assert_close(found, term + sites)


def test_objectives_at_another_temperature_are_refused():
    energy = MLPEnergy(3, (4,), num_levels=2)
    with pytest.raises(ValueError, match="Expected a consistent objective with levels of noise"):
        pyro_rm.estimate(
            energy, torch.zeros(2, 3), levels=NoiseLevels((0.0, 1.0)), objective="squared_ratio"
        )


def test_an_estimate_at_levels_is_random():
    energy, levels = MLPEnergy(3, (4,), num_levels=2), NoiseLevels((0.0, 1.0))
    estimator = Estimator(num_neighbors="all")
    assert estimator.is_deterministic(energy)
    assert not estimator.is_deterministic(Target.of(energy, levels=levels))


def program(energy, levels, **options):
    def model(x, active=None):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x), **options) as index:
            some = x[index]
            pyro.sample("x", EnergyModel(energy, levels=levels, active=active), obs=some)

    return model


def no_guide(*args):
    pass


def test_plates_masks_and_subsampling_scale_a_pair_like_a_datum():
    """At one level the pair's level costs nothing, and the loss is that of the data."""
    levels, x = NoiseLevels((0.0,)), torch.bernoulli(torch.full((6, 3), 0.5))
    energy = MLPEnergy(3, (4,), num_levels=1)
    each = pyro_rm.estimate(energy, x, num_neighbors="all").detach()
    loss = pyro_rm.RatioMatchingLoss(num_neighbors="all")
    torch.testing.assert_close(
        torch.tensor(loss.loss(program(energy, levels), no_guide, x)), each.sum()
    )
    mask = torch.arange(6) < 4
    masked = poutine.mask(program(energy, levels), mask=mask)
    torch.testing.assert_close(torch.tensor(loss.loss(masked, no_guide, x)), each[:4].sum())
    part = program(energy, levels, subsample=torch.tensor([1, 3]))
    torch.testing.assert_close(torch.tensor(loss.loss(part, no_guide, x)), 3 * each[[1, 3]].sum())


@pytest.mark.parametrize("vectorized", [False, True])
def test_particles_draw_levels_of_their_own(vectorized):
    """Fails with probability below 1e-7: six standard errors over 4000 particles."""
    levels, x = NoiseLevels((0.0, 1.0)), torch.zeros(2, 2)
    space, count = StateSpace(2), 4000 if vectorized else 400
    energy = LevelTable(space, torch.randn(2, 4))
    elbo = Trace_ELBO(num_particles=count, vectorize_particles=vectorized, max_plate_nesting=1)
    loss = pyro_rm.RatioMatchingLoss(num_neighbors="all", elbo=elbo)
    found = loss.loss(program(energy, levels), no_guide, x) / 2
    exact = pair_objective(space, energy.values.detach(), shares_of(levels))
    expected = 0.5 * exact[0, 0] + 0.5 * exact[1].mean()
    spread = (
        0.5 * (exact[0, 0] - expected) ** 2 + 0.5 * ((exact[1] - expected) ** 2).mean()
    ) ** 0.5
    assert abs(found - expected) < 6 * spread / (2 * count) ** 0.5


def test_nuts_is_refused_as_levels_are_drawn():
    model = program(MLPEnergy(3, (4,), num_levels=2), NoiseLevels((0.0, 1.0)))
    with pytest.raises(ValueError, match="and a model without levels of noise"):
        poutine.trace(ratio_matching(model)).get_trace(torch.zeros(2, 3))


def test_predictive_draws_from_the_data_level():
    """Fails with probability below 1e-7: six standard errors on 4000 chains."""
    space, levels, n = StateSpace(2), NoiseLevels((0.0, 0.5, 1.0)), 4000
    p = torch.tensor([0.55, 0.05, 0.1, 0.3])
    energy = LevelTable(space, -level_marginals(levels, space, p).log())
    sampler = pyro_rm.MarkovSampler(40, progress=False)

    def model():
        pyro.module("energy", energy)
        with pyro.plate("data", n):
            return pyro.sample("x", EnergyModel(energy, levels=levels, sampler=sampler))

    drawn = Predictive(model, num_samples=1)()["x"][0]
    frequency = index_of(space, drawn).bincount(minlength=4) / n
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / n).sqrt()).all()


@pytest.mark.parametrize("weight", [None, 0.4])
def test_blanks_are_filled_at_the_data_level_then_noisy_and_not_scored(weight):
    """Fails with probability below 1e-7: six standard errors on 20 000 rows."""
    space, levels, n = StateSpace(2), NoiseLevels((0.0, 1.0), noise_weight=weight), 20_000
    p = torch.tensor([0.55, 0.05, 0.1, 0.3])  # of 00, 01, 10, 11
    exact = level_marginals(levels, space, p)
    energy = LevelTable(space, -exact.log())
    x = torch.tensor([1.0, torch.nan]).expand(n, 2).clone()
    target = Target.of(energy, levels=levels, active=~x.isnan())
    fill = GibbsFill(Estimator(num_neighbors="all"), num_steps=1)
    filled = fill.filled(target, x)
    on = 0.75  # .3 in .4
    assert abs(filled[:, 1].mean() - on) < 6 * (on * (1 - on) / n) ** 0.5
    found = fill(target, x).detach()
    level_term = -(exact / exact.sum(0)).log()
    others = exact + exact[:, [2, 3, 0, 1]]  # with the first site either way
    site_term = -(exact / others).log()
    rows = torch.tensor([0.0, 0.0, 1 - on, on])
    noisy = torch.stack([rows, torch.full((4,), 0.25)])
    expected = (0.5 * noisy * (level_term + site_term)).sum()
    if weight is not None:
        expected = (rows * site_term[0]).sum() + weight * expected
    assert abs(found.mean() - expected) < 6 * found.std() / n**0.5


def test_marginals_over_blanks_know_no_levels():
    energy, levels = MLPEnergy(2, (4,), num_levels=2), NoiseLevels((0.0, 1.0))
    x = torch.tensor([[1.0, torch.nan]])
    target = Target.of(energy, levels=levels, active=~x.isnan())
    with pytest.raises(ValueError, match="without levels of noise beside Marginalized"):
        Marginalized()(target, x)


def test_imputation_is_at_the_data_level():
    """Fails with probability below 1e-7: six standard errors on 4000 fills."""
    space, levels, n = StateSpace(2), NoiseLevels((0.0, 1.0)), 4000
    p = torch.tensor([0.55, 0.05, 0.1, 0.3])
    model = EnergyModel(LevelTable(space, -level_marginals(levels, space, p).log()), levels=levels)
    filled = pyro_rm.infer.impute(
        model, torch.tensor([1.0, torch.nan]), num_fills=n, num_steps=1, progress=False
    )
    on = 0.75  # .3 in .4
    assert abs(filled[:, 1].mean() - on) < 6 * (on * (1 - on) / n) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [lambda: MLPEnergy(4, (5,), num_levels=3),
                                  lambda: with_levels(IsingEnergy(4), 3),
                                  lambda: with_levels(PottsEnergy(4, 3), 3)])  # fmt: skip
def test_a_fit_keeps_the_type_of_its_energy(make, dtype):
    energy, levels = make().to(dtype), NoiseLevels((0.0, 0.5, 1.0))
    x = torch.randint(2, (32, 4)).float()
    loss = pyro_rm.RatioMatchingLoss(num_neighbors=2)
    svi = SVI(program(energy, levels), no_guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    for _ in range(3):
        svi.step(x)
    assert all(p.grad is None or p.grad.isfinite().all() for p in energy.parameters())
    model = EnergyModel(energy, levels=levels)
    assert model.log_prob(x).dtype == dtype
    assert pyro_rm.estimate(model, x).dtype == dtype


def test_a_number_of_levels_that_the_energy_does_not_know_is_refused():
    levels = NoiseLevels((0.0, 0.5, 1.0))
    for energy, known in ((MLPEnergy(3, (4,), num_levels=2), "2"), (IsingEnergy(3), "none")):
        for call in (
            lambda energy=energy: pyro_rm.estimate(energy, torch.zeros(2, 3), levels=levels),
            lambda energy=energy: EnergyModel(energy, levels=levels),
            lambda energy=energy: Target.of(Target.of(energy), levels=levels),
        ):
            message = f"knows 3 levels of noise, but got one of {known}. Give it num_levels=3"
            with pytest.raises(ValueError, match=message):
                call()
    model = EnergyModel(with_levels(IsingEnergy(3), 3), levels=levels)
    with pytest.raises(ValueError, match="Expected levels once, but got it beside a model"):
        pyro_rm.estimate(model, torch.zeros(2, 3), levels=levels)
