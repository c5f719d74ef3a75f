"""Sphinx configuration: pages in Markdown, the API from each package's public names."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
os.environ["OMP_NUM_THREADS"] = "1"  # the scripts that draw run side by side

from pyro_rm import __version__

project = "pyro_rm"
author = copyright = "The pyro_rm developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "block_outputs",
    "drawn_pictures",
    "mathml",
    "public_names",
    "sphinx_copybutton",
]
copybutton_selector = "div:not(.output) > div.highlight > pre"
exclude_patterns = ["_data"]
html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"pyro_rm {version}"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "special-members": "__call__",
    "show-inheritance": True,
}
add_module_names = False

nitpicky = True
nitpick_ignore_regex = [
    # Names of others: no inventory is fetched, so that the build needs no network.
    (r"py:.*", r"(torch|nn|pyro|numpy|networkx|nx|collections|pathlib|typing|abc|constraints)\..*"),
    (r"py:class", r"Tensor|ELBO|_DependentProperty"),
]
