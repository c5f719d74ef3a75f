"""Networks from files: ``python -m pyro_rm ising votes.csv --out DIR``."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import networkx as nx
import torch

from pyro_rm._version import __version__
from pyro_rm.datasets import CsvTable, read_alignment, read_csv_table
from pyro_rm.datasets.csv_tables import BLANKS
from pyro_rm.networks import IsingNetwork, PottsNetwork
from pyro_rm.networks.intervals import couplings_of

_EDGES = ("source", "target", "coupling", "standard_error", "lower", "upper", "separated")


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    :param arguments: Words of the command line; those of the process if None.
    :returns: 0, 1 if a check found the model wrong, or 2 if a file or an option is wrong.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _say_warning
        try:
            code: int = options.command(options)
        except (OSError, ValueError, TypeError) as error:
            print(f"error: {error}", file=sys.stderr)
            if "columns" in str(error):
                print(
                    "hint: --drop COLUMN ... sets columns aside, --code WORD=NUMBER ... says what "
                    "words stand for, --words COLUMN ... takes words as categories (potts).",
                    file=sys.stderr,
                )
            return 2
        except KeyboardInterrupt:
            print("Interrupted: nothing more is written.", file=sys.stderr)
            return 130
    return code


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"note: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pyro_rm", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[Any], int], about: str) -> argparse.ArgumentParser:
        own = commands.add_parser(name, help=about, description=about)
        own.set_defaults(command=command)
        own.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
        own.add_argument("--seed", type=int, default=0)
        return own

    ising = add("ising", _ising, "a network of two-valued columns from a CSV table")
    _add_table_options(ising)
    ising.add_argument(
        "--selection", choices=("ebic", "held_out", "none"), default="ebic",
        help="how couplings are selected; none: all pairs",
    )  # fmt: skip
    potts = add("potts", _potts, "couplings of an alignment, or of a CSV table of codes")
    _add_table_options(potts)
    potts.add_argument("--num-edges", type=int, default=1000, help="strongest pairs to write")
    graphs = add("graphs", _graphs, "learn from graphs (GraphML, GML, graph6, edge lists) and draw")
    graphs.add_argument("files", type=Path, nargs="+", metavar="FILE")
    graphs.add_argument("--num-samples", type=int, default=100)
    graphs.add_argument("--steps", type=int, default=700)
    check = add("check", _check, "whether a fitted network's samples look like a table")
    check.add_argument("network", type=Path, help="what ising or potts wrote: network.pt")
    _add_table_options(check)
    return parser


def _add_table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--drop", nargs="+", default=[], metavar="COLUMN", help="set aside")
    parser.add_argument(
        "--words", nargs="+", default=[], metavar="COLUMN", help="whose words are categories"
    )
    parser.add_argument("--weights", metavar="COLUMN", help="numbers of rows that each row counts")
    parser.add_argument("--group", metavar="COLUMN", help="a network for each of its values")
    parser.add_argument("--separator", help="what separates cells; found if not given")
    parser.add_argument(
        "--code", nargs="+", default=[], metavar="WORD=NUMBER", help="such as yes=1 no=0"
    )


def _read(options: Any) -> Iterator[tuple[Path, Any, Any]]:
    """For each group a folder, its table, and the weights of its rows."""
    codes = dict(_code(pair) for pair in options.code)
    labels = [*options.drop, *options.words, *([options.group] if options.group else [])]
    table = read_csv_table(
        options.file, labels=labels, codes=codes or None, separator=options.separator
    )
    weights = None
    if options.weights is not None:
        if options.weights not in table.columns:
            raise ValueError(
                f"Expected weights in one of the columns {table.columns}, but got "
                f"{options.weights!r}."
            )
        weights = table.values[:, table.columns.index(options.weights)]
        table = table.drop([options.weights])
    if options.group is None:
        yield options.out, _with_words(table, options.words), weights
        return
    groups = table.labels[options.group]
    for group in sorted(set(groups)):
        rows = torch.tensor([own == group for own in groups])
        words = {name: list(compress(cells, rows)) for name, cells in table.labels.items()}
        part = _with_words(CsvTable(table.values[rows], table.columns, words), options.words)
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in group) or "blank"
        yield options.out / name, part, None if weights is None else weights[rows]


def _with_words(table: CsvTable, words: list[str]) -> Any:
    """The table with columns of words beside the numbers, a data frame; without any, as it is."""
    if not words:
        return table
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ValueError("Expected pandas for --words: pip install pandas.") from error
    index = range(len(table.labels[words[0]]))
    frame = DataFrame(table.to_numpy(), index, table.columns)
    for name in words:
        frame[name] = [None if cell.lower() in BLANKS else cell for cell in table.labels[name]]
    return frame


def _code(pair: str) -> tuple[str, float]:
    word, found, number = pair.rpartition("=")
    if not found:
        raise ValueError(f"Expected --code WORD=NUMBER, such as yes=1, but got {pair!r}.")
    return word, float(number)


def _ising(options: Any) -> int:
    selection = None if options.selection == "none" else options.selection
    for folder, table, weights in _read(options):
        network = IsingNetwork(selection=selection, random_state=options.seed)
        _write(network.fit(table, sample_weight=weights), table, folder)
    return 0


def _potts(options: Any) -> int:
    if not {".csv", ".tsv"} & {suffix.lower() for suffix in options.file.suffixes}:
        alignment = read_alignment(options.file)
        network = PottsNetwork(random_state=options.seed).fit(alignment)
        _write(network, alignment, options.out, options.num_edges)
        return 0
    for folder, table, weights in _read(options):
        network = PottsNetwork(random_state=options.seed)
        _write(network.fit(table, sample_weight=weights), table, folder, options.num_edges)
    return 0


def _write(network: Any, data: Any, folder: Path, num_edges: int | None = None) -> None:
    """Edges, results, a report, a figure where matplotlib is installed, and the network."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = couplings_of(network, 0.9)
    rows.sort(key=lambda row: -abs(row["coupling"]))
    with (folder / "edges.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, _EDGES, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[:num_edges])
    results = {
        "num_rows": network.num_rows_,
        "num_variables": network.n_features_in_,
        "num_blanks": network.num_missing_,
        "num_edges": len(rows),
        "num_separated": len(network.separated_),
        "score": network.score(data),
        "columns": [str(name) for name in network.feature_names_in_],
        "pyro_rm": __version__,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=2))
    report = "\n".join(_report(network, results, rows))
    (folder / "report.txt").write_text(report + "\n")
    network.save(folder / "network.pt")
    try:
        import matplotlib
    except ImportError:
        print("note: no figure, as matplotlib is not installed.", file=sys.stderr)
    else:
        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
        network.plot(axes[0], num_edges=100)
        network.plot_edges(axes[1])
        figure.savefig(folder / "network.png", dpi=150)
        pyplot.close(figure)
    print(report)
    print(f"Written to {folder}: edges.csv, results.json, report.txt, network.pt, network.png")


def _report(network: Any, results: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        f"{results['num_variables']} variables, {results['num_rows']} rows, "
        f"{results['num_blanks']} blank cells."
    )
    yield f"{results['num_edges']} couplings; mean log pseudolikelihood {results['score']:.4f}."
    if len(network.separated_):
        yield f"{len(network.separated_)} of them have no finite estimate (separation)."
    yield "The strongest, with 90 % intervals where there are some:"
    for row in rows[:10]:
        ends = (
            f" ({row['lower']:.3f} to {row['upper']:.3f})" if row["lower"] == row["lower"] else ""
        )
        yield f"  {row['source']} - {row['target']}: {row['coupling']:.3f}{ends}"


def _graphs(options: Any) -> int:
    from pyro_rm.graphs import GraphGenerator

    torch.manual_seed(options.seed)
    graphs = [graph for path in options.files for graph in _read_graphs(path)]
    generator = GraphGenerator(num_steps=options.steps, progress=True).fit(graphs)
    drawn = generator.sample(options.num_samples)
    options.out.mkdir(parents=True, exist_ok=True)
    for number, graph in enumerate(drawn):
        nx.write_graphml(graph, options.out / f"graph_{number:04d}.graphml")

    def means(some: list[nx.Graph]) -> dict[str, float]:
        return {
            "nodes": sum(map(len, some)) / len(some),
            "edges": sum(graph.number_of_edges() for graph in some) / len(some),
        }

    results = {"num_graphs": len(graphs), "data": means(graphs), "samples": means(drawn)}
    (options.out / "results.json").write_text(json.dumps(results, indent=2))
    print(f"{len(graphs)} graphs learned, {len(drawn)} drawn and written to {options.out}.")
    print(f"Mean nodes and edges: {results['data']} in the files, {results['samples']} drawn.")
    return 0


def _read_graphs(path: Path) -> list[nx.Graph]:
    """The graphs of a file, by its suffix."""
    if path.suffix in (".g6", ".s6"):
        read: Any = nx.read_graph6 if path.suffix == ".g6" else nx.read_sparse6
        found = read(path)
        return found if isinstance(found, list) else [found]
    readers = {".graphml": nx.read_graphml, ".gml": nx.read_gml}
    return [readers.get(path.suffix, nx.read_edgelist)(path)]


def _check(options: Any) -> int:
    code = 0
    for folder, table, _ in _read(options):
        network = _load(options.network)
        network.random_state = options.seed
        found = network.check_fit(table)
        print(found)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(f"{found}\n")
        results = {
            "ok": found.ok,
            "share_outside": found.share_outside,
            "log_likelihood": found.log_likelihood,
            "independent_log_likelihood": found.independent_log_likelihood,
        }
        (folder / "results.json").write_text(json.dumps(results, indent=2))
        code = code or int(not found.ok)
    return code


def _load(path: Path) -> Any:
    """A saved network of either kind."""
    try:
        return IsingNetwork.load(path)
    except ValueError as error:
        try:
            return PottsNetwork.load(path)
        except ValueError:
            raise error from None


if __name__ == "__main__":
    sys.exit(main())
