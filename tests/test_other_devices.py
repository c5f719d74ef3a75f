"""What draws and measures runs where its energy is: on tensors of another device, without values.

Energies, estimates and designs are seen to it by :mod:`pyro_rm.testing`; here are the steps, by
registry, and what holds chains.
"""

import pytest
import torch

from pyro_rm import MarkovSampler, StateSpace, Target
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy, with_levels
from pyro_rm.markov_steps import Chains
from pyro_rm.noise_levels import draw_background
from pyro_rm.testing import STEPS

ENERGIES = {
    "ising": lambda: IsingEnergy(4),
    "network": lambda: MLPEnergy(4, (5,)),
    "categories": lambda: MLPEnergy(4, (5,), num_categories=(2, 3, 4, 2)),
    "hidden units": lambda: RBMEnergy(4, 3),
    "levels": lambda: with_levels(MLPEnergy(4, (5,)), 2),
}
CASES = [(step, name) for steps in STEPS.values() for step in steps for name in ENERGIES]


@pytest.fixture(autouse=True)
def _validation_off():
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    yield
    torch.distributions.Distribution.set_default_validate_args(before)


def moved(name):
    energy = ENERGIES[name]().to("meta")
    context = torch.zeros(7, dtype=torch.long, device="meta") if name == "levels" else ()
    return Target.of(energy, context=context)


@pytest.mark.parametrize(("step", "name"), CASES, ids=str)
def test_steps(step, name):
    target = moved(name)
    start = target.encode(torch.zeros(7, 4))
    chains = Chains(target, start, step)
    try:
        chains.run(2)
    except (ValueError, TypeError) as error:
        pytest.skip(f"does not move this energy: {error}")
    assert chains.encoded.device.type == chains.acceptance.device.type == "meta"
    assert chains.encoded.shape == start.shape


@pytest.mark.parametrize("annealed", [False, True])
@pytest.mark.parametrize("name", ENERGIES)
def test_samplers_with_starts_of_the_host(name, annealed):
    target = moved(name)
    for initial in (None, torch.full((4,), torch.nan)):
        sampler = MarkovSampler(2, initial=initial, annealed=annealed, progress=False)
        draws = sampler(target, sample_shape=(7,))
        assert draws.device.type == "meta"
        assert draws.shape == (7, 4)


@pytest.mark.parametrize("space", [StateSpace(3), StateSpace(3, 4)], ids=str)
def test_background(space):
    like = torch.zeros(5, 3, device="meta")
    assert draw_background(space, like).device.type == "meta"
