"""What the handler promises for any model: it changes scores of observed energy sites only."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, autoguide
from pyro.infer.reparam import LocScaleReparam
from pyro.nn import PyroModule, PyroSample

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import IsingEnergy, MLPEnergy, SumEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.poutine import ratio_matching

DATA = (torch.arange(40).reshape(8, 5) % 7 < 3).float()


def model(x, rows=True):
    field = pyro.sample("field", dist.Normal(torch.zeros(5), 1.0).to_event(1))
    with pyro.plate("data", len(x)), poutine.mask(mask=rows):
        z = pyro.sample("z", dist.Normal(0.0, 1.0), obs=torch.zeros(len(x)))
        pyro.sample("x", Ising(torch.zeros(5, 5), field), obs=x)
    return z


@pytest.fixture
def plain():
    """A trace of the model itself; its energy site cannot be scored."""
    return poutine.trace(model).get_trace(DATA)


def test_other_sites_are_untouched(plain):
    handled = poutine.trace(ratio_matching(poutine.replay(model, plain))).get_trace(DATA)
    assert list(handled.nodes) == list(plain.nodes)
    for name in ("field", "z"):
        before, after = plain.nodes[name], handled.nodes[name]
        assert type(before["fn"]) is type(after["fn"])
        torch.testing.assert_close(after["value"], before["value"])
        assert after["cond_indep_stack"] == before["cond_indep_stack"]
    assert handled.nodes["x"]["value"] is plain.nodes["x"]["value"]


def test_return_values_pass():
    torch.testing.assert_close(ratio_matching(model)(DATA), torch.zeros(8))


def total(wrapped, plain):
    return poutine.trace(poutine.replay(wrapped, plain)).get_trace(DATA).log_prob_sum()


@pytest.mark.parametrize("name", ["scale", "block", "do", "lift", "infer_config", "seed"])
def test_commutes_with_other_handlers(name, plain):
    handler = {
        "scale": lambda m: poutine.scale(m, 2.5),
        "block": lambda m: poutine.block(m, hide=["z"]),
        "do": lambda m: poutine.do(m, {"field": torch.ones(5)}),
        "lift": lambda m: poutine.lift(m, dist.Normal(0.0, 1.0)),
        "infer_config": lambda m: poutine.infer_config(m, lambda site: {}),
        "seed": lambda m: poutine.seed(m, rng_seed=0),
    }[name]
    torch.testing.assert_close(
        total(handler(ratio_matching(model)), plain), total(ratio_matching(handler(model)), plain)
    )


def test_each_call_is_fresh():
    """An estimate belongs to one run: parameters may change in between."""
    field = torch.zeros(5)

    def program():
        pyro.sample("x", Ising(torch.zeros(5, 5), field), obs=DATA[0])

    handled = ratio_matching(program)
    before = poutine.trace(handled).get_trace().log_prob_sum()
    field += 1
    after = poutine.trace(handled).get_trace().log_prob_sum()
    expected = -pyro_rm.estimate(Ising(torch.zeros(5, 5), field).energy, DATA[0])
    torch.testing.assert_close(after, expected)
    assert (after - before).abs() > 0.1


def test_conditioning_goes_inside():
    def unobserved():
        with pyro.plate("data", 8):
            pyro.sample("x", Ising(torch.zeros(5, 5), torch.ones(5)))

    inside = ratio_matching(poutine.condition(unobserved, {"x": DATA}))
    expected = -pyro_rm.estimate(Ising(torch.zeros(5, 5), torch.ones(5)).energy, DATA).sum()
    torch.testing.assert_close(poutine.trace(inside).get_trace().log_prob_sum(), expected)
    # outside it comes too late: the handler sees no observation
    loss = pyro_rm.RatioMatchingLoss()
    with pytest.raises(ValueError, match="to be observed"):
        loss.loss(unobserved, lambda: None)
    assert loss.loss(poutine.condition(unobserved, {"x": DATA}), lambda: None) > 0


def test_what_is_observed_no_longer_is_drawn_from_the_model():
    energy = IsingEnergy(5, states=(-1, 1))
    torch.nn.init.constant_(energy.fields, -20.0)

    def program():
        with pyro.plate("data", 8):
            model = EnergyModel(energy, sampler=MarkovSampler(3, progress=False))
            pyro.sample("x", model, obs=2 * DATA - 1)

    site = poutine.trace(poutine.uncondition(ratio_matching(program))).get_trace().nodes["x"]
    assert torch.equal(site["value"], -torch.ones(8, 5))  # but with a probability of 40 e^-40
    assert site["fn"].support.check(site["value"]).all()


def test_expansions_by_hand_are_replaced():
    def program():
        pyro.sample("x", dist.ExpandedDistribution(EnergyModel(IsingEnergy(5)), (8,)), obs=DATA)

    site = poutine.trace(ratio_matching(program)).get_trace().nodes["x"]
    expected = -pyro_rm.estimate(IsingEnergy(5), DATA)
    torch.testing.assert_close(site["fn"].log_prob(DATA), expected)


def test_reparameterized_priors():
    def program(x):
        field = pyro.sample("field", dist.Normal(torch.ones(5), 2.0).to_event(1))
        pyro.sample("x", Ising(torch.zeros(5, 5), field).expand([8]).to_event(1), obs=x)

    config = {"field": LocScaleReparam(0.0)}
    for handled in (
        ratio_matching(poutine.reparam(program, config)),
        poutine.reparam(ratio_matching(program), config),
    ):
        trace = poutine.trace(handled).get_trace(DATA)
        field = trace.nodes["field"]["value"]
        torch.testing.assert_close(field, 1 + 2 * trace.nodes["field_decentered"]["value"])
        cost = pyro_rm.estimate(Ising(torch.zeros(5, 5), field).energy, DATA).sum()
        prior = dist.Normal(0.0, 1.0).log_prob(trace.nodes["field_decentered"]["value"]).sum()
        torch.testing.assert_close(trace.log_prob_sum(), prior - cost)


def two_sites(x):
    for name in ("a", "b"):
        with pyro.plate(f"data_{name}", len(x)):
            pyro.sample(name, Ising(torch.zeros(5, 5), torch.ones(5)), obs=x)


@pytest.mark.parametrize("wrap", [lambda by_site: by_site, lambda by_site: by_site.get])
def test_estimators_by_site(wrap):
    by_site = {"a": Estimator("ratio_matching"), "b": Estimator("minimum_probability_flow")}
    trace = poutine.trace(ratio_matching(two_sites, wrap(by_site))).get_trace(DATA)
    trace.compute_log_prob()
    energy = Ising(torch.zeros(5, 5), torch.ones(5)).energy
    for name, estimator in by_site.items():
        expected = -pyro_rm.estimate(energy, DATA, objective=estimator.objective)
        torch.testing.assert_close(trace.nodes[name]["log_prob"], expected)
    loss = pyro_rm.RatioMatchingLoss("ratio_matching", estimators={"b": by_site["b"]})
    assert loss.loss(two_sites, lambda x: None, DATA) == pytest.approx(-float(trace.log_prob_sum()))


def test_missing_estimators_are_errors():
    with pytest.raises(ValueError, match="Expected a loss for the energy-based site 'b'"):
        ratio_matching(two_sites, {"a": Estimator()})(DATA)
    with pytest.raises(TypeError, match="Expected an Estimator for site 'a', but got None"):
        ratio_matching(two_sites, lambda name: None)(DATA)


class SampledWeights(PyroModule):
    state_space = pyro_rm.StateSpace(5)

    def __init__(self):
        super().__init__()
        self.field = PyroSample(dist.Normal(0.0, 1.0).expand([5]).to_event(1))
        self.pair = PyroSample(dist.Normal(0.0, 1.0))

    def forward(self, x):
        return -(x * self.field).sum(-1) - self.pair * x[..., 0] * x[..., 1]


class Holder(PyroModule):
    def __init__(self, wrap):
        super().__init__()
        self.energy, self.wrap = SampledWeights(), wrap

    def forward(self, x, rows=True):
        with pyro.plate("data", len(x)), poutine.mask(mask=rows):
            pyro.sample("x", EnergyModel(self.wrap(self.energy)), obs=x)


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: SumEnergy((1.0, e))])
@pytest.mark.parametrize("options", [
    {"num_neighbors": "all"}, {"num_neighbors": "all", "max_neighbors_per_chunk": 8},
    {"num_neighbors": 2, "proposal": "gradient"},
])  # fmt: skip
def test_sampled_weights_are_drawn_once_and_shared_by_all_data(wrap, options):
    rows = torch.arange(8) < 6
    handled = ratio_matching(Holder(wrap), Estimator(**options), stochastic=True)
    trace = poutine.trace(handled).get_trace(DATA, rows)
    trace.compute_log_prob()
    weights = {name: site for name, site in trace.nodes.items() if name.startswith("energy.")}
    assert set(weights) == {"energy.field", "energy.pair"}
    assert weights["energy.field"]["value"].shape == (5,)
    for site in weights.values():
        assert site["cond_indep_stack"] == ()
        torch.testing.assert_close(site["log_prob"], site["fn"].log_prob(site["value"]))
    if options == {"num_neighbors": "all"}:
        field, pair = (weights[f"energy.{name}"]["value"] for name in ("field", "pair"))
        cost = pyro_rm.estimate(
            lambda x: -(x * field).sum(-1) - pair * x[..., 0] * x[..., 1],
            DATA, state_space=pyro_rm.StateSpace(5), num_neighbors="all",
        )  # fmt: skip
        torch.testing.assert_close(trace.nodes["x"]["log_prob"], -cost * rows)


def test_sampled_weights_get_posteriors():
    holder = Holder(lambda energy: energy)
    guide = autoguide.AutoNormal(ratio_matching(holder))
    loss = pyro_rm.RatioMatchingLoss(num_neighbors="all", elbo=Trace_ELBO(num_particles=2))
    svi = SVI(holder, guide, pyro.optim.Adam({"lr": 0.05}), loss=loss)
    losses = [svi.step(DATA) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])
    assert set(guide.median()) == {"energy.field", "energy.pair"}


def test_context_is_conditioned_on():
    def energy(x, field, level):
        return -(x * field).sum(-1) * level

    energy.state_space = pyro_rm.StateSpace(5)
    field, level = torch.randn(8, 5), torch.rand(8)
    ebm = EnergyModel(energy, context=(field, level), context_event_dim=(1, 0))
    assert ebm.batch_shape == (8,)
    assert ebm.expand([3, 8]).wide_context(torch.Size([3, 8]))[1].shape == (3, 8)

    def program():
        with pyro.plate("data", 8):
            pyro.sample("x", ebm, obs=DATA)

    for num_neighbors in (2, "all"):
        options = Estimator(num_neighbors=num_neighbors, max_neighbors_per_chunk=16)
        handled = ratio_matching(program, options, stochastic=True)
        handled = pyro.plate("particles", 3, dim=-2)(handled)
        trace = poutine.trace(handled).get_trace()
        trace.compute_log_prob()
        log_prob = trace.nodes["x"]["log_prob"]
        assert log_prob.shape == (3, 8)
        if num_neighbors == "all":
            expected = -pyro_rm.estimate(energy, DATA, context=(field, level))
            torch.testing.assert_close(log_prob, expected.expand(3, 8))


@pytest.mark.parametrize(("options", "message"), [
    ({"context": torch.zeros(8), "context_event_dim": 2}, "context_event_dim to say"),
    ({"context": torch.zeros(8, 5), "context_event_dim": (1, 1)}, "context_event_dim to say"),
])  # fmt: skip
def test_context_of_the_wrong_shape(options, message):
    with pytest.raises(ValueError, match=message):
        EnergyModel(MLPEnergy(5, (4,)), **options)
    with pytest.raises(ValueError, match="context whose leading dimensions"):
        pyro_rm.estimate(MLPEnergy(5, (4,)), DATA, context=torch.zeros(7, 2))


def test_errors_name_the_site_and_the_step():
    energy = IsingEnergy(5)

    def program(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("words", EnergyModel(energy), obs=x)

    svi = SVI(
        program, lambda x: None, pyro.optim.Adam({"lr": 0.1}), loss=pyro_rm.RatioMatchingLoss()
    )
    svi.step(DATA)
    with torch.no_grad():
        energy.fields[0] = float("nan")
    with pytest.raises(ValueError, match=r"At step 2: At site 'words': Expected finite energies"):
        svi.step(DATA)
    assert pyro.poutine.runtime._PYRO_STACK == []


def test_the_module_face_refuses_energies_that_it_does_not_hold():
    energy = MLPEnergy(5, (4,))

    def program(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    loss = pyro_rm.RatioMatchingLoss()(program, lambda x: None)
    with pytest.raises(ValueError, match="silently not train"):
        loss(DATA)
    with torch.no_grad():
        assert loss(DATA) > 0

    class Program(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.energy = energy

        def forward(self, x):
            program(x)

    held = pyro_rm.RatioMatchingLoss()(Program(), lambda x: None)
    assert len(list(held.parameters())) == len(list(energy.parameters()))
    held(DATA).backward()
    assert energy.weight.grad.abs().sum() > 0
