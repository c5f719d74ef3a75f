"""Runs scripts before pages are read; pages show what they leave.

Those in ``docs/pictures``, and some examples, are called with ``--out docs/generated`` and run
anew where they are younger than what they left. ``rm -r docs/generated`` draws all anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

DOCS = Path(__file__).parent.parent
EXAMPLES = ["digits.py"]


def draw(script: Path) -> None:
    """Run a script, unless it has run since it was written."""
    done = DOCS / "generated" / f".{script.stem}.done"
    if done.exists() and done.stat().st_mtime > script.stat().st_mtime:
        return
    command = [sys.executable, str(script), "--out", str(done.parent)]
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "MPLBACKEND": "Agg"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ExtensionError(f"{script.name} failed:\n{run.stderr}")
    done.with_name(f"{script.stem}.txt").write_text(run.stdout)
    done.touch()


def draw_all(app: Sphinx) -> None:
    """Run all scripts, two at a time."""
    (DOCS / "generated").mkdir(exist_ok=True)
    scripts = [DOCS.parent / "examples" / name for name in EXAMPLES]
    scripts += sorted((DOCS / "pictures").glob("[!_]*.py"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(draw, scripts))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register."""
    app.connect("builder-inited", draw_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
