"""Look for broken links and for pages that are wider than the screen, in the site that was built.

Links within the site, with their anchors, are followed in the files. Where Chromium is installed,
each page is also laid out at the width of a phone and of a desktop, and nothing may stick out.
Prints what is wrong, and fails if anything is.

    python docs/check_site.py out/docs
"""

import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

WIDTHS = (390, 1280)
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--virtual-time-budget=600000", "--dump-dom",
]  # fmt: skip
# Lays out one page after the other in a frame, and leaves a list of what sticks out of it.
WRAPPER = """<!doctype html><iframe id="frame" height="800"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("frame"), found = [];
async function look(page, width) {
  frame.width = width;
  await new Promise(done => { frame.onload = done; frame.src = page; });
  const root = frame.contentDocument.documentElement;
  if (root.scrollWidth <= root.clientWidth) return;
  const wide = [...frame.contentDocument.body.querySelectorAll("article *")].find(
    part => part.getBoundingClientRect().right > root.clientWidth + 1);
  const text = wide ? wide.tagName + " " + wide.textContent.trim().slice(0, 60) : "";
  found.push(`${page}: ${root.scrollWidth} pixels on a screen of ${width}: ${text}`);
}
(async () => {
  for (const page of PAGES) for (const width of WIDTHS) await look(page, width);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads somewhere and what can be led to."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")


def broken_links(site: Path) -> list[str]:
    """Links to files or anchors of the site that are not there."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            lacks = not place.exists()
            if not lacks and parts.fragment and place.suffix == ".html":
                target = pages[site / place.relative_to(site.resolve())]
                lacks = unquote(parts.fragment) not in target.anchors
            if lacks:
                broken.append(f"{path.relative_to(site)}: {link} leads nowhere")
    return broken


def wide_pages(site: Path, browser: str) -> list[str]:
    """Pages that are wider than a phone's or a desktop's screen."""
    names = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html"))]
    names = [name for name in names if not name.startswith("_modules")]
    wrapper = WRAPPER.replace("PAGES", json.dumps(names)).replace("WIDTHS", json.dumps(WIDTHS))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path != "/":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(wrapper.encode())
            return None

    handler = partial(Handler, directory=str(site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory() as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        command = [browser, *OPTIONS, f"--user-data-dir={profile}", address]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
        server.shutdown()
    listed = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.DOTALL)
    if listed is None or not listed[1]:
        raise RuntimeError(f"Expected {browser} to lay out all pages, but it did not finish.")
    return list(json.loads(unescape(listed[1])))


def main(site: Path) -> int:
    """Print what is wrong; the number of faults."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    faults = broken_links(site)
    if browser is None:
        print("Chromium is not installed: only links were checked.")
    else:
        faults += wide_pages(site, browser)
    print("\n".join(faults))
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
