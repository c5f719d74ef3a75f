"""What is shipped, what the demo needs, and an import that costs little and changes nothing."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import metadata, packages_distributions, requires
from pathlib import Path

import pytest

import pyro_rm

ROOT = Path(__file__).parents[1]
CORE = {"networkx", "numpy", "pyro-ppl", "torch", "tqdm"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without isolation: no network."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    (path,) = wheel.glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    files = [name for name in names if ".dist-info/" not in name]
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "pyro_rm").rglob("*.py")}
    assert set(files) == sources | {"pyro_rm/py.typed"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert pyro_rm.__version__ in path.name


def test_metadata_is_what_an_index_accepts(wheel):
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, wheel.iterdir())]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def required(extra=None):
    """Names of the distributions that the package, or one of its extras, asks for."""
    ending = f'extra == "{extra}"' if extra else ""
    chosen = [r for r in requires("pyro-rm") if r.partition("; ")[2] == ending]
    return {re.split(r"[<>=!~ ;]", r)[0] for r in chosen}


def test_core_dependencies_are_the_five():
    assert required() == CORE
    assert metadata("pyro-rm")["License-Expression"] == "Apache-2.0"


def test_the_demo_installs_what_it_imports_and_no_more():
    tree = ast.parse((ROOT / "examples" / "digits.py").read_text())
    froms = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    modules = {name.split(".")[0] for name in froms + names}
    modules -= {*sys.stdlib_module_names, "pyro_rm"}
    distributions = {name for module in modules for name in packages_distributions()[module]}
    assert distributions - CORE == required("demo")


IMPORT = """
import json, logging, os, pkgutil, random, signal, sys, threading, warnings
import numpy, pyro, torch

def state():
    return (
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist(),
        random.getstate(), numpy.random.get_state()[1].tolist(), list(warnings.filters),
        torch.distributions.Distribution._validate_args, dict(pyro.settings.get()),
        len(pyro.poutine.runtime._PYRO_STACK), len(pyro.get_param_store()),
        torch.get_default_device(), torch.get_num_interop_threads(),
        torch.is_inference_mode_enabled(), logging.root.level, list(logging.root.handlers),
        dict(os.environ), list(sys.path),
        signal.getsignal(signal.SIGINT), sys.excepthook, threading.active_count(),
        sys.getrecursionlimit(), sys.getswitchinterval(), "matplotlib" in sys.modules,
    )

def beyond(modules):
    return sorted(set(sys.modules) - modules)

before, modules = state(), set(sys.modules)
import pyro_rm
at_once = beyond(modules)
for module in pkgutil.walk_packages(pyro_rm.__path__, "pyro_rm."):
    __import__(module.name)
in_all = beyond(modules)
print(json.dumps({"at_once": at_once, "in_all": in_all, "unchanged": state() == before}))
"""


@pytest.fixture(scope="module")
def imported():
    """What a fresh interpreter says of importing the package after Pyro."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", IMPORT]
    run = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=ROOT.parent)
    return json.loads(run.stdout)


def test_importing_needs_core_dependencies_only(imported):
    packages = {name.split(".")[0] for name in imported["in_all"]} - set(sys.stdlib_module_names)
    assert packages <= {"pyro_rm", "networkx", "numpy", "torch", "tqdm"}


def test_importing_loads_few_modules(imported):
    """Beyond its own and NetworkX's, 16 of the standard library; torch and Pyro load 1 350.

    SymPy alone would be 470, SciPy's statistics 560. The time is in benchmarks/import_time.py.
    """
    others = [name for name in imported["at_once"] if not name.startswith(("pyro_rm", "networkx"))]
    assert len(others) <= 100, others


def test_importing_changes_no_global_state(imported):
    assert imported["unchanged"]
