"""Runs the Python blocks of pages when the site is built, and shows what each prints below it.

Each block runs alone, after those that it names (see ``page_blocks``). What a page printed, and
the figures that it saved, are kept in ``docs/generated``, and made anew where its code changed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from page_blocks import BLOCK, Runner, blocks, pages_with_blocks
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

DOCS = Path(__file__).parent.parent


def shown(page: Path) -> bool:
    """Whether a block of a page prints or saves something."""
    code = "".join(_codes(page.read_text()))
    return "print(" in code or ".savefig(" in code


def _codes(text: str) -> list[str]:
    return [block.code.lstrip("\n") for block in blocks(text)]


def _kept(page: str) -> Path:
    return DOCS / "generated" / f"{page.replace('/', '-')}.json"


def run_all(app: Sphinx) -> None:
    """Run all pages that print or draw and that have not run since their code was written."""
    (DOCS / "generated").mkdir(exist_ok=True)
    runner = Runner("--figures", str(DOCS / "generated"))
    for page in filter(shown, pages_with_blocks()):
        kept, codes = _kept(str(page.relative_to(DOCS).with_suffix(""))), _codes(page.read_text())
        if not kept.exists() or json.loads(kept.read_text())["codes"] != codes:
            try:
                kept.write_text(json.dumps({"codes": codes, "printed": runner(page)}))
            except RuntimeError as error:
                raise ExtensionError(str(error)) from error
    runner.close()


def show(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what a block prints below it."""
    if not _kept(page).exists() or not BLOCK.search(source[0]):
        return
    printed = iter(json.loads(_kept(page).read_text())["printed"])

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
