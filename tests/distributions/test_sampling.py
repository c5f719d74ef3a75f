"""Draws of energy-based models: by chains, warm or cold, clamped, in plates and Predictive."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Predictive

from pyro_rm import MarkovSampler
from pyro_rm.distributions import EnergyModel, IntractableLikelihoodError, Ising
from pyro_rm.energies import MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.markov_steps import (
    BlockGibbs,
    GibbsSweep,
    GibbsWithGradients,
    ParallelTempering,
    chains,
)
from pyro_rm.state_space import StateSpace

SAMPLER = MarkovSampler(num_steps=30)


@pytest.mark.parametrize(
    ("energy", "step"),
    [
        (MLPEnergy(3, (5,)), GibbsSweep()),
        (RBMEnergy(3, 2, states=(-1, 1)), BlockGibbs()),
        (PottsEnergy(2, (2, 3)), GibbsWithGradients()),
        (PottsEnergy(2, (2, 3)), ParallelTempering(GibbsSweep(), (1.0, 0.5))),
    ],
)
def test_draws_have_the_probabilities_of_the_model(energy, step):
    """Fails with probability below 1e-6: 6 standard errors, plus 1e-3 for the chains' ends."""
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    space = energy.state_space
    draws = EnergyModel(energy, sampler=MarkovSampler(40, step)).sample((20_000,))
    assert draws.dtype == (torch.float32 if space.is_binary else torch.int64)
    space.validate(draws)
    states = states_at(space, torch.arange(space.num_states))
    p = torch.softmax(-energy(space.encode(states, torch.float32)), 0)
    frequency = index_of(space, draws).bincount(minlength=space.num_states) / 20_000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 20_000).sqrt() + 1e-3).all()


def test_shapes_contexts_and_expansion():
    fields = 40.0 * (torch.randint(2, (4, 3)) * 2 - 1)

    def energy(x, field):
        return -(field * x).sum(-1)

    model = EnergyModel(energy, state_space=StateSpace(3), context=fields, sampler=SAMPLER)
    expected = (fields > 0).float()
    assert torch.equal(model.sample(), expected)
    assert torch.equal(model.expand([2, 4]).sample((5,)), expected.expand(5, 2, 4, 3))
    tempering = MarkovSampler(30, ParallelTempering(GibbsSweep(), (1.0, 0.5)))
    model = EnergyModel(energy, state_space=StateSpace(3), context=fields, sampler=tempering)
    assert torch.equal(model.sample((5,)), expected.expand(5, 4, 3))
    ising = Ising(torch.zeros(4, 3, 3), fields, sampler=SAMPLER)
    assert torch.equal(ising.expand([2, 4]).sample(), expected.expand(2, 4, 3))


def test_warm_starts_and_missing_cells():
    energy = RBMEnergy(4, 2)
    start = torch.tensor([[1.0, 0.0, torch.nan, 1.0], [0.0, 1.0, 1.0, torch.nan]])
    known = ~start.isnan()
    frozen = MarkovSampler(num_steps=0).starting_from(start)
    draws = EnergyModel(energy, sampler=frozen).sample((100, 2))
    assert torch.equal(draws[:, known], start[known].expand(100, 6))
    assert set(draws[:, ~known].unique().tolist()) == {0.0, 1.0}
    imputed = EnergyModel(energy, active=~known, sampler=SAMPLER.starting_from(start)).sample((50,))
    assert torch.equal(imputed[:, known], start[known].expand(50, 6))
    assert set(imputed[:, ~known].unique().tolist()) == {0.0, 1.0}
    padded = EnergyModel(energy, active=known, sampler=SAMPLER).sample()
    assert (padded[~known] == 0).all()  # unknown and clamped: the first state


def test_predictive_draws_from_the_raw_model():
    energy = RBMEnergy(4, 2)

    def model(x=None):
        field = pyro.sample("field", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 6):
            pyro.sample("x", EnergyModel(energy, sampler=SAMPLER), obs=x)
        return field

    for parallel in (False, True):
        draws = Predictive(model, num_samples=3, parallel=parallel)()["x"]
        assert draws.shape == (3, 6, 4)
        assert set(draws.unique().tolist()) == {0.0, 1.0}


def test_without_a_sampler_the_error_says_what_to_write():
    with pytest.raises(IntractableLikelihoodError, match=r"MarkovSampler\(num_steps=100\)"):
        EnergyModel(RBMEnergy(4, 2)).sample()


def test_errors(capfd, monkeypatch):
    with pytest.raises(ValueError, match="num_steps to be at least 0"):
        MarkovSampler(num_steps=-1)
    warm = SAMPLER.starting_from(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"broadcast to \(3, 4\)"):
        EnergyModel(RBMEnergy(4, 2), sampler=warm).sample((3,))
    with pytest.raises(ValueError, match=r"values in \{0, 1\}"):
        EnergyModel(RBMEnergy(4, 2), sampler=SAMPLER.starting_from(-torch.ones(4))).sample()
    monkeypatch.setattr(chains, "SECONDS_BEFORE_A_BAR", 0.0)
    MarkovSampler(3, progress=True)(lambda x: x.sum(-1), StateSpace(2), (2,))
    assert "sample: " in capfd.readouterr().err
