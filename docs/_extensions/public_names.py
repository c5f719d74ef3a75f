"""References to where a name is defined lead to where it is public; every one is documented."""

from __future__ import annotations

import importlib
from itertools import takewhile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import pyro_rm

ALIASES = {
    "Context": "pyro_rm.energy_protocol.Context",
    "Energy": "pyro_rm.energy_protocol.Energy",
}

PLAIN = {"EstimatorOptions", "Gaps", "KeywordOptions", "NumNeighbors"}  # types without a page

logger = logging.getLogger(__name__)


def public_modules() -> list[str]:
    """The modules that have a page; the tests check that none is forgotten."""
    pages = (Path(__file__).parents[1] / "api").glob("*.md")
    return [f"pyro_rm.{page.stem}" for page in pages if page.stem != "index"]


def public_names(module: str) -> list[str]:
    """What a module offers: its ``__all__`` and the results that it imports beside it, or what it
    defines without an underscore.
    """
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        offers = hasattr(loaded, "__path__") or module == "pyro_rm.infer"
        results = {name for name, value in vars(loaded).items() if offers and _is_ours(value)}
        return sorted({*loaded.__all__, *results})
    return [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]


def _is_ours(value: Any) -> bool:
    """Whether something is a class of this package."""
    return isinstance(value, type) and value.__module__.startswith("pyro_rm.")


def documented_name(target: str) -> str | None:
    """Where a name is documented that is used by another: an alias, short, or where it is defined.

    ``pyro_rm.Estimator`` is ``pyro_rm.estimators.Estimator``,
    ``pyro_rm.energies.ising.IsingEnergy`` is ``pyro_rm.energies.IsingEnergy``, and what is defined
    where no page is, such as ``pyro_rm.losses``, is where a page offers it.
    """
    if target in ALIASES:
        return ALIASES[target]
    parts = target.split(".")
    if parts[0] != "pyro_rm" or len(parts) < 2:
        return None
    if len(parts) == 2:
        value = getattr(pyro_rm, parts[1], None)
        parts = f"{value.__module__}.{value.__qualname__}".split(".") if callable(value) else parts
    if len(parts) > 2 and ".".join(parts[:2]) not in public_modules():
        offers = [module for module in public_modules() if parts[-1] in public_names(module)]
        return f"{offers[0]}.{parts[-1]}" if offers else ".".join(parts)
    return ".".join(parts if len(parts) < 4 else [*parts[:2], *parts[3:]])


def resolve(app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element) -> Any:
    """Find a Python name of ours where its documentation is."""
    if node.get("reftarget") in PLAIN:
        return content
    target = documented_name(node.get("reftarget", ""))
    if target is None:
        return None
    domain = env.get_domain("py")
    found = domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
    return content if found is None and _is_private(node["reftarget"]) else found


def _is_private(target: str) -> bool:
    """Whether a name exists without being public: it is shown without a link."""
    module, _, name = target.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError:
        return False


def separate_references(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make a paragraph of each numbered reference, which docstrings write one below the other."""
    if "**References**" not in lines:
        return
    start = lines.index("**References**") + 1
    references = list(takewhile(lambda line: not line or line[0] in "[ ", lines[start:]))
    paragraphs = [f"\n{line}" if line.startswith("[") else line.strip() for line in references]
    lines[start : start + len(references)] = "\n".join([*paragraphs, ""]).split("\n")


def list_attributes(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make a list of the fitted attributes, which docstrings name in one paragraph."""
    first = next(
        (n for n, line in enumerate(lines) if line.startswith("Fitted attributes: ")), None
    )
    if first is None:
        return
    paragraph = list(takewhile(bool, lines[first:]))
    parts = " ".join(paragraph).removeprefix("Fitted attributes: ").split("; ")
    listed = ["**Fitted attributes**", "", *(f"- {part}" for part in parts)]
    lines[first : first + len(paragraph)] = listed


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn about public names that no page documents."""
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    for module in public_modules():
        for name in public_names(module):
            if f"{module}.{name}" not in documented:
                logger.warning("the API reference lacks %s.%s", module, name)


def leave_out_builtins(app: Sphinx) -> tuple[()]:
    """Names of types, such as ``Context``, have no source that the index of sources can show."""
    getattr(app.env, "_viewcode_modules", {}).pop("builtins", None)
    return ()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register."""
    app.connect("autodoc-process-docstring", separate_references)
    app.connect("autodoc-process-docstring", list_attributes)
    app.connect("missing-reference", resolve)
    app.connect("env-check-consistency", check)
    app.connect("html-collect-pages", leave_out_builtins, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
