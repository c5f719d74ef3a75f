"""Every block of the README and the docs runs; every public name has a place and an example."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
import typing
from pathlib import Path

import pytest

import pyro_rm

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name not in ("_data", "generated")]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
INTERNAL = {
    "_version", "checks", "constants", "control_variates", "drawn_gaps", "energy_checks",
    "enumeration", "generic_paths", "losses", "missing", "noise_levels", "posteriors", "supports",
    "training",
}  # fmt: skip  # their public names, if any, are on other pages
MODULES = [
    f"pyro_rm.{m.name}" for m in pkgutil.iter_modules(pyro_rm.__path__) if m.name not in INTERNAL
]


def blocks(page):
    """The page's program: its Python blocks, each at its own line number."""
    text = page.read_text()
    return [
        ("\n" * text[: block.start(1)].count("\n") + block[1]) for block in BLOCK.finditer(text)
    ]


def public_names(module):
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return [n for n in loaded.__all__ if not inspect.ismodule(getattr(loaded, n))]
    return [n for n, v in vars(loaded).items() if n[0] != "_" and _defined_in(v, module)]


def _defined_in(value, module):
    return getattr(value, "__module__", None) == module and hasattr(value, "__qualname__")


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda p: p.name)
def test_every_block_runs(page, monkeypatch, tmp_path):
    if "import lightning" in page.read_text():
        pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


def test_pages_show_what_their_blocks_print(tmp_path, monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(ROOT / "docs" / "_extensions")
    extension = importlib.import_module("block_outputs")
    monkeypatch.setattr(extension, "DOCS", tmp_path)
    text = "```python\nx = 6\n```\n\nThen\n\n```python\nprint(x * 7)\n```\n\nend\n"
    (tmp_path / "page.md").write_text(text)
    assert extension.pages() == ["page"]
    assert extension.outputs("page") == ["", "42\n"]
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "page.json").write_text('["", "42\\n"]')
    source = [text]
    extension.show(None, "page", source)
    shown = "```{code-block} text\n:class: output\n\n42\n```\n"
    assert source[0] == text.replace("print(x * 7)\n```\n", f"print(x * 7)\n```\n\n{shown}")


def test_all_code_on_pages_is_run():
    fences = re.compile(r"^ *```+(\{code-block\} *)?(\w+)", re.MULTILINE)
    for page in PAGES:
        languages = {match[2] for match in fences.finditer(page.read_text())}
        assert languages <= {"python", "text"}, page


def test_every_module_has_a_page_and_every_short_name_a_link():
    index = (ROOT / "docs" / "api" / "index.md").read_text()
    for module in MODULES:
        page = ROOT / "docs" / "api" / f"{module.split('.')[1]}.md"
        assert f"automodule:: {module}\n" in page.read_text()
        assert f"\n{page.stem}\n" in index
    for name in pyro_rm.__all__:
        assert name == "__version__" or f"`pyro_rm.{name}`" in index, name


def executed():
    """Every identifier that some executed example uses, and where it may come from."""
    sources = [block for page in PAGES for block in blocks(page)]
    parser = doctest.DocTestParser()
    for module in pkgutil.walk_packages(pyro_rm.__path__, "pyro_rm."):
        source = inspect.getsource(importlib.import_module(module.name))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                examples = parser.get_examples(ast.get_docstring(node) or "")
                sources += [example.source for example in examples]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    return used | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


# Names of types in signatures: there is nothing to run. The data set needs a file.
NOT_RUN = {"Context", "Energy", "ego_small"}


def test_every_public_name_is_in_an_executed_example():
    used = executed() | NOT_RUN
    missing = [
        f"{m}.{n}"
        for m in ["pyro_rm", *MODULES]
        for n in public_names(m)
        if n not in used and n[:2] != "__"
    ]
    assert missing == []


# What every distribution of Pyro takes, or a function passes on.
UNSAID = {"args", "batch_shape", "kwargs", "validate_args"}


def described():
    """Public functions and classes with their docstrings; protocols and errors aside."""
    for module in MODULES:
        for name in public_names(module):
            value = getattr(importlib.import_module(module), name)
            if typing.get_origin(value) is not None:  # the name of a type, which is callable
                continue
            error = inspect.isclass(value) and issubclass(value, Exception)
            if callable(value) and not error and not getattr(value, "_is_protocol", False):
                yield f"{module}.{name}", value, value.__doc__ or ""


def raises(value):
    """Whether a function, or the constructor of a class, has a raise statement."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    constructors = ("__init__", "__post_init__")
    functions = [f for f in tree.body if getattr(f, "name", "") in constructors]
    functions = functions if inspect.isclass(value) else [tree]
    return any(isinstance(node, ast.Raise) for f in functions for node in ast.walk(f))


def test_docstrings_say_every_parameter_result_error_and_cost():
    missing = []
    for name, value, doc in described():
        signature = inspect.signature(value)
        parameters = set(signature.parameters) - UNSAID
        missing += [f"{name}: {p}" for p in sorted(parameters) if f":param {p}:" not in doc]
        returned = not inspect.isclass(value) and signature.return_annotation != "None"
        missing += [f"{name}: returns"] * (returned and ":returns:" not in doc)
        missing += [f"{name}: raises"] * (raises(value) and ":raises" not in doc)
        missing += [f"{name}: cost"] * ("energy" in parameters and ".. note::" not in doc)
    assert missing == []


METHODS = {
    "datasets", "designs", "energies", "estimators", "evaluation", "graphs", "infer",
    "markov_steps", "networks", "objectives", "proposals", "target",
}  # fmt: skip
OF_NO_SOURCE = {
    # what others are built from, and what they return
    "Alignment", "ChainState", "Chains", "CsvTable", "Design", "Draw", "Estimator", "GraphBatch",
    "GraphTerm", "IsingFit", "LogLikelihood", "MarkovKernel", "MarkovStep", "Objective",
    "PlaneDensity", "Proposal", "Target", "Terms", "TrainingResult", "default_step", "estimate",
    "estimate_terms",
    # reading, coding and drawing data
    "GrayCodedDensity", "active_pairs", "coupling_matrix", "decode_graphs", "encode_graphs",
    "graph_term", "lattice", "read_alignment", "read_csv_table", "simulate_ising", "size_buckets",
    "with_couplings",
    # definitions, with the formula or the sentence that says all
    "AllNeighbors", "IndependentSites", "LinearFirstEnergy", "Oracle", "PairwiseFunction",
    "SumEnergy", "Uniform", "dominated_share", "exact_samples", "log_partition", "novelty",
    "recode", "restore_temperature", "sample_quality", "support_f1", "uniqueness",
}  # fmt: skip


def test_methods_say_their_source():
    """By numbered references, or by naming a public name that has some."""
    docs = {name: doc for name, _, doc in described()}
    cited = {name.split(".")[-1] for name, doc in docs.items() if "**References**" in doc}
    role = re.compile(r":(?:class|func):`~?(?:[\w.]+\.)?(\w+)`")
    missing = {
        name.split(".")[-1]
        for name, doc in docs.items()
        if name.split(".")[1] in METHODS
        and name.split(".")[-1] not in cited
        and not cited & set(role.findall(doc))
    }
    assert missing == OF_NO_SOURCE


def test_references_are_numbered_used_and_complete():
    """``[1] Author (year) "Title", venue.``, each of which the text above it names."""
    wrong = []
    for name, _, doc in described():
        text, _, references = doc.partition("**References**")
        _, *parts = re.split(r"\n\s*\[(\d+)\] ", re.split(r"\n *Example:", references)[0])
        for number, (key, entry) in enumerate(zip(parts[::2], parts[1::2], strict=True), 1):
            whole = re.fullmatch(r'\S.+ \((1[89]|20)\d\d\) ".+", .+\.', " ".join(entry.split()))
            used = re.search(rf"\[(\d, )*{key}(, \d)*\]", text)
            if int(key) != number or not whole or not used:
                wrong.append(f"{name} [{key}]")
    assert wrong == []


def test_readme_and_citation_say_the_version_and_python_that_are_declared():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {pyro_rm.__version__}\n" in citation
    assert f"## {pyro_rm.__version__} " in (ROOT / "CHANGELOG.md").read_text()
    assert sys.version_info >= (3, 10)
