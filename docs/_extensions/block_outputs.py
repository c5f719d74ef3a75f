"""Runs the Python blocks of pages when the site is built, and shows what each prints below it.

What a page printed is kept in ``docs/generated`` and made anew where the page is younger.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

DOCS = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


def pages() -> list[str]:
    """Pages with a block that prints."""
    names = [page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")]
    return [str(n) for n in names if "print(" in "".join(BLOCK.findall(_source(str(n))))]


def _source(page: str) -> str:
    return (DOCS / f"{page}.md").read_text()


def _kept(page: str) -> Path:
    return DOCS / "generated" / f"{page.replace('/', '-')}.json"


def outputs(page: str) -> list[str]:
    """What each block of a page prints, in one program."""
    names: dict[str, Any] = {"__name__": page}
    printed = []
    for block in BLOCK.findall(_source(page)):
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            exec(compile(block, page, "exec"), names)
        printed.append(text.getvalue())
    return printed


def run(page: str) -> None:
    """Run a page in a process of its own, unless it has run since it was written."""
    kept, source = _kept(page), DOCS / f"{page}.md"
    if kept.exists() and kept.stat().st_mtime > source.stat().st_mtime:
        return
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "MPLBACKEND": "Agg"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, page],
            env=environment, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise ExtensionError(f"A block of {page} failed:\n{done.stderr}")
    kept.write_text(done.stdout)


def run_all(app: Sphinx) -> None:
    """Run all pages that print, two at a time."""
    (DOCS / "generated").mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, pages()))


def show(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what a block prints below it."""
    if page not in pages():
        return
    printed = iter(json.loads(_kept(page).read_text()))

    def with_output(block: re.Match[str]) -> str:
        text = next(printed)
        return (
            f"{block[0]}\n```{{code-block}} text\n:class: output\n\n{text}```\n"
            if text
            else block[0]
        )

    source[0] = BLOCK.sub(with_output, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register."""
    app.connect("builder-inited", run_all)
    app.connect("source-read", show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    result = outputs(sys.argv[1])
    print(json.dumps(result))
