"""Runs the Python blocks of a page, so that pictures show what the page's own program did."""

import re
from pathlib import Path
from typing import Any


def run_until(page: str, name: str) -> dict[str, Any]:
    """The names that a page's blocks define, up to the block that defines ``name``."""
    text = (Path(__file__).parent.parent / page).read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(block, page, "exec"), names)
        if name in names:
            break
    return names
