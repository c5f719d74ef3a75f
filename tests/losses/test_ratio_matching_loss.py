"""The handler and the loss, in Pyro's own manners."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    JitTrace_ELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceMeanField_ELBO,
    config_enumerate,
)
from pyro.infer.autoguide import AutoDelta, AutoNormal

import pyro_rm
from pyro_rm.distributions import EnergyModel, IntractableLikelihoodError, Ising
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.poutine import ratio_matching

DATA = (torch.arange(60).reshape(12, 5) % 7 < 3).float()


def no_guide(*args):
    pass


def couplings_of(flat):
    matrix = torch.zeros((*flat.shape[:-1], 5, 5))
    row, column = torch.triu_indices(5, 5, 1)
    matrix[..., row, column] = flat
    return matrix + matrix.mT


def bayesian(x):
    flat = pyro.sample("flat", dist.Normal(0, 1).expand([10]).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", Ising(couplings_of(flat), torch.zeros(5)), obs=x)


def exact(x, flat):
    model = Ising(couplings_of(flat), torch.zeros(5))
    return pyro_rm.estimate(model.energy, x)


def test_svi_learns_and_the_module_face_gives_the_same_loss():
    energy = MLPEnergy(5, (16,))

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    loss = pyro_rm.RatioMatchingLoss(num_neighbors="all")
    svi = SVI(model, no_guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    first = svi.step(DATA)
    for _ in range(100):
        last = svi.step(DATA)
    assert last < 0.7 * first
    expected = pyro_rm.estimate(energy, DATA, num_neighbors="all").sum().item()
    assert svi.evaluate_loss(DATA) == pytest.approx(expected, rel=1e-5)
    assert loss(model, no_guide)(DATA).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("proposal", ["uniform", "gradient", "activity"])
def test_evaluate_loss_works_without_grad(proposal):
    energy = MLPEnergy(5, (4,))

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    loss = pyro_rm.RatioMatchingLoss(num_neighbors=2, proposal=proposal)
    svi = SVI(model, no_guide, pyro.optim.Adam({}), loss=loss)
    assert svi.evaluate_loss(DATA) > 0


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO, TraceEnum_ELBO])
@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("guide", [AutoDelta, AutoNormal])
def test_priors_and_guides(guide, elbo, particles):
    options = {"strict_enumeration_warning": False} if elbo is TraceEnum_ELBO else {}
    loss = pyro_rm.RatioMatchingLoss(
        elbo=elbo(num_particles=particles, vectorize_particles=True, max_plate_nesting=1, **options)
    )
    svi = SVI(bayesian, guide(bayesian), pyro.optim.Adam({"lr": 0.05}), loss=loss)
    losses = [svi.step(DATA) for _ in range(30)]
    assert losses[-1] < losses[0]


def test_vectorized_particles_equal_separate_ones():
    flat = torch.randn(3, 1, 10)
    conditioned = poutine.condition(bayesian, {"flat": flat})
    trace = poutine.trace(ratio_matching(conditioned)).get_trace(DATA)
    trace.compute_log_prob()
    got = trace.nodes["x"]["log_prob"]
    assert got.shape == (3, 12)
    for k in range(3):
        torch.testing.assert_close(got[k], -exact(DATA, flat[k, 0]))


def test_masks_scales_and_subsampling():
    def model(x):
        with pyro.plate("data", 24, subsample_size=12), poutine.mask(mask=torch.arange(12) < 6):
            pyro.sample("x", Ising(torch.zeros(5, 5), torch.ones(5)), obs=x)

    trace = poutine.trace(ratio_matching(poutine.scale(model, 3.0))).get_trace(DATA)
    one = pyro_rm.estimate(Ising(torch.zeros(5, 5), torch.ones(5)).energy, DATA[:6])
    torch.testing.assert_close(trace.log_prob_sum(), -6 * one.sum())


@pytest.mark.parametrize("wrap", [
    lambda d: d.mask(torch.tensor(True)),
    lambda d: d.expand([12]).to_event(1),
    lambda d: d.expand([12]).mask(torch.ones(12, dtype=torch.bool)),
])  # fmt: skip
def test_wrapped_distributions(wrap):
    base = Ising(torch.zeros(5, 5), torch.ones(5))
    handled = ratio_matching(lambda: pyro.sample("x", wrap(base), obs=DATA))
    total = poutine.trace(handled).get_trace().log_prob_sum()
    torch.testing.assert_close(total, -pyro_rm.estimate(base.energy, DATA).sum())


def test_handled_twice_is_handled_once():
    once = poutine.trace(ratio_matching(poutine.condition(bayesian, {"flat": torch.ones(10)})))
    model = poutine.condition(bayesian, {"flat": torch.ones(10)})
    twice = poutine.trace(ratio_matching(ratio_matching(model)))
    torch.testing.assert_close(
        once.get_trace(DATA).log_prob_sum(), twice.get_trace(DATA).log_prob_sum()
    )


def test_enumerated_mixture_equals_the_sum_over_classes():
    couplings = couplings_of(torch.randn(2, 10))

    @config_enumerate
    def model(x):
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Categorical(torch.tensor([0.3, 0.7])))
            pyro.sample("x", Ising(couplings[k], torch.zeros(5)), obs=x)

    loss = pyro_rm.RatioMatchingLoss(elbo=TraceEnum_ELBO(max_plate_nesting=1))
    costs = torch.stack(
        [pyro_rm.estimate(Ising(c, torch.zeros(5)).energy, DATA) for c in couplings]
    )
    log_weights = torch.tensor([[0.3], [0.7]]).log()
    expected = -(log_weights - costs).logsumexp(0).sum()
    assert loss.loss(model, no_guide, DATA) == pytest.approx(expected.item(), rel=1e-5)


def test_nuts_with_the_exact_sum():
    kernel = NUTS(ratio_matching(bayesian))
    mcmc = MCMC(kernel, num_samples=15, warmup_steps=15, disable_progbar=True)
    mcmc.run(DATA)
    assert mcmc.get_samples()["flat"].std(0).min() > 0.05


def test_modules_stay_modules():
    module = torch.nn.Linear(2, 2)
    assert len(list(ratio_matching(module).parameters())) == 2


def test_errors():
    energy = MLPEnergy(5, (4,))

    def unobserved():
        pyro.sample("z", EnergyModel(energy))

    def without():
        pyro.sample("y", dist.Normal(0, 1), obs=torch.tensor(0.0))

    def model(x):
        pyro.sample("x", EnergyModel(energy).expand([12]).to_event(1), obs=x)

    loss = pyro_rm.RatioMatchingLoss()
    with pytest.raises(ValueError, match="to be observed"):
        loss.loss(unobserved, no_guide)
    with pytest.raises(ValueError, match="found none"):
        loss.loss(without, no_guide)
    assert pyro.poutine.runtime._PYRO_STACK == []
    with pytest.raises(ValueError, match="deterministic"):
        ratio_matching(model, Estimator(num_neighbors=2))(DATA)
    ratio_matching(model, Estimator(num_neighbors=2), stochastic=True)(DATA)
    with pytest.raises(ValueError, match="positive weight"):
        pyro_rm.RatioMatchingLoss(weight=0)
    with pytest.raises(ValueError, match="without jit"):
        pyro_rm.RatioMatchingLoss(elbo=JitTrace_ELBO())
    with pytest.raises(IntractableLikelihoodError, match="partition function"):
        EnergyModel(energy).log_prob(DATA)
    with pytest.raises(ValueError, match="zero on the diagonal"):
        Ising(torch.eye(3))
    with pytest.raises(ValueError, match="symmetric"):
        Ising(torch.ones(3, 3).triu(1))
    torch.nn.init.constant_(energy.bias, float("nan"))
    with pytest.raises(ValueError, match=r"At site 'x'.*finite"):
        loss.loss(model, no_guide, DATA)


def test_an_energy_that_would_not_train_is_refused():
    energy = MLPEnergy(5, (4,))

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    svi = SVI(model, no_guide, pyro.optim.Adam({}), loss=pyro_rm.RatioMatchingLoss())
    with pytest.raises(ValueError, match="silently not train"):
        svi.step(DATA)
    pyro.module("energy", energy)  # in the store, but not in the model
    with pytest.raises(ValueError, match="silently not train"):
        svi.step(DATA)
    energy.requires_grad_(False)
    svi.step(DATA)


@pytest.mark.parametrize("options", [
    {"num_neighbors": "all"},
    {"num_neighbors": 2, "proposal": "gradient"},
    {"num_neighbors": 2, "control_variate": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("make", [
    lambda kind: kind(MLPEnergy)(5, (4,)),
    lambda kind: kind(RBMEnergy)(5, 3),
    lambda kind: kind(IsingEnergy)(5),
])  # fmt: skip
def test_weights_may_have_priors_by_pyro_modules(make, options):
    """Score as the same energy that holds the weights of the draw."""
    energy = make(lambda kind: pyro.nn.PyroModule[kind])
    plain = make(lambda kind: kind)
    shape = energy.weight.shape
    energy.weight = pyro.nn.PyroSample(dist.Normal(0.0, 1.0).expand(shape).to_event(2))
    given = {name: value for name, value in energy.state_dict().items() if name != "weight"}

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    run = poutine.trace(model)
    handled = ratio_matching(run, Estimator(**options), stochastic=True)
    weight = torch.randn(shape)
    scored = []
    for chosen in (poutine.condition(handled, {"weight": weight}), None):
        torch.manual_seed(1)
        if chosen is None:
            plain.load_state_dict(given | {"weight": weight})
            scored.append(-pyro_rm.estimate(plain, DATA, **options))
        else:
            chosen(DATA)
            scored.append(run.trace.nodes["x"]["fn"].log_prob(DATA))
    torch.testing.assert_close(*scored)


def test_pyro_modules_with_local_parameters_train():
    class Energy(pyro.nn.PyroModule):
        state_space = pyro_rm.StateSpace(5)

        def __init__(self):
            super().__init__()
            self.linear = pyro.nn.PyroModule[torch.nn.Linear](5, 1)

        def forward(self, x):
            return self.linear(x)[..., 0]

    class Model(pyro.nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.energy = Energy()

        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("x", EnergyModel(self.energy), obs=x)

    with pyro.settings.context(module_local_params=True):  # Pyro's own SVI does not take these
        loss = pyro_rm.RatioMatchingLoss(num_neighbors="all")(Model(), no_guide)
        optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            value = loss(DATA)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("loss", [
    pyro_rm.rmwggis(3),
    pyro_rm.rmwggis(3, biased=True),
    pyro_rm.rmwrand(3),
    pyro_rm.full_ratio_matching(),
    pyro_rm.full_squared_ratio(),
])  # fmt: skip
def test_the_methods_of_the_paper_train(loss):
    energy = MLPEnergy(5, (16,))

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    svi = SVI(model, no_guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    before = pyro_rm.estimate(energy, DATA, num_neighbors="all").sum()
    for _ in range(100):
        svi.step(DATA)
    assert pyro_rm.estimate(energy, DATA, num_neighbors="all").sum() < before


@pytest.mark.parametrize("num_neighbors", [2, "all"])
def test_inactive_sites(num_neighbors):
    energy = MLPEnergy(5, (4,))
    data = DATA.clone()
    data[::2, 1:4] = -9
    active = data >= 0

    def model(x, active):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, active=active), obs=x)

    loss = pyro_rm.RatioMatchingLoss(num_neighbors=num_neighbors)
    svi = SVI(model, no_guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    assert svi.step(data, active) > 0
    if num_neighbors == "all":
        expected = pyro_rm.estimate(energy, data, num_neighbors="all", active=active).sum()
        assert svi.evaluate_loss(data, active) == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises((TypeError, ValueError), match="active"):
        EnergyModel(energy, active=torch.ones(4))
