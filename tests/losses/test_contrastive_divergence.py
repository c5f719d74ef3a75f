"""Contrastive divergence: its gradient exactly, its fits, its chains, its errors."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, RenyiELBO, Trace_ELBO
from pyro.infer.autoguide import AutoDelta, AutoNormal

from pyro_rm import ContrastiveDivergence
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.markov_steps import (
    BlockGibbs,
    ChainState,
    GibbsSweep,
    GibbsWithGradients,
    MarkovStep,
    ParallelTempering,
)

DATA = (torch.arange(60).reshape(12, 5) % 7 < 3).float()


def no_guide(*args):
    pass


def program(energy):
    def model(x, field=(), active=None):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, context=field, active=active), obs=x)

    return model


class GoTo(MarkovStep):
    """A step that goes to given states, whatever they are."""

    def __init__(self, states):
        self.states = states

    def __call__(self, target, state):
        encoded = state.encoded
        return ChainState(self.states.expand_as(encoded), torch.ones(encoded.shape[:-1]))


@pytest.mark.parametrize("persistent", [False, True])
def test_the_gradient_is_a_contrast_of_energies(persistent):
    """Under subsampling, scale and a mask, with chains that end at known states."""
    energy = MLPEnergy(5, (4,))
    ends = (torch.rand(12, 5) < 0.3).float()
    mask = torch.arange(12) < 6

    def model():
        pyro.module("energy", energy)
        with pyro.plate("data", 24, subsample_size=12), poutine.mask(mask=mask):
            pyro.sample("x", EnergyModel(energy), obs=DATA)

    loss = ContrastiveDivergence(step=GoTo(ends), persistent=persistent, num_chains=None)
    got = loss.differentiable_loss(poutine.scale(model, 3.0), no_guide)
    negative = energy(ends).mean() if persistent else energy(ends)
    expected = 3 * 2 * ((energy(DATA) - negative) * mask).sum()
    parameters = list(energy.parameters())
    torch.testing.assert_close(got, expected)
    for a, b in zip(
        torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(a, b)


def normal(energy, scale):
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return energy


FITS = {
    "persistent": (lambda: IsingEnergy(4), ContrastiveDivergence(persistent=True)),
    "cd": (lambda: IsingEnergy(4), ContrastiveDivergence(5)),
    "block": (lambda: RBMEnergy(4, 3), ContrastiveDivergence(5, step=BlockGibbs())),
    "categorical": (
        lambda: PottsEnergy(3, (2, 3, 3)),
        ContrastiveDivergence(step=GibbsWithGradients(4), persistent=True, num_chains=500),
    ),
    "tempering": (
        lambda: IsingEnergy(4),
        ContrastiveDivergence(
            step=ParallelTempering(GibbsSweep(), (1.0, 0.5)), persistent=True, num_chains=500
        ),
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_fits_come_close_to_the_truth(name):
    """The divergence falls tenfold at least; seeded, so that it does or does not."""
    make, loss = FITS[name]
    truth, energy = EnergyModel(normal(make(), 1.0)), normal(make(), 0.1)
    states = states_at(truth.state_space, torch.arange(truth.state_space.num_states))
    log_p = NormalizedModel(truth).log_prob(states).detach()

    def divergence():
        log_q = NormalizedModel(EnergyModel(energy)).log_prob(states).detach()
        return float((log_p.exp() * (log_p - log_q)).sum())

    first = divergence()
    data = NormalizedModel(truth).sample((2000,))
    svi = SVI(program(energy), no_guide, pyro.optim.Adam({"lr": 0.05}), loss=loss)
    for step in range(150):
        svi.step(data[torch.randint(2000, (250,))] if step < 125 else data)
    assert divergence() < 0.1 * first


def bayesian(x):
    flat = pyro.sample("flat", dist.Normal(0, 1).expand([10]).to_event(1))
    matrix = torch.zeros((*flat.shape[:-1], 5, 5))
    row, column = torch.triu_indices(5, 5, 1)
    matrix[..., row, column] = flat
    with pyro.plate("data", len(x)):
        pyro.sample("x", Ising(matrix + matrix.mT, torch.zeros(5)), obs=x)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("guide", [AutoDelta, AutoNormal])
def test_priors_and_vectorized_particles(guide, persistent):
    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    chains = 7 if persistent else None
    loss = ContrastiveDivergence(persistent=persistent, num_chains=chains, elbo=elbo)
    made = guide(bayesian)
    svi = SVI(bayesian, made, pyro.optim.Adam({"lr": 0.05}), loss=loss)
    svi.step(DATA)
    before = made.median()["flat"].detach().clone()
    for _ in range(10):
        svi.step(DATA)
    assert not torch.equal(made.median()["flat"], before)
    if persistent:
        assert loss.chains["x"].shape == (7, 3, 1, 5)


def test_chains_are_saved_and_resumed_to_the_last_bit(tmp_path):
    def run(energy, loss, steps, seed):
        pyro.set_rng_seed(seed)
        pyro.clear_param_store()
        optimizer = torch.optim.SGD(energy.parameters(), lr=0.1)
        module = loss(program(energy), no_guide)
        for _ in range(steps):
            optimizer.zero_grad()
            module(DATA).backward()
            optimizer.step()

    def fresh():
        return IsingEnergy(5), ContrastiveDivergence(persistent=True, num_chains=6)

    energy, loss = fresh()
    run(energy, loss, 5, seed=1)
    torch.save([energy.state_dict(), loss.state_dict()], tmp_path / "state.pt")
    run(energy, loss, 5, seed=2)
    again, resumed = fresh()
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert resumed.steps_taken == 5
    run(again, resumed, 5, seed=2)
    assert torch.equal(resumed.chains["x"], loss.chains["x"])
    assert torch.equal(again.weight, energy.weight)


def test_evaluation_leaves_the_chains_alone():
    loss = ContrastiveDivergence(persistent=True, num_chains=50)
    svi = SVI(program(RBMEnergy(5, 2)), no_guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    svi.evaluate_loss(DATA)
    assert not loss.chains
    svi.step(DATA)
    before = loss.chains["x"].clone()
    svi.evaluate_loss(DATA)
    assert torch.equal(loss.chains["x"], before)
    svi.step(DATA)
    assert not torch.equal(loss.chains["x"], before)


def test_missing_cells_and_contexts_follow_their_data():
    """Chains from the data keep inactive sites and see the context of their datum."""
    data = DATA.clone()
    data[0, 1] = torch.nan
    seen = {}

    class Watched(GibbsSweep):
        def __call__(self, target, state):
            seen.update(context=target.context[0], active=target.active)
            return super().__call__(target, state)

    class Conditional(torch.nn.Module):
        state_space = IsingEnergy(5).state_space

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(5))

        def forward(self, x, field):
            return -((field + self.weight) * x).sum(-1)

    field, energy = torch.randn(12, 5), Conditional()
    svi = SVI(program(energy), no_guide, pyro.optim.Adam({"lr": 0.01}),
              loss=ContrastiveDivergence(step=Watched()))  # fmt: skip
    svi.step(data, field, ~data.isnan())
    assert torch.equal(seen["context"], field)
    assert torch.equal(seen["active"], ~data.isnan())
    persistent = ContrastiveDivergence(persistent=True)
    svi = SVI(program(energy), no_guide, pyro.optim.Adam({"lr": 0.01}), loss=persistent)
    with pytest.raises(ValueError, match="persistent chains belong to no datum"):
        svi.step(data, field, ~data.isnan())


def test_errors():
    with pytest.raises(ValueError, match="num_steps to be at least 1"):
        ContrastiveDivergence(0)
    with pytest.raises(ValueError, match="num_chains to be at least 1"):
        ContrastiveDivergence(num_chains=0, persistent=True)
    with pytest.raises(ValueError, match="Expected persistent=True beside num_chains=5"):
        ContrastiveDivergence(num_chains=5)
    with pytest.raises(ValueError, match="linear in log probabilities"):
        ContrastiveDivergence(elbo=RenyiELBO(num_particles=2))
    with pytest.raises(ValueError, match=r"Expected values in .* but got 0\.5"):
        ContrastiveDivergence().loss(program(RBMEnergy(5, 2)), no_guide, DATA * 0.5)
