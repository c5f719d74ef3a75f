"""The site's own check finds links that lead nowhere and pages that are too wide."""

import runpy
import shutil
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "check_site.py"))
PAGE = """<html><body><article><div style="width: 900px" id="there">a wide part</div></article>
<a href="#there">fine</a><a href="other.html#here">fine</a><a href="https://elsewhere.org">fine</a>
<a href="#nowhere">no</a><a href="missing.html">no</a><img src="lost.png"></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "other.html").write_text("<html><body><p id='here'>narrow</p></body></html>")
    return tmp_path


def test_broken_links_are_found(site):
    assert CHECK["broken_links"](site) == [
        "index.html: #nowhere leads nowhere",
        "index.html: missing.html leads nowhere",
        "index.html: lost.png leads nowhere",
    ]


def test_wide_pages_are_found(site):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Chromium")
    (fault,) = CHECK["wide_pages"](site, browser)
    assert fault.startswith("index.html: 9")
    assert fault.endswith("pixels on a screen of 390: DIV a wide part")
