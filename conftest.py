"""Every test starts alike: fixed seed, empty param store, validation on."""

import importlib.util
import signal
from pathlib import Path

import hypothesis
import pyro
import pytest
import torch

hypothesis.settings.load_profile("ci")  # the same examples each time, and no deadlines

BRIDGES = {"inference_data": "arviz", "quadratic_models": "dimod", "sample_sets": "dimod"}
BRIDGES |= {"thrml_energies": "thrml"}  # whose examples run where the other side is installed
collect_ignore = [
    f"pyro_rm/bridges/{name}.py"
    for name, package in BRIDGES.items()
    if importlib.util.find_spec(package) is None
]


def pytest_runtest_setup(item):
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def _clean_state():
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in background jobs


@pytest.fixture
def float64():
    """Double precision for the duration of a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real data sets beside the project; skips where they are missing."""
    folder = Path(__file__).parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data sets in ../shared/data, which are not part of the project")
    return folder
