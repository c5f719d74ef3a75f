"""Multi-layer perceptrons: half-precision hidden layers."""

import torch

import pyro_rm
from pyro_rm.energies import MLPEnergy
from pyro_rm.generic_paths import evaluated_gaps
from pyro_rm.neighborhoods import all_neighbors
from pyro_rm.target import Target


def both_ways(energy, x, neighbors):
    """Gaps by the energy's own path, and by evaluation."""
    yield Target.of(energy).gaps(x, neighbors)
    yield evaluated_gaps(lambda x, _: energy(x), energy.state_space, x, neighbors, ())


def test_half_precision_hidden_layers_give_single_precision_gaps():
    single, half = (MLPEnergy(12, (64, 64), hidden_dtype=t) for t in (None, torch.bfloat16))
    half.load_state_dict(single.state_dict())
    space, x = single.state_space, torch.randint(2, (20, 12)).float()
    neighbors, _ = all_neighbors(space, x)
    expected = Target.of(single).gaps(x, neighbors)
    for gaps in both_ways(half, x, neighbors):
        assert gaps.dtype == torch.float32
        assert not torch.equal(gaps, expected)
        assert (gaps - expected).square().mean() < 0.05**2 * expected.square().mean()
    gaps.square().sum().backward()
    assert {p.grad.dtype for p in half.parameters()} == {torch.float32}


def test_half_precision_parameters_give_single_precision_gaps():
    energy = MLPEnergy(12, (16, 16)).to(torch.bfloat16)
    x = torch.randint(2, (4, 12)).to(torch.bfloat16)
    neighbors, _ = all_neighbors(energy.state_space, x)
    for gaps in both_ways(energy, x, neighbors):
        assert gaps.dtype == torch.float32


def test_every_parameter_has_a_gradient():
    """Data-parallel training waits for the gradient of each."""
    energy = MLPEnergy(6, (8, 8))
    pyro_rm.estimate(energy, torch.zeros(3, 6), num_neighbors=2).mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in energy.parameters())
