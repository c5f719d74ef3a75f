"""Distributions: expansion, support and exact normalization."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel
from pyro_rm.energies import IsingEnergy, PottsEnergy, RBMEnergy
from pyro_rm.enumeration import index_of, states_at


@pytest.mark.parametrize(
    "energy", [RBMEnergy(4, 3), PottsEnergy(3, (2, 3, 4))], ids=["rbm", "potts"]
)
def test_normalized_model_is_a_distribution(energy):
    """Frequencies fail with probability below 1e-7: six standard errors, 36 states at most."""
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space = energy.state_space
    exact = NormalizedModel(EnergyModel(energy))
    states = states_at(space, torch.arange(space.num_states))
    p = exact.log_prob(states).exp()
    brute = torch.softmax(-energy(space.encode(states, torch.float32)), 0)
    torch.testing.assert_close(p, brute)
    torch.testing.assert_close(exact.entropy(), dist.Categorical(brute).entropy())
    draws = exact.sample((20_000,))
    assert exact.support.check(draws).all()
    frequency = index_of(space, draws).bincount(minlength=space.num_states) / 20_000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 20_000).sqrt() + 5e-4).all()
    assert exact.sample().shape == (space.num_sites,)


def test_maximum_likelihood_matches_moments():
    energy = IsingEnergy(3)
    data = states_at(energy.state_space, torch.tensor([0, 1, 1, 3, 7, 7, 4, 6, 2]))

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", NormalizedModel(EnergyModel(energy)), obs=x)

    svi = SVI(model, lambda x: None, pyro.optim.Adam({"lr": 0.05}), loss=Trace_ELBO())
    for _ in range(800):
        svi.step(data)
    states = states_at(energy.state_space, torch.arange(8))
    p = NormalizedModel(EnergyModel(energy)).log_prob(states).exp()
    torch.testing.assert_close(p @ states, data.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        states.mT @ (p[:, None] * states), data.mT @ data / 9, atol=1e-3, rtol=0
    )


def test_expand_keeps_class_and_support():
    model = Ising(torch.zeros(2, 1, 3, 3), torch.zeros(3), states=(-1, 1)).expand([2, 5])
    assert type(model) is Ising
    assert model.batch_shape == (2, 5)
    assert model.support.check(torch.tensor([1.0, -1.0, 1.0]))
    assert not model.support.check(torch.tensor([1.0, 0.0, 1.0]))


def test_what_takes_a_model_takes_a_normalized_one():
    model = Ising(torch.ones(3, 3) - torch.eye(3), torch.randn(3))
    x = torch.tensor([[0.0, 1.0, 1.0]])
    assert torch.equal(pyro_rm.estimate(NormalizedModel(model), x), pyro_rm.estimate(model, x))


def test_one_answer_for_all_sites_says_whether_they_are_active():
    x = torch.tensor([[0.0, 1.0, 1.0]])
    wide = EnergyModel(IsingEnergy(3), active=torch.tensor([True]))
    assert torch.equal(pyro_rm.estimate(wide, x), pyro_rm.estimate(IsingEnergy(3), x))
    assert wide.active.shape == (3,)


def test_errors():
    with pytest.raises(ValueError, match="at most 4 states"):
        NormalizedModel(Ising(torch.zeros(3, 3)), max_states=4)
    some = EnergyModel(IsingEnergy(3), active=torch.tensor([True, False, True]))
    with pytest.raises(ValueError, match="inactive sites"):
        NormalizedModel(some)
    with pytest.raises(ValueError, match="empty batch shape"):
        NormalizedModel(Ising(torch.zeros(2, 3, 3)))
    with pytest.raises(ValueError, match="state_space"):
        EnergyModel(lambda x: x.sum(-1))
    with pytest.raises(ValueError, match="shape"):
        Ising(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="fields"):
        Ising(torch.zeros(3, 3), torch.zeros(2))


def test_a_latent_site_is_summed_out_exactly():
    model = NormalizedModel(
        Ising(torch.tensor([[0.0, 0.7], [0.7, 0.0]]), torch.tensor([0.2, -0.5]))
    )
    y = torch.randn(5, 2)

    @config_enumerate
    def program(y):
        with pyro.plate("data", len(y)):
            z = pyro.sample("z", model)
            pyro.sample("y", dist.Normal(z, 0.8).to_event(1), obs=y)

    states = model.enumerate_support()
    assert states.shape == (4, 2)
    assert model.expand((3,)).enumerate_support().shape == (4, 3, 2)
    assert model.expand((3,)).enumerate_support(expand=False).shape == (4, 1, 2)
    joint = model.log_prob(states)[:, None] + dist.Normal(states[:, None], 0.8).log_prob(y).sum(-1)
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(program, lambda y: None, y)
    assert loss == pytest.approx(-joint.logsumexp(0).sum().item())
