"""Bad data at every entry point: each cell of the table is a clear error."""

import pyro
import pytest
import torch

import pyro_rm
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.energies import IsingEnergy, PottsEnergy, TemperedEnergy
from pyro_rm.evaluation import exponential_hamming_mmd, log_likelihood
from pyro_rm.infer import calibrate
from pyro_rm.networks import IsingNetwork, PottsNetwork
from pyro_rm.poutine import ratio_matching


def program(energy):
    def model(x):
        pyro.module("energy", energy)
        pyro.sample("x", EnergyModel(energy), obs=x)

    return model


def loss(energy, x):
    return pyro_rm.RatioMatchingLoss().loss(program(energy), lambda x: None, x)


def contrastive(energy, x):
    return pyro_rm.ContrastiveDivergence().loss(program(energy), lambda x: None, x)


def handled(energy, x):
    trace = pyro.poutine.trace(ratio_matching(program(energy))).get_trace(x)
    return trace.log_prob_sum()


def started(energy, x):
    sampler = pyro_rm.MarkovSampler(num_steps=1, initial=x)
    return sampler(energy, energy.state_space, torch.Size([2]))


ENTRIES = {
    "estimate": pyro_rm.estimate,
    "loss": loss,
    "contrastive divergence": contrastive,
    "handler": handled,
    "log-likelihood": lambda energy, x: log_likelihood(energy, x, progress=False),
    "log_prob": lambda energy, x: NormalizedModel(EnergyModel(energy)).log_prob(x),
}
BITS = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
BAD_BITS = {
    "list": BITS.tolist(),
    "array": BITS.numpy(),
    "complex": BITS.to(torch.complex64),
    "too wide": torch.zeros(2, 4),
    "a scalar": torch.tensor(1.0),
    "empty": BITS[:0],
    "blank": torch.where(BITS == 1, torch.nan, 0.0),
    "infinite": torch.where(BITS == 1, torch.inf, 0.0),
    "a fraction": BITS / 2,
    "other states": 2 * BITS - 1,
}
BAD_CODES = {
    "too large": torch.tensor([[0, 1, 3]]),
    "negative": torch.tensor([[0, 1, -1]]),
    "a fraction": torch.tensor([[0.0, 1.0, 0.5]]),
    "one-hot": torch.eye(4)[:3][None],
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("bad", BAD_BITS)
def test_bits(entry, bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        ENTRIES[entry](IsingEnergy(3), BAD_BITS[bad])


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("bad", BAD_CODES)
def test_codes(entry, bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        ENTRIES[entry](PottsEnergy(3, 3), BAD_CODES[bad])


@pytest.mark.parametrize("bad", ["too wide", "infinite", "a fraction", "other states"])
def test_where_chains_start(bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        started(IsingEnergy(3), BAD_BITS[bad])


@pytest.mark.parametrize("bad", ["complex", "a scalar", "empty", "infinite", "a fraction"])
def test_networks(bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        IsingNetwork().fit(BAD_BITS[bad])


@pytest.mark.parametrize("bad", ["negative", "a fraction"])
def test_networks_of_categories(bad):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        PottsNetwork(num_categories=3).fit(BAD_CODES[bad].repeat(5, 1))


@pytest.mark.parametrize("active", [torch.ones(4, dtype=torch.bool), torch.ones(3)])
def test_masks(active):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        EnergyModel(IsingEnergy(3), active=active)


def test_samples_of_other_widths():
    with pytest.raises((TypeError, ValueError), match="Expected"):
        exponential_hamming_mmd(BITS, torch.zeros(2, 4))


class Unsqueezed(torch.nn.Linear):
    state_space = pyro_rm.StateSpace(3)


FIRST_GUESSES = {
    "no space": (
        lambda: pyro_rm.estimate(lambda x: x.sum(-1), BITS),
        r"state_space=pyro_rm\.StateSpace\(5\)",
    ),
    "a path": (lambda: IsingNetwork().fit("answers.csv"), r"Read it by pyro_rm\.datasets"),
    "one-hot": (lambda: pyro_rm.estimate(PottsEnergy(2, 3), torch.eye(3)[None, :2]), "argmax"),
    "a column": (lambda: pyro_rm.estimate(Unsqueezed(3, 1), BITS), r"\.squeeze\(-1\)"),
    "an energy": (lambda: NormalizedModel(IsingEnergy(3)), r"Wrap it: EnergyModel\("),
    "bare data": (
        lambda: calibrate(program(IsingEnergy(3)), BITS),
        r"calibrate\(model, \(data,\)\)",
    ),
    "blanks in MCMC": (lambda: chain(torch.full((2, 3), torch.nan)), r"active=~x\.isnan"),
}


def chain(x):
    """A run of MCMC, which turns Pyro's validation off."""
    energy = IsingEnergy(3)

    def model(x):
        level = pyro.sample("level", pyro.distributions.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(TemperedEnergy(energy, level)), obs=x)

    pyro.infer.MCMC(pyro.infer.NUTS(ratio_matching(model)), 1, disable_progbar=True).run(x)


@pytest.mark.parametrize("guess", FIRST_GUESSES)
def test_what_newcomers_guess_is_told_what_to_say(guess):
    call, message = FIRST_GUESSES[guess]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
