"""What is shipped, what the demo needs, and an import that costs little and changes nothing."""

import ast
import importlib.util
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


@pytest.fixture
def release():
    path = ROOT / ".ci" / "release.py"
    spec = importlib.util.spec_from_file_location("release", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def next_version():
    return "{}.{}.{}".format(*map(int, pyro_rm.__version__.split(".")[:2]), 10**6)


def a_repository(folder, version):
    """Copies of the files that state the version, the changelog with an unreleased section."""
    for name in ("pyro_rm/_version.py", "CITATION.cff"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text((ROOT / name).read_text())
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version} — unreleased\n\n- New.\n")
    return folder


def test_a_release_states_its_version_and_date_wherever_they_stand(release, tmp_path):
    version = next_version()
    for path, text in release.stamped(a_repository(tmp_path, version), version, "a day").items():
        path.write_text(text)
    assert (tmp_path / "pyro_rm/_version.py").read_text() == f'__version__ = "{version}"\n'
    assert f"\nversion: {version}\n" in (tmp_path / "CITATION.cff").read_text()
    assert "cff-version: 1.2.0\n" in (tmp_path / "CITATION.cff").read_text()
    assert f"## {version} — a day\n" in (tmp_path / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.0", "Expected a version such as 0.2.0, but got '1.0'"),
        ("0.0.1", "Expected a version after "),
        ("999.0.0", "Expected one section '## 999.0.0 — unreleased'"),
    ],
)
def test_a_release_that_is_not_prepared_is_refused(release, tmp_path, version, message):
    repository = a_repository(tmp_path, next_version())
    with pytest.raises(ValueError, match=re.escape(message)):
        release.stamped(repository, version, "a day")
