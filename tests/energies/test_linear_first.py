"""Features of given data that are computed once: for guidance and for neighbors."""

import copy

import pytest
import torch

import pyro_rm
from pyro_rm.energies import IsingEnergy, LinearFirstEnergy, MLPEnergy, RBMEnergy
from pyro_rm.energies.linear_first import LinearFirstAt
from pyro_rm.neighborhoods import all_neighbors
from pyro_rm.target import Target

pytestmark = pytest.mark.usefixtures("float64")


class Anew(MLPEnergy):
    """An energy that keeps nothing."""

    def prepared_at(self, x):
        return self


OPTIONS = {
    "centered": {},
    "spins": {"states": (-1, 1)},
    "as they are": {"centered": False},
    "categorical": {"num_categories": (2, 3, 4, 3, 2)},
}


def pair(name):
    torch.manual_seed(0)
    kept, anew = (kind(5, (6, 6), **OPTIONS[name]) for kind in (MLPEnergy, Anew))
    anew.load_state_dict(kept.state_dict())
    value = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 1, 0], [1, 1, 0, 0, 0]])
    return kept, anew, 2 * value - 1 if name == "spins" else value


@pytest.mark.parametrize("options", [
    {"proposal": "gradient"},
    {"proposal": "gradient", "max_neighbors_per_chunk": 3},
    {"proposal": "gradient", "objective": "minimum_probability_flow"},
    {"proposal": "oracle"},
    {"proposal": "uniform"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", OPTIONS)
def test_estimates_and_gradients_are_those_of_an_energy_that_keeps_nothing(name, options):
    results = []
    for energy in pair(name)[:2]:
        torch.manual_seed(1)
        values = pyro_rm.estimate(energy, pair(name)[2], num_neighbors=3, **options)
        values.square().sum().backward()
        results.append([values.detach(), *(p.grad for p in energy.parameters())])
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("name", OPTIONS)
def test_first_order_gaps_are_those_of_the_energy_at_any_data(name):
    energy, _, value = pair(name)
    x = energy.state_space.encode(value, torch.float64)
    target = Target.of(energy)
    prepared = target.prepared(x)
    near = prepared.energy
    assert isinstance(near, LinearFirstAt)
    neighbors, _ = all_neighbors(energy.state_space, x)
    for data in (x, x.flip(0)):
        expected = [*target.energy_and_gradient(data), target.taylor_gaps(data)]
        got = [*prepared.energy_and_gradient(data), prepared.taylor_gaps(data)]
        assert not any(tensor.requires_grad for tensor in got)
        torch.testing.assert_close(got, expected)
        gaps = [t.gaps(data, neighbors) for t in (prepared, target)]
        torch.testing.assert_close(*gaps)
    assert near.state_space is energy.state_space
    assert torch.equal(near(x), energy(x))


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: 2 * e + IsingEnergy(5)])
@pytest.mark.parametrize("proposal", ["uniform", "gradient"])
def test_a_step_multiplies_the_first_layer_once(proposal, wrap, monkeypatch):
    data, energy = [], wrap(MLPEnergy(5, (6,)))
    pyro_rm.estimate(energy, torch.zeros(2, 5))  # the first evaluation is checked by another
    features = MLPEnergy.features
    monkeypatch.setattr(
        pyro_rm.energies.LinearFirstEnergy,
        "features",
        lambda self, x: data.append(x) or features(self, x),
    )
    pyro_rm.estimate(energy, torch.zeros(2, 5), num_neighbors=3, proposal=proposal)
    assert len(data) == 1


def test_what_adds_to_the_trunk_is_evaluated_whole():
    class WithField(MLPEnergy):
        def forward(self, x):
            return super().forward(x) + x.sum(-1)

    compiled = MLPEnergy(5, (6,))
    compiled.features = lambda x: MLPEnergy.features(compiled, x)
    x = torch.zeros(2, 5)
    for energy in (WithField(5, (6,)), RBMEnergy(5, 3), compiled):
        assert Target.of(energy).prepared(x).energy is energy
    conditional = MLPEnergy(5, (6,))
    target = Target.of(conditional, context=torch.zeros(2, 1))
    assert target.prepared(x).energy is conditional


@pytest.mark.parametrize("options", [{}, {"proposal": "gradient"}, {"control_variate": True}])
@pytest.mark.parametrize("name", ["trunk", "trunk_gaps", "energy_gaps", "features", "forward"])
def test_a_method_that_is_replaced_on_the_energy_is_called(name, options):
    """As by ``energy.trunk_gaps = torch.compile(energy.trunk_gaps)``."""
    energy, calls = MLPEnergy(5, (6,)), []
    method = getattr(energy, name)
    results = []
    for replaced in (False, True):
        if replaced:
            setattr(energy, name, lambda *args: calls.append(name) or method(*args))
        torch.manual_seed(0)
        results.append(pyro_rm.estimate(energy, torch.zeros(4, 5), num_neighbors=2, **options))
    torch.testing.assert_close(*results)
    if name not in ("trunk", "forward") or len(options) > 0:  # gaps need neither
        assert calls


def test_energies_are_checked_where_they_are_kept():
    energy = MLPEnergy(5, (6,))
    energy.layers[-1].weight.data.fill_(torch.inf)
    x = torch.zeros(2, 5)
    with pytest.raises(pyro_rm.energy_protocol.EnergyError, match="Expected finite energies"):
        Target.of(energy).prepared(x).energy_and_gradient(x)


def test_an_energy_with_features_can_be_copied():
    near = Target.of(MLPEnergy(3, (4,))).prepared(torch.zeros(2, 3)).energy
    other = copy.copy(near)
    assert other.features(near.x) is near.kept
    assert other.state_space is near.energy.state_space


def test_a_trunk_is_missing():
    energy = LinearFirstEnergy(pyro_rm.StateSpace(3), 4, centered=True)
    with pytest.raises(NotImplementedError, match="LinearFirstEnergy to define trunk"):
        energy(torch.zeros(3))
