"""Every block of the README and the docs runs alone; public names have places and examples."""

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
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))
page_blocks = importlib.import_module("page_blocks")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name not in ("_data", "generated")]
NOT_EVERYWHERE = ("arviz", "dimod", "lightning", "sklearn")  # packages that blocks import
INTERNAL = {
    "__main__", "_version", "checks", "constants", "control_variates", "drawn_gaps",
    "energy_checks", "enumeration", "estimator_options", "generic_paths", "joint_levels", "losses",
    "missing",
    "noise_levels", "posteriors", "read_off", "supports", "swaps", "systematic_sampling", "terms",
    "training",
}  # fmt: skip  # their public names, if any, are on other pages
MODULES = [
    f"pyro_rm.{m.name}" for m in pkgutil.iter_modules(pyro_rm.__path__) if m.name not in INTERNAL
]


def blocks(page):
    """The page's Python blocks, each at its own line number."""
    return [block.code for block in page_blocks.blocks(page.read_text())]


def public_names(module):
    pytest.importorskip("sphinx")
    names = importlib.import_module("public_names").public_names(module)
    return [n for n in names if not inspect.ismodule(getattr(importlib.import_module(module), n))]


@pytest.fixture(scope="module")
def run_page():
    runner = page_blocks.Runner("--strict")
    yield runner
    runner.close()


# What a page says in prose of what its blocks find, checked at the end of the block that is named.
CLAIMS = {
    "get_started.md": (
        "exact", "abs(losses[0] - 6.93) < 0.01", "losses[-1] < 4.6", "0 < lost < 0.05",
    ),
    "tutorials/annealer.md": (
        "effective", "low < 1.4 < high",
        "set(effective.table.sort_values('p_value').iloc[0, :2]) == {'q5', 'q6'}",
    ),
    "tutorials/contacts.md": ("precision", "curve[num_contacts - 1] > 0.8"),
    "tutorials/densities.md": ("likelihood", "0 < loss - data.entropy() < 0.5"),
    "tutorials/from_local_to_right.md": ("polish", "not before.ok", "after.ok"),
    "tutorials/missing.md": (
        "errors", "errors['no blanks'] < errors['filled'] < errors['rows dropped']",
    ),
    "tutorials/one_network.md": ("fit", "model.converged_"),
    "tutorials/own_network.md": ("resumed", "result.held_out[-1][1] < 0.3 < independent"),
    "tutorials/stuck_chains.md": (
        "likelihood", "fitted[1] > 0", "posterior.intervals()['field'][1] < 0",
    ),
    "tutorials/scales.md": ("thresholds", "network.score(table) > two.score(table) + 0.1"),
    "tutorials/structure.md": ("found", "len(found & true) >= 70", "len(found - true) <= 2"),
    "tutorials/votes.md": ("fit", "abs(graph.number_of_edges() - truth.number_of_edges()) <= 1"),
}  # fmt: skip


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda p: p.name)
def test_every_block_runs_alone_after_those_that_it_names(page, run_page, tmp_path):
    for package in NOT_EVERYWHERE:
        if f"import {package}" in page.read_text():
            pytest.importorskip(package)
    text = page.read_text()
    for name, *claims in [CLAIMS[place] for place in CLAIMS if page == ROOT / "docs" / place]:
        (code,) = [b.code.lstrip("\n") for b in page_blocks.blocks(text) if b.name == name]
        text = text.replace(code, code + "".join(f"assert {claim}\n" for claim in claims))
    (tmp_path / page.name).write_text(text)
    run_page(tmp_path / page.name)


def test_tutorials_show_results_and_do_not_assert_them():
    for page in [ROOT / "docs" / "get_started.md", *(ROOT / "docs" / "tutorials").glob("*.md")]:
        for block in blocks(page):
            assert not re.search(r"^ *assert", block, re.MULTILINE), page


def test_pages_show_the_figures_that_their_blocks_save():
    for page in PAGES:
        saved = re.findall(r"savefig\(\"(.+?)\"", "".join(blocks(page)))
        for name in saved:
            assert f"generated/{name}\n" in page.read_text(), page


def test_blocks_say_what_goes_before_them():
    text = "".join(
        f"```python\n{code}\n```\n"
        for code in (
            "x = 1",
            "# block: two\ny = 2",
            "# block: three, after: two\nz = y + 1",
            "# after: three\nz",
            "# after: two\ny",
            "# a comment, after: two",
        )
    )
    found = page_blocks.blocks(text)
    assert [block.name for block in found] == [None, "two", "three", None, None, None]
    assert [block.after for block in found] == [None, None, "two", "three", "two", None]
    assert page_blocks.chains(found) == [[0], [1, 2, 3], [1, 4], [5]]
    assert found[2].code == "\n" * 8 + "# block: three, after: two\nz = y + 1\n"
    with pytest.raises(ValueError, match="Expected a block 'five' above"):
        page_blocks.chains(page_blocks.blocks("```python\n# after: five\n```\n"))
    with pytest.raises(ValueError, match="different names of blocks, but got 'two' twice"):
        page_blocks.chains(page_blocks.blocks(text + "```python\n# block: two\n```\n"))


def test_a_block_sees_those_that_it_names_and_no_others(tmp_path, run_page):
    page = tmp_path / "page.md"
    first = "```python\n# block: first\nimport torch\n\nx = torch.rand(()).item()\nprint(x)\n```\n"
    page.write_text(
        first + "```python\n# after: first\nprint(x)\n```\n" + first.replace("first", "f")
    )
    printed = run_page(page)
    assert printed[0] == printed[1] == printed[2]  # each starts from the same random numbers
    page.write_text(first + "```python\nprint(x)\n```\n")
    with pytest.raises(
        RuntimeError, match=r"page.md failed(.|\n)*line 9(.|\n)*NameError: name 'x'"
    ):
        run_page(page)
    page.write_text("```python\nimport os\n\nos._exit(1)\n```\n")
    with pytest.raises(RuntimeError, match="ended"):
        run_page(page)
    page.write_text("```python\nimport warnings\n\nwarnings.warn('old')\n```\n")
    with pytest.raises(RuntimeError, match="UserWarning: old"):
        run_page(page)


def test_figures_that_blocks_save_are_kept(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nfrom pathlib import Path\n\nPath('a.png').touch()\n```\n" * 2)
    (tmp_path / "figures").mkdir()
    runner = page_blocks.Runner("--figures", str(tmp_path / "figures"))
    assert runner(page) == ["", ""]
    runner.close()
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["a.png"]


def test_pages_show_what_their_blocks_print(tmp_path, monkeypatch):
    pytest.importorskip("sphinx")
    extension = importlib.import_module("block_outputs")
    monkeypatch.setattr(extension, "DOCS", tmp_path)
    text = "```python\nx = 6\n```\n\nThen\n\n```python\nprint(42)\n```\n\nend\n"
    (tmp_path / "page.md").write_text(text)
    assert extension.shown(tmp_path / "page.md")
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "page.json").write_text('{"printed": ["", "42\\n"]}')
    source = [text]
    extension.show(None, "page", source)
    shown = "```{code-block} text\n:class: output\n\n42\n```\n"
    assert source[0] == text.replace("print(42)\n```\n", f"print(42)\n```\n\n{shown}")


def test_words_of_other_fields_are_found():
    """By the site's search, which knows the words that are on a page, whole and in any case."""
    words = set(re.findall(r"\w+", " ".join(page.read_text() for page in PAGES[1:]).lower()))
    expected = {
        "ais", "annealer", "autologistic", "boltzmann", "bootnet", "coniii", "crf", "dca", "dimod",
        "ergm", "hopfield", "isingfit", "maxent", "mpf", "mrf", "plmdca", "potts", "qubo", "rbm",
        "statnet",
    }  # fmt: skip
    assert expected <= words


def test_figures_of_benchmarks_are_in_the_tables_that_their_commands_write():
    data = ROOT / "docs" / "_data"
    tables = {"benchmark": "step_time", "density": "density_nltcs"}
    rows = re.findall(
        r"^\*\*(.+)\*\*\n: (?s:.*?)`(?:make|python)\s+(?:benchmarks/)?(\w+)",
        (ROOT / "docs" / "benchmarks.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 10
    for figures, script in rows:
        text = (data / f"{tables.get(script, script)}.md").read_text()
        for figure in re.findall(r"-?\d*\.\d+", figures):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", text), (script, figure)


def test_all_code_on_pages_is_run():
    fences = re.compile(r"^ *```+(\{code-block\} *)?(\w+)", re.MULTILINE)
    for page in PAGES:
        languages = {match[2] for match in fences.finditer(page.read_text())}
        assert languages <= {"python", "text"}, page


def test_every_module_has_a_page_and_every_short_name_a_link():
    index = (ROOT / "docs" / "api" / "index.md").read_text()
    for module in MODULES:
        page = ROOT / "docs" / "api" / f"{module.split('.')[1]}.md"
        text = page.read_text()
        assert f"automodule:: {module}\n" in text
        for name in public_names(module) if ":no-members:" in text else ():
            assert len(re.findall(rf":: (?:{module}\.)?{name}$", text, re.MULTILINE)) == 1, name
        assert f"\n{page.stem}\n" in index
    for name in pyro_rm.__all__:
        assert name == "__version__" or f"`pyro_rm.{name}`" in index, name


def test_references_lead_to_where_a_name_is_documented():
    pytest.importorskip("sphinx")
    extension = importlib.import_module("public_names")
    for name, place in {
        "pyro_rm.RatioMatchingLoss": "pyro_rm.infer.RatioMatchingLoss",
        "pyro_rm.losses.ratio_matching_loss.RatioMatchingLoss": "pyro_rm.infer.RatioMatchingLoss",
        "pyro_rm.estimate": "pyro_rm.estimators.estimate",
        "pyro_rm.energies.ising.IsingEnergy": "pyro_rm.energies.IsingEnergy",
        "Energy": "pyro_rm.energy_protocol.Energy",
        "torch.Tensor": None,
    }.items():
        assert extension.documented_name(name) == place


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


# Names of types in signatures, and of results: there is nothing to run. The data set needs a file.
NOT_RUN = {"CalibratedPosterior", "Context", "CsvTable", "EffectiveModel", "Energy", "ego_small"}


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
    "GraphTerm", "LogLikelihood", "MarkovKernel", "MarkovStep", "NetworkFit", "Objective",
    "PlaneDensity", "Proposal", "ReadOff", "Target", "Terms", "TrainingResult", "default_step",
    "estimate", "estimate_terms",
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


# Numbers in prose that no command measures: versions, identifiers, and what a sentence defines.
GIVEN = {
    "README.md": {"0.16", "3.0", "0.4", "4.11", "1.23", "2.0"},  # versions of others, the license
    "docs/coming_from.md": {"0.4", ".05"},  # IsingFit; the least p of nineteen shuffles
    "docs/get_started.md": {"6.93"},  # ten coin flips, which a block prints
    "docs/index.md": {"3.10", "2.0"},  # Python, the license
    "docs/recipes.md": {"0.23", "1.0"},  # ArviZ
    # papers on arXiv; how often the midpoint tells two normals apart; the size of couplings
    "docs/theory.md": {"2402.10095", "2506.05310", "2605.26850", "2306.09332", "69 %", "0.3"},
}
MEASURED = re.compile(
    r"(?<![\w.])-?\d*\.\d+(?!\.?\d*\w)"
    r"|\b\d+(?:\.\d+)? ?(?:%|(?:seconds?|minutes?|hours?|s|ms|MB|GB|nats?|times)\b)"
)
COMMAND_OR_DATE = re.compile(r"`(?:python|make|CI=)[^`]*`|20\d\d-\d\d-\d\d|_data/")
CODE = re.compile(r"^```(?:python|text)\n.*?^```", re.DOTALL | re.MULTILINE)
NOT_PROSE = re.compile(r"\$\$[^$]*\$\$|`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|https?:\S+")


def unsupported_numbers(text):
    """Numbers in the prose of sections that name neither a command nor the day of a run."""
    sections = re.split(r"^(?=#+ )", CODE.sub("", text), flags=re.MULTILINE)
    bare = (NOT_PROSE.sub("", s) for s in sections if not COMMAND_OR_DATE.search(s))
    return {number for section in bare for number in MEASURED.findall(section)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_numbers_in_prose_have_a_command_or_a_date(page):
    name = str(page.relative_to(ROOT))
    assert unsupported_numbers(page.read_text()) == GIVEN.get(name, set())


def test_numbers_without_a_command_are_found():
    text = "# A\nIt took 12 s, and 0.4 nats.\n# B\nA gain of 3 %. `python benchmarks/b.py`\n"
    assert unsupported_numbers(text) == {"12 s", "0.4"}
    assert unsupported_numbers(text + "## C\n2 minutes\n```python\nx = 0.5\n```\n") == {
        "12 s", "0.4", "2 minutes"
    }  # fmt: skip
