"""Tables of the results that ``examples/synthetic.py`` has left in a folder.

For each number of bits: the negative log-likelihood minus the entropy, mean (worst) over seeds;
exponential discrepancies over their floor, which draws of the data themselves exceed one time in
a hundred; the time of training. Where there are several methods, also the likelihoods of energies
brought to the data's temperature, and the paired differences from the first method. Cells that
were not run are left open.
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Results = dict[tuple[str, str], list[dict[str, Any]]]


def load(folder: Path) -> dict[int, Results]:
    """Results by number of bits, data set and method, in the order of seeds."""
    tables: dict[int, Results] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.glob("*/results.json")):
        result = json.loads(file.read_text())
        tables[result["bits"]][result["dataset"], result["method"]].append(result)
    return tables


def excess(results: list[dict[str, Any]], key: str = "nll") -> str:
    """Mean (worst) of a negative log-likelihood minus the entropy."""
    values = [r[key] - r["entropy"] for r in results if r[key] is not None]
    return f"{statistics.mean(values):.4f} ({max(values):.4f})" if values else "—"


def difference(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> str:
    """Mean and standard error of the paired difference of likelihoods, over common seeds."""
    by_seed = {r["seed"]: r["nll"] for r in first}
    values = [r["nll"] - by_seed[r["seed"]] for r in second if r["seed"] in by_seed]
    if not values:
        return "—"
    if len(values) == 1:
        return f"{values[0]:+.4f}"
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.4f} ± {error:.4f}"


def over_floor(results: list[dict[str, Any]]) -> str:
    """Exponential discrepancies over their floor, one a seed."""
    ratios = [
        r["mmd_exponential"] / r["mmd_exponential_floor"] for r in results if "mmd_linear" in r
    ]
    return ", ".join(f"{ratio:.2f}" for ratio in ratios) or "—"


def mean_seconds(results: list[dict[str, Any]]) -> str:
    """Mean seconds of training, on the wall and of the processor."""
    if not results:
        return "—"
    wall, cpu = (statistics.mean(r[key] for r in results) for key in ("seconds", "cpu_seconds"))
    return f"{wall:.0f} / {cpu:.0f}"


def table(title: str, columns: dict[str, Callable[[str], str]], datasets: list[str]) -> str:
    """Data sets by columns."""
    lines = [f"\n{title}\n", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in datasets:
        lines.append(f"| {name} | {' | '.join(cell(name) for cell in columns.values())} |")
    return "\n".join(lines)


def tables(bits: int, results: Results) -> list[str]:
    """One table of all measures for a single method; for several, a table a measure."""
    methods = sorted({method for _, method in results}, key=lambda name: (name != "pyro_rm", name))
    datasets = sorted({name for name, _ in results})
    measures: dict[str, Callable[[str, str], str]] = {
        "NLL minus entropy, mean (worst)": lambda d, m: excess(results[d, m]),
        "the same, energy times kappa": lambda d, m: excess(results[d, m], "nll_restored"),
        "NLL minus that of pyro_rm": lambda d, m: difference(results[d, "pyro_rm"], results[d, m]),
        "exponential MMD / floor, by seed": lambda d, m: over_floor(results[d, m]),
        "seconds, wall / processor": lambda d, m: mean_seconds(results[d, m]),
    }
    if len(methods) == 1:
        del measures["the same, energy times kappa"], measures["NLL minus that of pyro_rm"]
    if not any("mmd_linear" in r for cell in results.values() for r in cell):
        del measures["exponential MMD / floor, by seed"]
    if len(methods) == 1:
        columns = {title: partial(cell, m=methods[0]) for title, cell in measures.items()}
        return [table(f"{methods[0]}, {bits} bits:", columns, datasets)]
    return [
        table(f"{title}, {bits} bits:", {m: partial(cell, m=m) for m in methods}, datasets)
        for title, cell in measures.items()
    ]


def save_gallery(folder: Path, file: Path, bits: int) -> None:
    """The example's figures of the default loss at its first seed, two a row."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    pictures = sorted(folder.glob(f"*-{bits}-pyro_rm-0/densities.png"))
    rows = math.ceil(len(pictures) / 2)
    figure = Figure(figsize=(11, 2.1 * rows), layout="constrained")
    for place, picture in enumerate(pictures, start=1):
        axis = figure.add_subplot(rows, 2, place)
        axis.imshow(imread(picture))
        axis.set_axis_off()
    figure.savefig(file, dpi=100)


def main() -> None:
    """Print the tables of every number of bits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the --out of examples/synthetic.py")
    parser.add_argument("--gallery", type=Path, help="a picture of all sets at --bits, to save")
    parser.add_argument("--bits", type=int, default=32, help="of the gallery")
    arguments = parser.parse_args()
    if arguments.gallery:
        save_gallery(arguments.folder, arguments.gallery, arguments.bits)
    for bits, results in sorted(load(arguments.folder).items()):
        print(*tables(bits, results), sep="\n")


if __name__ == "__main__":
    main()
