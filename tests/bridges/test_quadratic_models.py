"""Quadratic models of dimod and thrml keep their energies and their names, there and back."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pyro_rm.bridges import from_bqm, from_thrml, to_bqm, to_thrml
from pyro_rm.distributions import Ising, Potts
from pyro_rm.energies import IsingEnergy, MLPEnergy, PairwiseFunction
from pyro_rm.enumeration import states_at
from pyro_rm.networks import IsingNetwork
from pyro_rm.state_space import StateSpace


def random_bqm(dimod, rng, vartype):
    size = int(rng.integers(1, 9))
    names = [*"abc", 0, 1, ("p", 2), frozenset("z"), 7.5][:size]
    rng.shuffle(names)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i] if rng.random() < 0.6]
    return dimod.BinaryQuadraticModel(
        {name: rng.normal() for name in names if rng.random() < 0.8 or not pairs},
        {pair: rng.normal() for pair in pairs},
        rng.normal(),
        vartype,
    )


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_random_models_go_through_dimod_and_back(vartype):
    dimod = pytest.importorskip("dimod")
    rng = np.random.default_rng(0)
    for _ in range(100):
        bqm = random_bqm(dimod, rng, vartype)
        energy, names = from_bqm(bqm)
        states = states_at(energy.state_space, torch.arange(energy.state_space.num_states)).double()
        expected = torch.as_tensor(bqm.energies((states.numpy(), names)))
        torch.testing.assert_close(energy(states), expected, rtol=0, atol=1e-9)
        back = to_bqm(energy, names)
        assert back.vartype is bqm.vartype
        assert list(back.variables) == names == list(bqm.variables)
        assert back.is_almost_equal(bqm, places=9)


@pytest.mark.parametrize("states", [(-1, 1), (0, 1)])
def test_random_models_go_through_thrml_and_back(states):
    """thrml has no offset: energies of bits are the same up to a constant."""
    thrml = pytest.importorskip("thrml")
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    for number in range(100):
        size = int(rng.integers(1, 8))
        couplings = torch.as_tensor(
            rng.normal(size=(size, size)) * (rng.random((size, size)) < 0.6)
        )
        couplings = couplings.triu(1) + couplings.triu(1).mT
        energy = PairwiseFunction(
            couplings, torch.as_tensor(rng.normal(size=size)), StateSpace(size, states=states)
        )
        ebm = to_thrml(energy)
        assert len(ebm.nodes) == size
        assert len(ebm.edges) == int((couplings.triu(1) != 0).sum())
        back, nodes = from_thrml(ebm)
        assert nodes == list(ebm.nodes)
        ups = states_at(StateSpace(size), torch.arange(2**size)).double()
        low, high = states
        own, theirs = energy(low + (high - low) * ups), back(2 * ups - 1)
        shift = 0.0 if low else own[0] - theirs[0]
        torch.testing.assert_close(theirs + shift, own, rtol=0, atol=1e-9)
        if number < 3:  # a call compiles
            block = thrml.Block(ebm.nodes)
            found = [float(ebm.energy([row.bool().numpy()], [block])) for row in ups[:4]]
            np.testing.assert_allclose(found, theirs[:4], atol=1e-9)
    jax.config.update("jax_enable_x64", before)


def test_beta_of_thrml_multiplies():
    thrml = pytest.importorskip("thrml")
    models = pytest.importorskip("thrml.models")
    nodes = [thrml.SpinNode() for _ in range(3)]
    ebm = models.IsingEBM(
        nodes, [(nodes[2], nodes[0])], np.array([0.0, 1.0, 0.0]), np.array([2.0]), np.array(0.5)
    )
    energy, _ = from_thrml(ebm)
    assert energy(torch.tensor([1.0, -1.0, 1.0]).double()) == -0.5
    with pytest.raises(TypeError, match=r"Expected a thrml.models.IsingEBM, but got list"):
        from_thrml([])


def test_models_of_this_package_become_quadratic_ones():
    pytest.importorskip("dimod")
    couplings = torch.tensor([[0.0, 1.5], [1.5, 0.0]])
    assert to_bqm(Ising(couplings)).quadratic == {(1, 0): -1.5}
    assert to_bqm(IsingEnergy(3, states=(-1, 1))).num_interactions == 0
    x = torch.bernoulli(torch.full((200, 3), 0.5))
    network = IsingNetwork(selection=None).fit(x)
    bqm = to_bqm(network, "abc")
    assert bqm.vartype.name == "BINARY"
    for (a, b), weight in zip(network.edges_, network.weights_, strict=True):
        assert bqm.get_quadratic("abc"[a], "abc"[b]) == -weight
    assert list(bqm.linear.values()) == (-network.fields_).tolist()
    pandas = pytest.importorskip("pandas")
    named = IsingNetwork(selection=None).fit(pandas.DataFrame(x.numpy(), columns=list("xyz")))
    assert list(to_bqm(named).variables) == list("xyz")


def test_what_is_no_quadratic_model_is_refused():
    dimod = pytest.importorskip("dimod")
    with pytest.raises(TypeError, match=r"Expected a dimod.BinaryQuadraticModel, but got dict"):
        from_bqm({})
    with pytest.raises(TypeError, match="Expected a model with couplings and fields, but got MLP"):
        to_bqm(MLPEnergy(3, (4,)))
    with pytest.raises(ValueError, match="Expected binary sites, but got 3 categories"):
        to_bqm(Potts(torch.zeros(2, 3, 2, 3)))
    with pytest.raises(ValueError, match=r"Expected one model, but got a batch of shape \(5,\)"):
        to_bqm(Ising(torch.zeros(5, 2, 2)))
    with pytest.raises(ValueError, match=r"Expected 2 different names, but got \['a', 'a'\]"):
        to_bqm(Ising(torch.zeros(2, 2)), ["a", "a"])
    bqm = dimod.BinaryQuadraticModel("SPIN")
    assert bqm.num_variables == 0


def test_the_other_sides_are_imported_where_they_are_used():
    code = (
        "import sys, pyro_rm.bridges;"
        "print({'arviz', 'dimod', 'jax', 'pandas', 'thrml', 'xarray'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "set()\n"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dimod", None)
    with pytest.raises(ImportError, match=r"pip install 'pyro-rm\[dimod\]'"):
        from_bqm(None)
    monkeypatch.setitem(sys.modules, "thrml", None)
    with pytest.raises(ImportError, match=r"pip install 'pyro-rm\[thrml\]'"):
        to_thrml(Ising(torch.zeros(2, 2)))
