"""The Python blocks of a page, and which of them go before which.

The first line of a block may name it and say what it goes after::

    # block: fit, after: votes

Both parts are optional. A block runs alone in a fresh process, after the block it names and
what that one goes after, and nothing else. ``python docs/_extensions/page_blocks.py PAGE ...``
runs all blocks of pages so, by default of all pages.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

DOCS = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
FIRST_LINE = re.compile(r"# (?:block: (?P<name>[\w -]+))?(?:, )?(?:after: (?P<after>[\w -]+))?\n")
# Of Lightning and ArviZ: advice that a small example does not need.
EXPECTED_WARNINGS = [".*LeafSpec", ".*does not have many workers", "\\s*ArviZ is undergoing"]

Names = dict[str, Any]
Run = Callable[[int, Names], bool]


@dataclass(frozen=True)
class Block:
    """A Python block of a page.

    :param code: Its lines, below as many empty ones as are above it on the page.
    :param name: What other blocks call it, if anything.
    :param after: The name of the block that goes before it, if any does.
    """

    code: str
    name: str | None
    after: str | None


def blocks(text: str) -> list[Block]:
    """The blocks of a page."""
    found = []
    for match in BLOCK.finditer(text):
        first = FIRST_LINE.match(match[1])
        said = first.groupdict() if first else {"name": None, "after": None}
        found.append(Block("\n" * text[: match.start(1)].count("\n") + match[1], **said))
    return found


def pages_with_blocks() -> list[Path]:
    """The pages of the site that have a block."""
    pages = [p for p in sorted(DOCS.rglob("*.md")) if p.parent.name not in ("_data", "generated")]
    return [page for page in pages if blocks(page.read_text())]


def chains(page: list[Block]) -> list[list[int]]:
    """Numbers of the blocks that go one after the other, for each block that ends such a chain.

    Running these chains runs every block alone: each is in a chain, after just those
    blocks that it says go before it.

    :raises ValueError: If a name is given twice, or stands for no block above.
    """
    names: dict[str, int] = {}
    before: list[list[int]] = []
    for number, block in enumerate(page):
        if block.after is not None and block.after not in names:
            raise ValueError(f"Expected a block {block.after!r} above one that goes after it.")
        last = None if block.after is None else names[block.after]
        before.append([] if last is None else [*before[last], last])
        if block.name in names:
            raise ValueError(f"Expected different names of blocks, but got {block.name!r} twice.")
        if block.name is not None:
            names[block.name] = number
    inner = {number for chain in before for number in chain}
    return [[*before[n], n] for n in range(len(page)) if n not in inner]


def _run(code: str, names: Names, page: str, strict: bool) -> dict[str, Any]:
    """Run a block in this process: what it printed, and what went wrong."""
    text = io.StringIO()
    with warnings.catch_warnings():
        if strict:
            warnings.simplefilter("error")
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
        try:
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(code, page, "exec"), names)
        except BaseException:
            return {"printed": text.getvalue(), "error": traceback.format_exc()}
    return {"printed": text.getvalue(), "error": None}


def _run_in_forks(
    folder: Path, numbers: list[int], names: Names, run: Run, after: dict[int | None, list[int]]
) -> None:
    """Run blocks, each in a fork of this process and a copy of its folder; and in that fork what
    goes after the block, so that nothing is computed twice.
    """
    for number in numbers:
        child = os.fork()
        if not child:
            own = folder.with_name(f"{folder.name}-{number}")
            shutil.copytree(folder, own)
            os.chdir(own)
            if run(number, names):
                _run_in_forks(own, after.get(number, []), names, run, after)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


def run_page(page: Path, figures: Path | None = None, *, strict: bool = False) -> list[str]:
    """Run the blocks of a page in forks of this process, which must be a fresh one.

    :param page: The page.
    :param figures: Where figures go that blocks save.
    :param strict: Whether warnings are errors.
    :returns: What each block prints.
    :raises RuntimeError: If a block fails.
    """
    found = blocks(page.read_text())
    after: dict[int | None, list[int]] = {}
    for chain in chains(found):
        for last, number in zip([None, *chain], chain, strict=False):
            if number not in after.setdefault(last, []):
                after[last].append(number)
    with TemporaryDirectory() as folder:

        def run(number: int, names: Names) -> bool:
            result = _run(found[number].code, names, str(page), strict)
            (Path(folder) / f"{number}.json").write_text(json.dumps(result))
            for figure in Path.cwd().glob("*.png") if figures else ():
                shutil.copy(figure, figures)  # type: ignore[arg-type]
            return result["error"] is None

        start = Path(folder) / "work"
        start.mkdir()
        _run_in_forks(start, after.get(None, []), {"__name__": "__main__"}, run, after)
        printed = []
        for number in range(len(found)):
            answer = Path(folder) / f"{number}.json"
            result = json.loads(answer.read_text()) if answer.exists() else {"error": "It ended."}
            if result["error"]:
                raise RuntimeError(f"A block of {page} failed.\n{result['error']}")
            printed.append(result["printed"])
    return printed


class Runner:
    """A process that has imported the library, and runs pages in forks of itself.

    :param options: Of the command: ``"--strict"``, ``"--figures"`` and a folder.
    """

    def __init__(self, *options: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "MPLBACKEND": "Agg"}
        environment["MATPLOTLIBRC"] = str(DOCS / "_static" / "matplotlibrc")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--answer", *options],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, page: Path) -> list[str]:
        """What each block of a page prints; raises if one fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{page}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer["error"]:
            raise RuntimeError(answer["error"])
        return answer["printed"]

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main() -> None:
    """Run the pages that are named, or all; or answer for those that come on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--answer", action="store_true", help="take pages from standard input")
    parser.add_argument("--figures", type=Path, help="folder for figures that blocks save")
    parser.add_argument("--strict", action="store_true", help="warnings are errors")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # threads do not fork
    for module in ("pyro_rm", "torch._dynamo"):  # the latter by any optimizer; once for all forks
        importlib.import_module(module)
    if arguments.answer:
        for line in sys.stdin:
            answer: dict[str, Any] = {"printed": [], "error": None}
            try:
                page = Path(line.rstrip("\n"))
                answer["printed"] = run_page(page, arguments.figures, strict=arguments.strict)
            except (RuntimeError, ValueError) as error:
                answer["error"] = str(error)
            print(json.dumps(answer), flush=True)
        return
    for page in arguments.pages or [DOCS.parent / "README.md", *pages_with_blocks()]:
        run_page(page, arguments.figures, strict=arguments.strict)
        found = blocks(page.read_text())
        print(f"{page}: {len(found)} blocks in {len(chains(found))} chains", flush=True)


if __name__ == "__main__":
    main()
