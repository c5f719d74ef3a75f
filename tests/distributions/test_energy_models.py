"""One row for every energy-based model, and what each of them promises."""

import copy
import pickle

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal

from pyro_rm import RatioMatchingLoss, estimate
from pyro_rm.distributions import (
    EnergyModel,
    IntractableLikelihoodError,
    Ising,
    NormalizedModel,
    Potts,
)
from pyro_rm.energies import MLPEnergy, PottsEnergy, RBMEnergy, SumEnergy
from pyro_rm.enumeration import states_at

MODELS = {
    "mlp": lambda: EnergyModel(MLPEnergy(5, (4,))),
    "mlp, plus and minus one": lambda: EnergyModel(MLPEnergy(5, (4,), states=(-1, 1))),
    "mlp, categorical": lambda: EnergyModel(MLPEnergy(3, (4,), num_categories=(2, 3, 4))),
    "rbm": lambda: EnergyModel(RBMEnergy(5, 4)),
    "potts": lambda: EnergyModel(PottsEnergy(3, (2, 3, 4))),
    "tempered": lambda: EnergyModel(SumEnergy((torch.ones(2), RBMEnergy(5, 4)))),
    "inactive sites": lambda: EnergyModel(RBMEnergy(3, 4), active=torch.ones(7, 3).bool()),
    "ising": lambda: Ising(torch.zeros(5, 5), torch.ones(5)),
    "ising, batch": lambda: Ising(torch.zeros(2, 1, 4, 4), torch.ones(3, 4), states=(-1, 1)),
    "ising, inactive sites": lambda: Ising(torch.zeros(5, 5), active=torch.ones(7, 5).bool()),
    "potts distribution": lambda: Potts(torch.zeros(3, 4, 3, 4), torch.ones(3, 4)),
    "potts distribution, batch": lambda: Potts(torch.zeros(2, 1, 3, 4, 3, 4), torch.ones(3, 4)),
    "normalized": lambda: NormalizedModel(Ising(torch.zeros(5, 5), torch.ones(5))),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_expand_keeps_type_and_event_shape(model):
    wide = model.expand((6, *model.batch_shape))
    assert type(wide) is type(model)
    assert wide.batch_shape == (6, *model.batch_shape)
    assert wide.event_shape == model.event_shape
    assert wide.support.is_discrete
    assert wide.support.event_dim == 1
    if isinstance(model, NormalizedModel):
        draws = wide.sample((2,))
        assert draws.shape == (2, 6, 5)
        torch.testing.assert_close(wide.log_prob(draws), model.log_prob(draws))
        assert wide.log_prob(draws[0, 0]).shape == (6,)


def test_support_holds_every_state_and_no_other(model):
    space = getattr(model, "model", model).state_space
    states = states_at(space, torch.arange(space.num_states))
    assert model.support.check(states).all()
    assert not model.support.check(states + 0.5).any()
    assert not model.support.check(states + 5).any()


def test_repr_says_what_it_is(model):
    assert repr(model).startswith(type(model).__name__ + "(")
    if isinstance(model, EnergyModel):
        assert f"num_sites={model.state_space.num_sites}" in repr(model)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_the_same_energies(model, copier):
    inner = getattr(model, "model", model)
    twin = getattr(copier(model), "model", copier(model))
    space = inner.state_space
    state = states_at(space, torch.full(inner.batch_shape, 0))
    x = space.encode(state, torch.float32)
    torch.testing.assert_close(twin.energy(x), inner.energy(x))
    assert twin.batch_shape == inner.batch_shape


def test_only_normalized_models_have_a_density(model):
    space = getattr(model, "model", model).state_space
    x = states_at(space, torch.tensor(0))
    if isinstance(model, NormalizedModel):
        assert model.log_prob(x).isfinite()
    else:
        with pytest.raises(IntractableLikelihoodError, match="partition function"):
            model.log_prob(x)


@pytest.mark.parametrize(("couplings", "fields", "message"), [
    (torch.zeros(3, 2), None, "of shape"),
    (torch.zeros(3, 3), torch.zeros(2), "fields of shape"),
    (torch.eye(3), None, "zero on the diagonal"),
    (torch.ones(3, 3).triu(1), None, "symmetric"),
    (torch.zeros(3, 3), torch.full((3,), float("nan")), "fields"),
])  # fmt: skip
def test_bad_ising_arguments(couplings, fields, message):
    with pytest.raises(ValueError, match=message):
        Ising(couplings, fields)


def potts_couplings(*batch):
    upper = torch.randn(*batch, 3, 3, 4, 4) * torch.ones(3, 3).triu(1)[..., None, None]
    return (upper + upper.transpose(-4, -3).transpose(-2, -1)).transpose(-3, -2)


@pytest.mark.parametrize(("couplings", "fields", "message"), [
    (torch.zeros(3, 4, 4, 3), None, "couplings of shape"),
    (torch.zeros(3, 2, 3, 2), None, "use Ising"),
    (torch.zeros(3, 4, 3, 4), torch.zeros(3), "fields of shape"),
    (torch.ones(3, 4, 3, 4), None, "from a site to itself"),
    (torch.randn(3, 4, 3, 4) * (1 - torch.eye(3))[:, None, :, None], None, "symmetric"),
])  # fmt: skip
def test_bad_potts_arguments(couplings, fields, message):
    with pytest.raises(ValueError, match=message):
        Potts(couplings, fields)


@pytest.mark.parametrize(("kind", "shape"), [(Ising, (3, 3)), (Potts, (3, 4, 3, 4))])
def test_complex_couplings_and_fields_that_are_no_tensors(kind, shape):
    couplings = torch.zeros(shape)
    with pytest.raises(TypeError, match="Expected couplings as a tensor of real numbers"):
        kind(couplings.to(torch.complex64))
    with pytest.raises(TypeError, match="Expected fields as a tensor of real numbers"):
        kind(couplings, [0.0])


@pytest.mark.parametrize("batch", [(), (2, 1), (2, 5)])
def test_potts_models_of_a_batch_are_those_of_its_members(batch):
    couplings, fields = potts_couplings(*batch), torch.randn(*batch, 3, 4)
    codes = torch.randint(4, (2, 5, 3))
    model = Potts(couplings, fields)
    assert model.batch_shape == batch
    x = model.state_space.encode(codes, torch.float32)
    walk = model.target_at().walk(x)
    blocks = torch.tensor([2, 0])
    for i, j in [(0, 0), (1, 3)]:
        one, h = couplings.expand(2, 5, 3, 4, 3, 4)[i, j], fields.expand(2, 5, 3, 4)[i, j]
        code = codes[i, j].tolist()
        pairs = sum(one[a, code[a], b, code[b]] for a in range(3) for b in range(a))
        expected = -pairs - sum(h[a, code[a]] for a in range(3))
        torch.testing.assert_close(model.energy(x)[i, j], expected)
        table = Potts(one, h).energy.gap_table(x[i, j])
        torch.testing.assert_close(model.energy.gap_table(x)[i, j], table)
        torch.testing.assert_close(walk.gaps(blocks)[i, j], table[blocks])
    terms = {"active": torch.tensor([True, False, True]), "state_space": model.state_space}
    generic = estimate(lambda y: model.energy(y), codes, num_neighbors="all", **terms)
    torch.testing.assert_close(estimate(model.energy, codes, **terms), generic)


def test_potts_models_fit_with_a_prior_and_vectorized_particles():
    codes = torch.randint(4, (60, 3))

    def program(x):
        fields = pyro.sample("fields", dist.Normal(0, 1).expand([3, 4]).to_event(2))
        with pyro.plate("data", len(x)):
            pyro.sample("x", Potts(torch.zeros(3, 4, 3, 4), fields[..., None, :, :]), obs=x)

    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    loss = RatioMatchingLoss(elbo=elbo)
    guide = AutoNormal(program)
    svi = SVI(program, guide, pyro.optim.Adam({"lr": 0.1}), loss)
    losses = [svi.step(codes) for _ in range(30)]
    assert losses[-1] < losses[0]


def test_ising_leaves_inactive_cells_out():
    couplings = torch.randn(5, 5).triu(1)
    couplings = couplings + couplings.mT
    x = torch.bernoulli(torch.full((7, 5), 0.5))
    x[0, 1] = torch.nan
    model = Ising(couplings, active=~x.isnan())
    assert model.expand((2, 7)).active is model.active
    given = EnergyModel(Ising(couplings).energy, active=~x.isnan())
    for m in (model, given):
        assert m.batch_shape == (7,)
    torch.testing.assert_close(
        estimate(model.energy, x, active=model.active),
        estimate(given.energy, x, active=given.active),
    )


def test_active_must_be_boolean_and_of_the_sites():
    for active in (torch.ones(3), torch.ones(4, dtype=torch.bool)):
        with pytest.raises((TypeError, ValueError), match="Expected active"):
            EnergyModel(RBMEnergy(3, 2), active=active)
