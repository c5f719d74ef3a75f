"""Tensors that are remembered serve later calls, whatever mode the first call was made in."""

import pytest
import torch

import pyro_rm
from pyro_rm.energies import MLPEnergy, RandomGraphEnergy

ENERGIES = {  # of sizes that no other test has remembered
    "categories": lambda: MLPEnergy(3, (4,), num_categories=(7, 2, 5)),
    "node pairs": lambda: RandomGraphEnergy(11),
}


@pytest.mark.parametrize("make", ENERGIES.values(), ids=ENERGIES)
def test_gradients_after_inference_mode(make):
    with torch.inference_mode():
        energy = make()
        pyro_rm.estimate(energy, torch.zeros(2, energy.state_space.num_sites), num_neighbors=2)
    energy = make()
    x = energy.state_space.encode(torch.zeros(2, energy.state_space.num_sites), torch.float32)
    (gradient,) = torch.autograd.grad(energy(x.requires_grad_()).sum(), x)
    assert gradient.isfinite().all()
    pyro_rm.estimate(energy, x.detach().argmax(-1) if x.dim() == 3 else x.detach()).sum().backward()
    assert all(p.grad is not None for p in energy.parameters() if p.requires_grad)
