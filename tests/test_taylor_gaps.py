"""Gaps to first order where no gradient is recorded otherwise."""

import pytest
import torch

import pyro_rm
from pyro_rm.energies import LeveledEnergy, MLPEnergy, RBMEnergy
from pyro_rm.markov_steps import DiscreteLangevin, GibbsWithGradients

MAKE = [
    lambda: MLPEnergy(6, (4,)),
    lambda: MLPEnergy(6, (4,), num_categories=3),
    lambda: RBMEnergy(6, 3),
    lambda: LeveledEnergy(MLPEnergy(6, (4,)), 2),
]  # fmt: skip


def guided(energy, x, context):
    """What rests on a gradient in the data, after one seed."""
    torch.manual_seed(1)
    space = energy.state_space
    options = {"num_neighbors": 2, "context": context}
    encoded = space.encode(x, torch.float32)
    return [
        pyro_rm.estimate(energy, x, proposal="gradient", **options),
        pyro_rm.estimate(energy, x, control_variate=True, **options),
        GibbsWithGradients()(energy, space, encoded, context).encoded,
        DiscreteLangevin()(energy, space, encoded, context).encoded,
    ]


@pytest.mark.parametrize("make", MAKE)
def test_guidance_works_in_inference_mode(make):
    energy, results = make(), []
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            x = torch.arange(30).view(5, 6) % 2
            level = (torch.tensor([0, 1, 0, 1, 1]),) if isinstance(energy, LeveledEnergy) else ()
            results.append(guided(energy, x, level))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert not any(result.requires_grad for result in results[1])
