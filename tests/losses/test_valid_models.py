"""Which models work under which ELBO: gradients agree with the exact sum, or a clear error."""

from copy import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import infer, poutine
from pyro.infer import config_enumerate

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import MLPEnergy

DATA = (torch.arange(40).reshape(8, 5) % 7 < 3).float()


def couplings(scale):
    matrix = torch.ones(5, 5).triu(1)
    return scale[..., None, None] * (matrix + matrix.mT)


def plain(x):
    scale = pyro.param("scale", lambda: torch.tensor(0.3))
    with pyro.plate("data", len(x)):
        pyro.sample("x", Ising(couplings(scale), torch.zeros(5)), obs=x)


def latent(x):
    scale = pyro.sample("scale", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("x", Ising(couplings(scale), torch.zeros(5)), obs=x)


def latent_guide(x):
    location = pyro.param("location", lambda: torch.tensor(0.1))
    pyro.sample("scale", dist.Normal(location, 0.1))


def local(x):
    with pyro.plate("data", len(x)):
        scale = pyro.sample("scale", dist.Normal(0.0, 1.0))
        pyro.sample("x", Ising(couplings(scale), torch.zeros(5)), obs=x)


def local_guide(x):
    location = pyro.param("location", lambda: torch.zeros(len(x)))
    with pyro.plate("data", len(x)):
        pyro.sample("scale", dist.Normal(location, 0.1))


def sequential(x):
    scale = pyro.param("scale", lambda: torch.tensor(0.3))
    for i in pyro.plate("data", len(x)):
        pyro.sample(f"x_{i}", Ising(couplings(scale), torch.zeros(5)), obs=x[i])


def enumerated(x):
    scale = pyro.param("scale", lambda: torch.tensor([0.1, 0.5]))
    with pyro.plate("data", len(x)):
        k = pyro.sample("k", dist.Categorical(torch.ones(2)), infer={"enumerate": "parallel"})
        pyro.sample("x", Ising(couplings(scale[k]), torch.zeros(5)), obs=x)


def conditional(x):
    slope = pyro.param("slope", lambda: torch.ones(5))

    def energy(x, field):
        return -(x * slope * field).sum(-1)

    energy.state_space = pyro_rm.StateSpace(5)
    with pyro.plate("data", len(x)):
        pyro.sample("x", EnergyModel(energy, context=x.flip(-1) - 0.5), obs=x)


def unobserved(x):
    pyro.sample("x", Ising(torch.zeros(5, 5), torch.zeros(5)))


def without_energy(x):
    pyro.sample("x", dist.Bernoulli(0.5).expand([8, 5]).to_event(2), obs=x)


def no_guide(x):
    pass


MODELS = {
    "plain": (plain, no_guide),
    "latent": (latent, latent_guide),
    "local": (local, local_guide),
    "sequential": (sequential, no_guide),
    "conditional": (conditional, no_guide),
}
ENUM = {"max_plate_nesting": 1, "strict_enumeration_warning": False}
ELBOS = {
    "Trace": infer.Trace_ELBO(),
    "Trace, 3 particles": infer.Trace_ELBO(num_particles=3, vectorize_particles=True),
    "TraceMeanField": infer.TraceMeanField_ELBO(),
    "TraceGraph": infer.TraceGraph_ELBO(),
    "TraceEnum": infer.TraceEnum_ELBO(**ENUM),
    "TraceTMC": infer.TraceTMC_ELBO(**ENUM),
    "Renyi": infer.RenyiELBO(alpha=0.5, num_particles=2),
    "ReweightedWakeSleep": infer.ReweightedWakeSleep(num_particles=2, **ENUM),
}


NONLINEAR = ("Renyi", "TraceTMC", "ReweightedWakeSleep")
ROWS = [
    (name, elbo)
    for name, (_, guide) in MODELS.items()
    for elbo in ELBOS
    if not (elbo == "ReweightedWakeSleep" and guide is no_guide)  # Pyro's takes latents only
]


@pytest.mark.parametrize(("name", "elbo"), ROWS)
def test_ok(name, elbo):
    """Every parameter gets a finite gradient that is not zero."""
    model, guide = MODELS[name]
    num_neighbors = "all" if elbo in NONLINEAR else 3
    loss = pyro_rm.RatioMatchingLoss(num_neighbors=num_neighbors, elbo=copy(ELBOS[elbo]))
    loss.loss_and_grads(model, guide, DATA)
    parameters = list(pyro.get_param_store()._params.values())
    assert parameters
    for parameter in parameters:
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


def test_enumeration_needs_no_guide_and_matches_a_sum_over_classes():
    loss = pyro_rm.RatioMatchingLoss(elbo=infer.TraceEnum_ELBO(max_plate_nesting=1))
    got = loss.differentiable_loss(config_enumerate(enumerated), no_guide, DATA)
    got.backward()
    stored = pyro.param("scale")
    costs = torch.stack([
        pyro_rm.estimate(Ising(couplings(s), torch.zeros(5)).energy, DATA) for s in stored
    ])  # fmt: skip
    expected = -(torch.tensor(0.5).log() - costs).logsumexp(0).sum()
    torch.testing.assert_close(got, expected)
    (gradient,) = torch.autograd.grad(expected, stored)
    torch.testing.assert_close(stored.grad, gradient)


@pytest.mark.parametrize(("model", "message"), [
    (unobserved, "to be observed"),
    (without_energy, "found none"),
])  # fmt: skip
@pytest.mark.parametrize("elbo", ELBOS)
def test_error(model, message, elbo):
    loss = pyro_rm.RatioMatchingLoss(num_neighbors=3, elbo=copy(ELBOS[elbo]))
    with pytest.raises(ValueError, match=message):
        loss.loss_and_grads(model, no_guide, DATA)
    assert pyro.poutine.runtime._PYRO_STACK == []


@pytest.mark.parametrize("elbo", NONLINEAR)
def test_warning_where_noise_biases_a_bound(elbo):
    loss = pyro_rm.RatioMatchingLoss(num_neighbors=3, elbo=copy(ELBOS[elbo]))
    with pytest.warns(UserWarning, match="at site 'x' enters a nonlinear objective"):
        loss.loss_and_grads(latent, latent_guide, DATA)


@pytest.mark.parametrize("kind", [
    lambda elbo: pyro_rm.RatioMatchingLoss(num_neighbors=3, elbo=elbo),
    lambda elbo: pyro_rm.infer.ContrastiveDivergence(elbo=elbo),
])  # fmt: skip
def test_warning_where_noise_biases_a_sum_over_classes(kind):
    loss = kind(infer.TraceEnum_ELBO(max_plate_nesting=1))
    with pytest.warns(UserWarning, match="at site 'x' enters a nonlinear objective"):
        loss.differentiable_loss(enumerated, no_guide, DATA)


@pytest.mark.parametrize(
    "jit", [infer.JitTrace_ELBO, infer.JitTraceEnum_ELBO, infer.JitTraceMeanField_ELBO]
)
def test_jit_is_refused(jit):
    with pytest.raises(ValueError, match="without jit"):
        pyro_rm.RatioMatchingLoss(elbo=jit())


def test_observations_are_validated():
    loss = pyro_rm.RatioMatchingLoss()
    wrong = DATA.clone()
    wrong[3, 1] = 0.7
    with pytest.raises(ValueError, match=r"got 0.7 at index \(3, 1\)"):
        loss.loss(plain, no_guide, wrong)


def test_stein_variational_gradient_descent():
    kernel = infer.RBFSteinKernel()
    handled = pyro_rm.poutine.ratio_matching(latent)
    svgd = infer.SVGD(
        handled, kernel, pyro.optim.Adam({"lr": 0.1}), num_particles=4, max_plate_nesting=1
    )
    before = None
    for _ in range(20):
        svgd.step(DATA)
        before = before if before is not None else svgd.get_named_particles()["scale"].clone()
    after = svgd.get_named_particles()["scale"]
    assert after.shape == (4, 1)
    assert (after - before).abs().max() > 0.1


def test_importance_weights_are_the_generalized_likelihood():
    handled = pyro_rm.poutine.ratio_matching(latent)
    importance = infer.Importance(handled, num_samples=5).run(DATA)
    for trace, log_weight in zip(importance.exec_traces, importance.log_weights, strict=True):
        scale = trace.nodes["scale"]["value"]
        cost = pyro_rm.estimate(Ising(couplings(scale), torch.zeros(5)).energy, DATA).sum()
        assert float(log_weight) == pytest.approx(-cost.item(), rel=1e-5)


def test_laplace_approximation_and_rendering_take_the_handled_model():
    handled = pyro_rm.poutine.ratio_matching(latent)
    guide = infer.autoguide.AutoLaplaceApproximation(handled)
    svi = infer.SVI(handled, guide, pyro.optim.Adam({"lr": 0.05}), loss=infer.Trace_ELBO())
    for _ in range(100):
        svi.step(DATA)
    assert guide.laplace_approximation(DATA).get_posterior().variance > 0
    relations = infer.inspect.get_model_relations(handled, (DATA,))
    assert relations["observed"] == ["x"]


@pytest.mark.parametrize("vectorize", [False, True])
def test_module_energies_take_part_in_vectorized_particles(vectorize):
    energy = MLPEnergy(5, (4,))

    def model(x):
        pyro.module("energy", energy)
        temperature = pyro.sample("temperature", dist.LogNormal(0.0, 0.1))
        with pyro.plate("data", len(x)):
            hot = pyro_rm.energies.SumEnergy((temperature, energy))
            pyro.sample("x", EnergyModel(hot), obs=x)

    guide = infer.autoguide.AutoNormal(model)
    elbo = infer.Trace_ELBO(num_particles=2, vectorize_particles=vectorize, max_plate_nesting=1)
    svi = infer.SVI(
        model, guide, pyro.optim.Adam({"lr": 0.01}), loss=pyro_rm.RatioMatchingLoss(elbo=elbo)
    )
    assert svi.step(DATA) > 0


def test_conditioning_on_latents_keeps_the_loss():
    conditioned = poutine.condition(latent, {"scale": torch.tensor(0.2)})
    loss = pyro_rm.RatioMatchingLoss()
    cost = pyro_rm.estimate(Ising(couplings(torch.tensor(0.2)), torch.zeros(5)).energy, DATA).sum()
    prior = dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.2))
    assert loss.loss(conditioned, no_guide, DATA) == pytest.approx((cost - prior).item(), rel=1e-5)
