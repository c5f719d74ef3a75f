"""What ArviZ receives: draws, and log likelihoods that enumeration confirms, in both versions."""

import warnings

import networkx as nx
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import MCMC, NUTS

from pyro_rm import Estimator, Target
from pyro_rm.bridges import to_inference_data
from pyro_rm.bridges.pointwise import ExactLoss, PseudoLoss, pointwise
from pyro_rm.datasets import coupling_matrix
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel, Potts
from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import TooManyStatesError, index_of, states_at
from pyro_rm.evaluation import log_partition
from pyro_rm.infer import CalibratedPosterior, Marginalized, MarkovKernel, NoiseLevels, calibrate
from pyro_rm.networks import IsingNetwork, OrdinalNetwork, PottsNetwork
from pyro_rm.poutine import ratio_matching
from pyro_rm.state_space import StateSpace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    arviz = pytest.importorskip("arviz")

SITES = 6
PAIRS = SITES * (SITES - 1) // 2


def program(x, exact=False):
    couplings = pyro.sample("couplings", dist.Normal(0, 1).expand([PAIRS]).to_event(1))
    fields = pyro.sample("fields", dist.Normal(0, 1).expand([SITES]).to_event(1))
    model = Ising(coupling_matrix(couplings), fields, states=(-1, 1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", NormalizedModel(model) if exact else model, obs=x)


def data(size=300, strength=0.25):
    truth = strength * torch.randn(PAIRS)
    return NormalizedModel(Ising(coupling_matrix(truth), states=(-1, 1))).sample((size,))


def elpd(found):
    """Of either version."""
    return float(getattr(found, "elpd_loo", None) or found.elpd)


def log_probs(couplings, fields):
    """Of all states, one draw a row, by the definition."""
    states = states_at(StateSpace(SITES, states=(-1, 1)), torch.arange(2**SITES)).to(fields)
    first, second = torch.triu_indices(SITES, SITES, 1)
    logits = couplings @ (states[:, first] * states[:, second]).mT + fields @ states.mT
    return logits - logits.logsumexp(-1, keepdim=True)


def exact_elpd(x, num_draws=40_000):
    """Leave-one-out by the exact likelihood: draws about its mode, weighted to each posterior."""
    counts = torch.bincount(index_of(StateSpace(SITES, states=(-1, 1)), x), minlength=2**SITES)
    counts, mode = counts.double(), torch.zeros(PAIRS + SITES, dtype=torch.double)

    def negative(theta):
        table = log_probs(theta[..., :PAIRS], theta[..., PAIRS:])
        return 0.5 * theta.square().sum(-1) - table @ counts

    for _ in range(20):
        slope = torch.autograd.functional.jacobian(negative, mode)
        curvature = torch.autograd.functional.hessian(negative, mode)
        step = torch.linalg.solve(curvature, slope)
        while negative(mode - step) > negative(mode):
            step = step / 2
        mode = mode - step
    about = dist.MultivariateNormal(mode, 1.2 * torch.linalg.inv(curvature))
    draws = about.sample((num_draws,))
    table = log_probs(draws[:, :PAIRS], draws[:, PAIRS:])
    weights = -negative(draws) - about.log_prob(draws)
    effective = (2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp()
    assert effective > num_draws / 10
    each = weights.logsumexp(0) - (weights[:, None] - table).logsumexp(0)
    return float(each[counts > 0] @ counts[counts > 0])


def test_loo_of_an_ising_posterior_is_the_exact_one(float64):
    """Of calibrated draws and of a network, whose spreads are those of other estimates.

    Three nats are a sixth of the standard error that ``loo`` says, and ten times that of draws.
    """
    x = data()
    exact = exact_elpd(x)
    posterior = calibrate(program, (x,), progress=False)
    for found in (
        to_inference_data(posterior, program, (x,)),
        to_inference_data(IsingNetwork(selection=None, random_state=0).fit(x), data=x),
    ):
        loo = arviz.loo(found)
        assert abs(elpd(loo) - exact) < min(loo.se, 3.0)


def test_groups_of_calibrated_draws():
    x = data(50)
    draws = {"couplings": 0.2 * torch.randn(7, PAIRS), "fields": 0.2 * torch.randn(7, SITES)}
    posterior = CalibratedPosterior(draws, "affine", ())
    found = to_inference_data(posterior, program, (x,))
    table = log_probs(draws["couplings"], draws["fields"])
    expected = table[:, index_of(StateSpace(SITES, states=(-1, 1)), x)]
    np.testing.assert_allclose(found.log_likelihood["x"][0], expected, rtol=1e-4)
    pseudo = [
        -Estimator(num_neighbors="all")(
            Target.of(Ising(coupling_matrix(c), f, states=(-1, 1))), x
        )
        for c, f in zip(draws["couplings"], draws["fields"], strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(found.log_pseudolikelihood["x"][0], torch.stack(pseudo), rtol=1e-4)
    np.testing.assert_array_equal(found.observed_data["x"], x)
    assert found.posterior["couplings"].shape == (1, 7, PAIRS)
    alone = to_inference_data(posterior)
    assert not hasattr(alone, "log_likelihood")
    without = to_inference_data(posterior, program, (x,), likelihood=False)
    assert not hasattr(without, "log_likelihood")
    assert without.log_pseudolikelihood["x"].shape == (1, 7, 50)
    with pytest.raises(TooManyStatesError, match="at most 32 states, but got 64"):
        to_inference_data(posterior, program, (x,), max_states=32)


@pytest.mark.parametrize("exact", [False, True])
def test_groups_of_nuts(exact):
    """A program with an exact likelihood has no pseudolikelihood."""
    x = data(20)
    mcmc = MCMC(
        NUTS(program if exact else ratio_matching(program), max_tree_depth=2),
        num_samples=4, warmup_steps=2, disable_progbar=True,
    )  # fmt: skip
    mcmc.run(x, exact=exact)
    found = to_inference_data(mcmc)
    assert found.sample_stats["diverging"].shape == (1, 4)
    draws = mcmc.get_samples()
    table = log_probs(draws["couplings"], draws["fields"])
    expected = table[:, index_of(StateSpace(SITES, states=(-1, 1)), x)]
    np.testing.assert_allclose(found.log_likelihood["x"][0], expected, rtol=1e-4)
    assert hasattr(found, "log_pseudolikelihood") is not exact


def test_draws_of_a_markov_kernel_are_a_posterior_alone():
    kernel = MarkovKernel(Ising(torch.zeros(3, 3)), sample_shape=(2,))
    mcmc = MCMC(kernel, num_samples=5, warmup_steps=1, disable_progbar=True)
    mcmc.run()
    found = to_inference_data(mcmc)
    assert found.posterior["x"].shape == (1, 5, 2, 3)


def test_draws_of_a_network_have_its_covariance_and_names():
    """2 000 draws: standard deviations within 10 % with six standard errors to spare."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(data(400).numpy(), columns=list("abcdef"))
    graph = nx.cycle_graph(list("abcdef"))
    network = IsingNetwork(graph=graph).fit(table)
    found = to_inference_data(network, num_draws=2000)
    assert found.posterior["couplings"].pair.values.tolist()[0] == "a - b"
    assert found.posterior["fields"].column.values.tolist() == list("abcdef")
    spread = found.posterior["couplings"].values[0].std(0)
    np.testing.assert_allclose(spread, network.standard_errors_, rtol=0.1)
    assert not hasattr(found, "log_likelihood")


def many_valued(kind):
    """Answers in 3, 4 and 2 categories, and a network of them."""
    x = torch.stack([torch.randint(k, (400,)) for k in (3, 4, 2)], 1).double()
    x[:, 1] = torch.where(torch.rand(400) < 0.4, x[:, 0], x[:, 1])
    if kind == "potts":
        return x, PottsNetwork(num_categories=(3, 4, 2), dtype=torch.double).fit(x)
    kinds = {1: "nominal"} if kind == "nominal" else {}
    return x, OrdinalNetwork(kinds=kinds or None).fit(x)


@pytest.mark.parametrize("kind", ["ordinal", "nominal", "potts"])
def test_networks_of_many_categories(kind):
    """Without a spread, draws are the estimate, whose likelihood the energy itself has."""
    x, network = many_valued(kind)
    spread = network.joint_covariance_
    network.joint_covariance_ = 0 * spread
    found = to_inference_data(network, data=x, num_draws=2)
    energy = network.energy_
    encoded = energy.state_space.encode(x, torch.double)
    expected = -energy(encoded) - log_partition(energy)
    np.testing.assert_allclose(found.log_likelihood["x"].values[0, 1], expected, atol=1e-9)
    pseudo = network.score_samples(x)
    np.testing.assert_allclose(found.log_pseudolikelihood["x"].values[0, 0], pseudo, atol=1e-9)
    couplings = found.posterior["couplings"]
    assert couplings.dims[2:] == (
        ("pair",) if kind == "ordinal" else ("pair", "source_category", "target_category")
    )
    if kind == "ordinal":
        np.testing.assert_allclose(couplings.values[0, 0], network.weights_, atol=1e-9)
    if kind == "potts":
        first, second = network.edges_.T
        tables = network.couplings_[first, :, second]
        np.testing.assert_allclose(couplings.values[0, 0], tables, atol=1e-9)
        np.testing.assert_allclose(found.posterior["fields"].values[0, 0], network.fields_)


@pytest.mark.parametrize("kind", ["ordinal", "nominal", "potts"])
def test_spread_of_networks_of_many_categories(kind):
    """2 000 draws: standard deviations within 10 % with six standard errors to spare."""
    _, network = many_valued(kind)
    found = to_inference_data(network, num_draws=2000).posterior
    couplings, fields = (found[name].values[0] for name in ("couplings", "fields"))
    errors = network.field_standard_errors_
    np.testing.assert_allclose(fields.std(0), errors, rtol=0.1, atol=1e-6)
    edge = network.edges_.tolist().index([0, 1])
    sizes = couplings[:, edge]
    if kind != "ordinal":
        tables = sizes[:, :3]  # of three and of four categories
        tables = tables - tables.mean(1, keepdims=True)
        tables = tables - tables.mean(2, keepdims=True)
        sizes = np.linalg.norm(tables, axis=(1, 2)) * (2 if kind == "nominal" else 1)
    np.testing.assert_allclose(sizes.std(), network.standard_errors_[edge], rtol=0.1)


def test_blanks_are_summed_out():
    x = data(400)
    x[torch.rand(x.shape) < 0.1] = torch.nan
    x[0, :3], x[1] = torch.nan, torch.nan  # one row says nothing
    network = IsingNetwork(selection=None, random_state=0).fit(x)
    found = to_inference_data(network, data=x, num_draws=3)
    couplings, fields = (
        torch.as_tensor(found.posterior[name].values[0]) for name in ("couplings", "fields")
    )
    table = log_probs(couplings, fields)
    states = states_at(StateSpace(SITES, states=(-1, 1)), torch.arange(2**SITES))
    fits = ((states == x[:, None]) | x[:, None].isnan()).all(-1)
    expected = table[:, None].masked_fill(~fits, -torch.inf).logsumexp(-1)
    np.testing.assert_allclose(found.log_likelihood["x"].values[0], expected, atol=1e-9)
    model = Ising(coupling_matrix(couplings[0]), fields[0], states=(-1, 1), active=~x.isnan())
    pseudo = -Marginalized()(model.target_at(), x.double())
    np.testing.assert_allclose(found.log_pseudolikelihood["x"].values[0, 0], pseudo, atol=1e-9)


def test_categories_that_are_missing_are_summed_out():
    """Sites with fewer categories than others: rows with blanks have marginal probabilities."""
    space = StateSpace(3, (2, 3, 4))
    weights = torch.randn(3, 4)

    def energy(x):
        return (x * weights).sum((-2, -1)) + x[..., 0, 0] * x[..., 1, 1]

    x = torch.tensor([[0.0, 2.0, torch.nan], [1.0, torch.nan, torch.nan], [1.0, 1.0, 3.0]])
    target = Target.of(energy, space, active=~x.isnan())
    states = states_at(space, torch.arange(space.num_states))
    logits = -energy(space.encode(states, weights.dtype))
    fits = ((states == x[:, None]) | x[:, None].isnan()).all(-1)
    marginal = (logits - logits.logsumexp(0)).expand(3, -1).masked_fill(~fits, -torch.inf)
    torch.testing.assert_close(-ExactLoss()(target, x), marginal.logsumexp(-1))


def test_conditional_models_have_a_partition_function_a_datum():
    field, x = torch.randn(7, 3), torch.bernoulli(torch.full((7, 3), 0.5))
    model = EnergyModel(
        lambda x, field: -(field * x).sum(-1), state_space=StateSpace(3), context=field
    )
    expected = dist.Bernoulli(logits=field).log_prob(x).sum(-1)
    torch.testing.assert_close(-ExactLoss()(model.target_at(), x), expected)
    with pytest.raises(TooManyStatesError):
        ExactLoss(4)(model.target_at(), x)
    batched = Ising(torch.zeros(7, 3, 3), field)
    torch.testing.assert_close(-ExactLoss()(batched.target_at(), x), expected)


def test_models_with_levels_are_read_off():
    energy = MLPEnergy(4, (8,), num_levels=2)
    model = EnergyModel(energy, levels=NoiseLevels((0.0, 1.0)))
    x = torch.bernoulli(torch.full((5, 4), 0.5))

    def leveled(x):
        pyro.sample("unused", dist.Normal(0, 1))
        with pyro.plate("data", len(x)):
            pyro.sample("x", model, obs=x)

    rows, seen = pointwise(leveled, {"unused": torch.zeros(2)}, (x,), {}, ExactLoss())
    torch.testing.assert_close(rows["x"], model.log_prob(x).expand(2, -1))
    assert seen["x"] is x
    rows, _ = pointwise(leveled, {"unused": torch.zeros(2)}, (x,), {}, PseudoLoss())
    plain = -Estimator(num_neighbors="all")(Target.of(energy), x)
    torch.testing.assert_close(rows["x"], plain.expand(2, -1))


def test_other_sites_masks_and_scales():
    """Other likelihoods are groups' members, too; masked rows count nothing, weights neither."""
    x, y = torch.bernoulli(torch.full((5, 3), 0.5)), torch.randn(5)
    rows = torch.tensor([True, True, False, True, True])

    def both(x, y):
        mean = pyro.sample("mean", dist.Normal(0, 1))
        pyro.deterministic("double", 2 * mean)
        pyro.factor("extra", mean)
        with pyro.plate("data", 5), pyro.poutine.scale(scale=3.0):
            pyro.sample("y", dist.Normal(mean, 1), obs=y)
            with pyro.poutine.mask(mask=rows):
                pyro.sample("x", Ising(torch.zeros(3, 3)), obs=x)

    draws = {"mean": torch.tensor([0.0, 1.0])}
    exact, _ = pointwise(both, draws, (x, y), {}, ExactLoss())
    torch.testing.assert_close(exact["x"], (-3 * rows * np.log(2)).float().expand(2, -1))
    torch.testing.assert_close(exact["y"], dist.Normal(draws["mean"][:, None], 1).log_prob(y))
    pseudo, _ = pointwise(both, draws, (x, y), {}, PseudoLoss())
    assert list(pseudo) == ["x"]


def test_what_is_refused():
    x = data(100)
    with pytest.raises(ValueError, match="Expected a fitted PottsNetwork"):
        to_inference_data(PottsNetwork())
    with pytest.raises(TypeError, match="got dict"):
        to_inference_data({})
    network = IsingNetwork(selection=None).fit(x)
    network.standard_errors_[0] = np.nan
    with pytest.raises(ValueError, match=r"IsingNetwork\(ridge=1.0\)"):
        to_inference_data(network)

    def subsampled(x):
        pyro.sample("unused", dist.Normal(0, 1))
        with pyro.plate("data", len(x), subsample_size=2) as rows:
            pyro.sample("x", Ising(torch.zeros(6, 6), states=(-1, 1)), obs=x[rows])

    with pytest.raises(ValueError, match="draws a subsample"):
        pointwise(subsampled, {"unused": torch.zeros(2)}, (x,), {}, ExactLoss())
    known = torch.tensor([True, False, True])
    clamped = Potts(torch.zeros(3, 3, 3, 3), active=known)
    with pytest.raises(ValueError, match="likelihood given clamped sites"):
        ExactLoss()(clamped.target_at(), torch.zeros(1, 3))
