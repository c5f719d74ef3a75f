"""Every module's public names are sorted, importable and its own."""

import importlib
import pkgutil

import pytest

import pyro_rm

INTERNAL = {
    "__main__", "_version", "checks", "constants", "control_variates", "drawn_gaps",
    "energy_checks", "enumeration", "estimator_options", "generic_paths", "joint_levels", "losses",
    "missing",
    "noise_levels", "posteriors", "read_off", "supports", "swaps", "systematic_sampling", "terms",
    "training",
}  # fmt: skip
PACKAGES = ["pyro_rm"] + [
    f"pyro_rm.{module.name}"
    for module in pkgutil.iter_modules(pyro_rm.__path__)
    if module.name not in INTERNAL
]


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names(name):
    package = importlib.import_module(name)
    assert list(package.__all__) == sorted(package.__all__)
    assert all(hasattr(package, attribute) for attribute in package.__all__)
