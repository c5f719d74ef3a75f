"""Energies of every kind that have few enough states to sum over."""

import pytest
import torch

from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy

TARGETS = {
    "ising": lambda: IsingEnergy(4, states=(-1, 1)),
    "potts": lambda: PottsEnergy(3, (2, 3, 2)),
    "rbm": lambda: RBMEnergy(4, 3),
    "categorical rbm": lambda: RBMEnergy(2, 3, num_categories=(3, 2)),
    "mlp": lambda: MLPEnergy(4, (5,)),
}


@pytest.fixture(params=TARGETS)
def target(request, float64):
    """One of them with random parameters, in double precision."""
    energy = TARGETS[request.param]()
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    return energy
