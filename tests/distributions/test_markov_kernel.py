"""Markov steps in pyro.infer.MCMC: draws, diagnostics, summaries, interruption."""

import pickle
import signal
import warnings

import pyro
import pytest
import torch
from pyro.infer import MCMC

from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.infer import MarkovKernel
from pyro_rm.markov_steps import (
    BlockGibbs,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    ParallelTempering,
)


def normal(energy):
    pyro.set_rng_seed(3)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return energy


CASES = {
    "gibbs": (MLPEnergy(3, (5,)), GibbsSweep(), 1.0),
    "colored": (RBMEnergy(3, 2), ColoredGibbs((0, 1, 2)), 1.0),
    "block": (RBMEnergy(3, 2), BlockGibbs(), 1.0),
    "gradients": (PottsEnergy(2, (2, 3)), GibbsWithGradients(), None),
    "langevin": (MLPEnergy(3, (5,)), DiscreteLangevin(step_size=1.0), None),
    "tempering": (PottsEnergy(2, 3), ParallelTempering(GibbsSweep(), (1.0, 0.5)), None),
}


@pytest.mark.parametrize("name", CASES)
def test_every_step_draws_from_the_model(name, capsys):
    """Fails with probability below 1e-6: six standard errors, 5000 independent chains."""
    energy, step, rate = CASES[name]
    space = normal(energy).state_space
    kernel = MarkovKernel(EnergyModel(energy), step, sample_shape=(5000,))
    mcmc = MCMC(kernel, num_samples=4, warmup_steps=30, disable_progbar=True)
    mcmc.run()
    draws = mcmc.get_samples()["x"]
    assert draws.shape == (4, 5000, space.num_sites)
    states = states_at(space, torch.arange(space.num_states))
    p = torch.softmax(-energy(space.encode(states, torch.float32)), 0)
    frequency = index_of(space, draws[-1]).bincount(minlength=space.num_states) / 5000
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / 5000).sqrt() + 1e-3).all()
    found = mcmc.diagnostics()["acceptance rate"]["chain 0"]
    assert found == pytest.approx(rate) if rate else 0.2 < found < 1.0


def test_summary_progress_bar_and_several_chains(capfd, monkeypatch):
    for name in ("CI", "PYTEST_XDIST_WORKER"):  # Pyro shows no progress bar there
        monkeypatch.delenv(name, raising=False)
    model = Ising(torch.zeros(2, 1, 3, 3), torch.zeros(3))
    kernel = MarkovKernel(model, sample_shape=(7,), steps_per_sample=2, name="spins")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer processors than chains
        mcmc = MCMC(kernel, num_samples=20, warmup_steps=5, num_chains=2)
    mcmc.run()
    assert mcmc.get_samples()["spins"].shape == (40, 7, 2, 1, 3)
    assert mcmc.get_samples(group_by_chain=True)["spins"].shape == (2, 20, 7, 2, 1, 3)
    assert set(mcmc.diagnostics()["acceptance rate"]) == {"chain 0", "chain 1"}
    mcmc.summary()
    out, err = capfd.readouterr()
    assert "spins[6,1,0,2]" in out
    assert "n_eff" in out
    assert "acceptance rate=1.000" in err


def test_starts_contexts_and_clamped_sites():
    def energy(x, field):
        return -40.0 * (field * x).sum(-1)

    field = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    space = RBMEnergy(3, 1).state_space
    active = torch.tensor([True, True, False])
    model = EnergyModel(energy, state_space=space, context=field, active=active)
    start = torch.tensor([0.0, torch.nan, 0.0])
    kernel = MarkovKernel(model, GibbsWithGradients(2), initial=start, sample_shape=(5,))
    mcmc = MCMC(kernel, num_samples=4, warmup_steps=20, disable_progbar=True)
    mcmc.run()
    expected = torch.where(active, (field > 0).float(), 0.0)
    assert torch.equal(mcmc.get_samples()["x"], expected.expand(4, 5, 2, 3))
    given = torch.ones(5, 2, 3)
    mcmc = MCMC(kernel, 4, 20, initial_params={"x": given}, disable_progbar=True)
    mcmc.run()
    expected = torch.where(active, (field > 0).float(), 1.0)
    assert torch.equal(mcmc.get_samples()["x"], expected.expand(4, 5, 2, 3))


def test_acceptance_leaves_warmup_out():
    kernel = MarkovKernel(EnergyModel(RBMEnergy(3, 2)), BlockGibbs())
    kernel.setup(warmup_steps=2)
    params = kernel.initial_params
    kernel._acceptance, kernel._num_steps = -9.0, 1  # as if steps before had been refused
    for _ in range(2):
        params = kernel.sample(params)
    assert kernel.kept_samples()["x"].shape == (0, 3)
    kernel.sample(params)
    assert kernel.diagnostics() == {"acceptance rate": 1.0}
    assert kernel.kept_samples()["x"].shape == (1, 3)


def test_an_interrupted_run_keeps_what_was_drawn():
    kernel = MarkovKernel(EnergyModel(RBMEnergy(3, 2)), BlockGibbs(), sample_shape=(4,))
    seen = []

    def interrupt(kernel, params, stage, i):
        seen.append(params["x"])
        if stage == "Sample" and i == 6:
            signal.raise_signal(signal.SIGINT)

    mcmc = MCMC(kernel, 100, warmup_steps=5, hook_fn=interrupt, disable_progbar=True)
    with pytest.raises(KeyboardInterrupt):
        mcmc.run()
    kept = kernel.kept_samples()["x"]
    assert torch.equal(kept, torch.stack(seen[5:]))
    more = MCMC(kernel, 3, 0, initial_params={"x": kept[-1]}, disable_progbar=True)
    more.run()
    assert more.get_samples()["x"].shape == (3, 4, 3)
    assert len(kernel.kept_samples()["x"]) == 0


def test_kernels_go_to_other_processes():
    kernel = MarkovKernel(EnergyModel(RBMEnergy(3, 2)), ParallelTempering(GibbsSweep(), (1, 0.5)))
    copy = pickle.loads(pickle.dumps(kernel))
    assert copy.sample(copy.initial_params)["x"].shape == (3,)


def test_errors():
    with pytest.raises(TypeError, match=r"EnergyModel\(energy\)"):
        MarkovKernel(RBMEnergy(3, 2))
    with pytest.raises(ValueError, match="steps_per_sample to be at least 1"):
        MarkovKernel(EnergyModel(RBMEnergy(3, 2)), steps_per_sample=0)
    bad = MarkovKernel(EnergyModel(RBMEnergy(3, 2)), initial=torch.full((3,), 0.5))
    with pytest.raises(
        ValueError, match=r"encoded data of states \(0, 1\)"
    ):  # MCMC validates nothing
        MCMC(bad, 2, 2, disable_progbar=True).run()
