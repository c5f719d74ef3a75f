"""With validation off a step neither reads from the device nor copies to it.

On meta tensors, which have no values, so that any read raises; and, where there is one, on a GPU.
"""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pyro_rm
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy

ENERGIES = {
    "mlp": lambda: MLPEnergy(6, (8, 8)),
    "half precision": lambda: MLPEnergy(6, (8, 8), hidden_dtype=torch.bfloat16),
    "rbm": lambda: RBMEnergy(6, 4),
    "ising": lambda: IsingEnergy(6),
    "potts": lambda: PottsEnergy(6, 3),
    "categorical mlp": lambda: MLPEnergy(6, (8,), num_categories=(2, 3, 4, 2, 3, 4)),
    "generic": lambda: Generic(),
}


class Generic(nn.Module):
    def __init__(self):
        super().__init__()
        self.state_space = pyro_rm.StateSpace(6)
        self.layers = nn.Sequential(nn.Linear(6, 4), nn.SiLU(), nn.Linear(4, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1)


class NoCopiesFromTheHost(TorchDispatchMode):
    """Refuse operations that give a host's tensor, not a mere number, to the device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        outputs = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        copied = any(x.device.type == "cpu" and x.dim() > 0 for x in inputs)
        assert not (copied and any(x.device.type == "meta" for x in outputs)), function
        return result


def refuse(*args, **options):
    raise AssertionError("torch.tensor copies from the host")


@pytest.fixture
def _validation_off():
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    yield
    torch.distributions.Distribution.set_default_validate_args(before)


def step(energy, device, **options):
    x = torch.zeros(5, 6, device=device)
    active = torch.ones(5, 6, dtype=torch.bool, device=device)

    def run():
        for sites in (None, active):
            pyro_rm.estimate(energy, x, active=sites, **options).mean().backward()

    run()  # what is made once and kept
    return run


CASES = pytest.mark.parametrize("options", [
    {"num_neighbors": 2},
    {"num_neighbors": 2, "design": "with_replacement"},
    {"num_neighbors": 2, "proposal": "gradient", "objective": "squared_ratio"},
    {"num_neighbors": 2, "proposal": "activity"},
    {"num_neighbors": 2, "max_neighbors_per_chunk": 5},
    {"num_neighbors": 2, "control_variate": True},
    {"num_neighbors": "all", "objective": "ratio_matching"},
], ids=str)  # fmt: skip


@pytest.mark.usefixtures("_validation_off")
@CASES
@pytest.mark.parametrize("name", [name for name in ENERGIES if name != "half precision"])
def test_steps_on_values_that_nobody_can_read(name, options, monkeypatch):
    """Autocast, that is half precision, does not know meta tensors."""
    if "max_neighbors_per_chunk" in options and torch.__version__ < "2.5":
        pytest.skip("checkpoints of torch 2.4 do not know meta tensors")
    run = step(ENERGIES[name]().to("meta"), "meta", **options)
    monkeypatch.setattr(torch, "tensor", refuse)
    with NoCopiesFromTheHost():
        run()


def test_the_check_sees_copies():
    with NoCopiesFromTheHost(), pytest.raises(AssertionError):
        torch.ones(3).to("meta")


@pytest.mark.gpu
@pytest.mark.usefixtures("_validation_off")
@CASES
@pytest.mark.parametrize("make", ENERGIES.values(), ids=ENERGIES)
def test_steps_on_a_gpu_do_not_wait(make, options):
    run = step(make().cuda(), "cuda", **options)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
