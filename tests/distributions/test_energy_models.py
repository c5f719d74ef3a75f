"""One row for every energy-based model, and what each of them promises."""

import copy
import pickle

import pytest
import torch

from pyro_rm import estimate
from pyro_rm.distributions import EnergyModel, IntractableLikelihoodError, Ising, NormalizedModel
from pyro_rm.energies import MLPEnergy, PottsEnergy, RBMEnergy, TemperedEnergy
from pyro_rm.enumeration import states_at

MODELS = {
    "mlp": lambda: EnergyModel(MLPEnergy(5, (4,))),
    "mlp, plus and minus one": lambda: EnergyModel(MLPEnergy(5, (4,), states=(-1, 1))),
    "mlp, categorical": lambda: EnergyModel(MLPEnergy(3, (4,), num_categories=(2, 3, 4))),
    "rbm": lambda: EnergyModel(RBMEnergy(5, 4)),
    "potts": lambda: EnergyModel(PottsEnergy(3, (2, 3, 4))),
    "tempered": lambda: EnergyModel(TemperedEnergy(RBMEnergy(5, 4), torch.ones(2))),
    "inactive sites": lambda: EnergyModel(RBMEnergy(3, 4), active=torch.ones(7, 3).bool()),
    "ising": lambda: Ising(torch.zeros(5, 5), torch.ones(5)),
    "ising, batch": lambda: Ising(torch.zeros(2, 1, 4, 4), torch.ones(3, 4), states=(-1, 1)),
    "ising, inactive sites": lambda: Ising(torch.zeros(5, 5), active=torch.ones(7, 5).bool()),
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
    (torch.eye(3), None, "zero diagonal"),
    (torch.ones(3, 3).triu(1), None, "symmetric"),
    (torch.zeros(3, 3), torch.full((3,), float("nan")), "fields"),
])  # fmt: skip
def test_bad_ising_arguments(couplings, fields, message):
    with pytest.raises(ValueError, match=message):
        Ising(couplings, fields)


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
        with pytest.raises(ValueError, match="active as booleans"):
            EnergyModel(RBMEnergy(3, 2), active=active)
