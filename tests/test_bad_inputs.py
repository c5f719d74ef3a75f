"""What newcomers guess, and masks and contexts that do not fit: errors that tell the way out."""

import pyro
import pytest
import torch

import pyro_rm
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.energies import IsingEnergy, PottsEnergy, SumEnergy
from pyro_rm.infer import calibrate
from pyro_rm.networks import IsingNetwork
from pyro_rm.poutine import ratio_matching


def program(energy):
    def model(x):
        pyro.module("energy", energy)
        pyro.sample("x", EnergyModel(energy), obs=x)

    return model


BITS = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
SPACE = pyro_rm.StateSpace(3)


@pytest.mark.parametrize("active", [torch.ones(4, dtype=torch.bool), torch.ones(3), [True]])
def test_masks(active):
    energy = IsingEnergy(3)
    with pytest.raises((TypeError, ValueError), match="Expected active"):
        EnergyModel(energy, active=active)
    with pytest.raises((TypeError, ValueError), match="Expected active"):
        pyro_rm.estimate(energy, BITS, active=active)


@pytest.mark.parametrize("context", [None, 1.0, [1.0], BITS.numpy(), BITS[:1].repeat(3, 1)])
def test_contexts(context):
    with pytest.raises((TypeError, ValueError), match="Expected context"):
        pyro_rm.estimate(lambda x, c: (x * c).sum(-1), BITS, state_space=SPACE, context=context)


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
            pyro.sample("x", EnergyModel(SumEnergy((level, energy))), obs=x)

    pyro.infer.MCMC(pyro.infer.NUTS(ratio_matching(model)), 1, disable_progbar=True).run(x)


@pytest.mark.parametrize("guess", FIRST_GUESSES)
def test_what_newcomers_guess_is_told_what_to_say(guess):
    call, message = FIRST_GUESSES[guess]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
