"""What newcomers guess, and masks and contexts that do not fit: errors that tell the way out."""

import pyro
import pytest
import torch

import pyro_rm
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, SumEnergy
from pyro_rm.energy_protocol import energy_of
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation.moments import second_moment_distance
from pyro_rm.graphs import community_graphs
from pyro_rm.infer import calibrate
from pyro_rm.neighborhoods import Neighbors
from pyro_rm.networks import IsingNetwork, recode
from pyro_rm.posteriors.calibrated_posterior import CalibratedPosterior
from pyro_rm.poutine import ratio_matching
from pyro_rm.proposals import Activity


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


def conditional():
    return EnergyModel(lambda x, c: (x * c).sum(-1), state_space=SPACE, context=BITS)


OUT_OF_RANGE = {
    "a model": (lambda: EnergyModel(EnergyModel(IsingEnergy(3))), r"pass its \.energy"),
    "a class": (lambda: energy_of(IsingEnergy), "the class IsingEnergy; make one first"),
    "no energy": (lambda: energy_of(3), "an energy, an EnergyModel or a Target, but got int"),
    "a context": (lambda: NormalizedModel(conditional()), "a model without context"),
    "no layer": (lambda: MLPEnergy(4, ()), "one hidden layer, but got none; use IsingEnergy"),
    "no hidden unit": (lambda: RBMEnergy(3, 0), "num_hidden to be at least 1, but got 0"),
    "two categories": (lambda: PottsEnergy(4, 2), "more than two categories at some site"),
    "states": (lambda: pyro_rm.StateSpace(3, states=(0, 2)), r"\(0, 1\) or \(-1, 1\), but got"),
    "spins": (lambda: pyro_rm.StateSpace(3, 4, states=(-1, 1)), "for categorical sites"),
    "too many": (
        lambda: states_at(pyro_rm.StateSpace(62), torch.arange(2)),
        r"less than 2 \*\* 62",
    ),
    "no neighbor": (
        lambda: pyro_rm.Target.of(IsingEnergy(3)).gaps(BITS, Neighbors(torch.zeros(0, 2).long())),
        "at least one neighbor, but got none",
    ),
    "one site": (lambda: second_moment_distance(BITS[:, :1], BITS[:, :1]), "two sites or more"),
    "one state": (
        lambda: recode(BITS.T @ BITS, BITS[0], source=(0, 0), target=(0, 1)),
        "two states",
    ),
    "level": (
        lambda: CalibratedPosterior({"w": torch.ones(3)}, "affine", ()).intervals(1.0),
        "a level between 0 and 1, but got 1.0",
    ),
    "a share": (lambda: Activity(1.0), r"active_share in \(0, 1\), but got 1\.0"),
    "odd sizes": (lambda: community_graphs(1, sizes=(12, 13)), "even numbers of nodes"),
}


@pytest.mark.parametrize("option", OUT_OF_RANGE)
def test_what_is_out_of_range_is_named(option):
    call, message = OUT_OF_RANGE[option]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
