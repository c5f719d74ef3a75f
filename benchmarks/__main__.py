"""Run a benchmark by its name: ``python -m benchmarks NAME [its options]``.

Without a name, lists them, and the packages that they compare with.
"""

import argparse
import runpy
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).parent
NOT_SCRIPTS = ("__main__", "conftest", "opponents", "strict_readers", "step_time")
OPPONENTS = {
    "scikit-learn": "pairwise_fits, penalized_paths; pip install scikit-learn==1.9.1",
    "skglm": "penalized_paths; pip install skglm==0.5",
    "biopython": "reader_fuzz; pip install biopython==1.88",
}


def scripts() -> dict[str, str]:
    """The first line of what each script says of itself, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem not in NOT_SCRIPTS:
            found[path.stem] = path.read_text().split('"""')[1].strip().splitlines()[0]
    return found


def installed(package: str) -> str:
    """Its version, or that it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """List, or run."""
    lines = [f"  {name:22}{line}" for name, line in scripts().items()]
    packages = [f"  {name} ({installed(name)}): {use}" for name, use in OPPONENTS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run a benchmark; its own options follow its name.",
        epilog="\n".join(["benchmarks:", *lines, "", "opponents:", *packages]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=list(scripts()), metavar="NAME")
    parser.add_argument("options", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.name is None:
        parser.print_help()
        return
    sys.path.insert(0, str(FOLDER))  # scripts import each other
    path = FOLDER / f"{given.name}.py"
    sys.argv = [str(path), *given.options]
    runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    main()
