"""Make a release: ``make release VERSION=0.2.0``.

Runs all checks, writes the version and the date where they stand, builds the source archive, the
wheel and the site, and tries the wheel in an environment of its own: its metadata, its command
line, a small estimate, and its types in a program outside the repository, by mypy and by pyright's
engine. Then it says what is left to do by hand: to commit, tag and upload.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAMPS = {
    "pyro_rm/_version.py": r'(?<=__version__ = ")[^"]+',
    "CITATION.cff": r"(?<=\nversion: )\S+",
}
PROGRAM = '''\
"""What a user might write, to be run and to have its types checked."""

import torch

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy
from pyro_rm.networks import IsingNetwork

x: torch.Tensor = torch.bernoulli(torch.full((200, 4), 0.5))
energy: IsingEnergy = IsingEnergy(4)
loss: torch.Tensor = pyro_rm.estimate(energy, x).mean()
space: pyro_rm.StateSpace = energy.state_space
network: IsingNetwork = IsingNetwork(selection=None).fit(x)
sampler: pyro_rm.MarkovSampler = pyro_rm.MarkovSampler(num_steps=5, progress=False)
samples: torch.Tensor = sampler(energy, sample_shape=(3,))
model: EnergyModel = EnergyModel(energy)
print(space.num_sites, loss.item(), network.score(x), samples.shape, model.event_shape)
'''


def stamped(root: Path, version: str, date: str) -> dict[Path, str]:
    """Texts of the files that state the version, with a new one.

    :param root: The repository.
    :param version: Three numbers with points between.
    :param date: Of the release.
    :returns: A text for each path.
    :raises ValueError: If it is no version, is older than the last one, or the changelog has no
        unreleased section of it.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"Expected a version such as 0.2.0, but got {version!r}.")
    texts = {}
    for name, pattern in STAMPS.items():
        text = (root / name).read_text()
        (found,) = re.findall(pattern, text)
        if _numbers(found) > _numbers(version):
            raise ValueError(f"Expected a version after {found}, which {name} has; got {version}.")
        texts[root / name] = re.sub(pattern, version, text)
    changelog = (root / "CHANGELOG.md").read_text()
    heading = f"## {version} — unreleased\n"
    if changelog.count(heading) != 1:
        raise ValueError(f"Expected one section {heading.strip()!r} in CHANGELOG.md.")
    texts[root / "CHANGELOG.md"] = changelog.replace(heading, f"## {version} — {date}\n")
    return texts


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Show a command and run it; end with its error if it fails."""
    print("+", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, cwd=cwd)


def build(out: Path) -> Path:
    """Build both archives, and pack the site that was built before; returns the wheel."""
    shutil.rmtree(out, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", out)
    run(sys.executable, "-m", "twine", "check", "--strict", *out.iterdir())
    (wheel,) = out.glob("*.whl")
    name = wheel.name.split("-py3")[0] + "-docs"
    shutil.make_archive(str(out / name), "zip", ROOT / "out" / "docs")
    return wheel


def try_out(wheel: Path, folder: Path) -> None:
    """Install the wheel in a new environment, and use it outside the repository."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "program.py").write_text(PROGRAM)
    run(sys.executable, "-m", "venv", folder / "venv")
    own = folder / "venv" / "bin"
    constraints = ["--constraint", ROOT / "constraints.txt"]
    run(own / "pip", "install", "--quiet", *constraints, wheel, "mypy", "basedpyright")
    run(own / "pip", "check")
    run(own / "python", "-m", "pyro_rm", "--version", cwd=folder)
    run(own / "python", "-W", "error", "program.py", cwd=folder)
    run(own / "mypy", "--strict", "program.py", cwd=folder)
    python = ["--pythonpath", own / "python"]
    run(own / "basedpyright", *python, "--level", "error", "program.py", cwd=folder)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    options = parser.parse_args()
    changes = subprocess.check_output(["git", "status", "--porcelain"], text=True, cwd=ROOT)
    if changes:
        sys.exit(f"Expected a clean tree, but got changes; commit or stash these:\n{changes}")
    try:
        texts = stamped(ROOT, options.version, options.date)
    except ValueError as error:
        sys.exit(str(error))
    run("make", "check")
    for path, text in texts.items():
        path.write_text(text)
    run("make", "docs")  # with the new version in its titles
    out = ROOT / "out" / "release"
    wheel = build(out)
    try_out(wheel, ROOT / "out" / "tried")
    for path in sorted(out.iterdir()):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(ROOT))
    version = options.version
    print(
        f"\nLeft to do, after a look at the changes and at {out.relative_to(ROOT)}:\n"
        f"  git commit --all --message 'Release {version}'\n"
        f"  git tag --annotate v{version} --message 'pyro_rm {version}'\n"
        f"  git push --follow-tags\n"
        f"  twine upload out/release/*.whl out/release/*.tar.gz"
    )


if __name__ == "__main__":
    main()
