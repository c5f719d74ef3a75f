"""Every test starts alike: fixed seed, empty param store, validation on."""

import pyro
import pytest
import torch


@pytest.fixture(autouse=True)
def _clean_state():
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)


@pytest.fixture
def float64():
    """Double precision for the duration of a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
