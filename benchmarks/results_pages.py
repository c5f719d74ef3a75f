"""Four tables that others have analyzed, by what the library says of a network.

Writes a file of tables for each page of results to ``docs/_data``, and its pictures to
``docs/figures``. The data are not part of the project: ``--data`` names a folder with
house_votes_84.csv, scotus_rehnquist_1994_2004.csv, lsat6.csv and mobility.csv, a column a variable,
answers 0, 1 or blank.
"""

import argparse
import datetime
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch

from pyro_rm.energies import IsingEnergy
from pyro_rm.evaluation import log_partition
from pyro_rm.networks import IsingNetwork, compare, predictability, resample

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1] / "docs"
VOTES = [
    "infants", "water", "budget", "physicians", "El Salvador", "religion", "satellites", "contras",
    "MX", "immigration", "synfuels", "education", "superfund", "crime", "duty free", "South Africa",
]  # fmt: skip
PLACES = ["village", "outside", "talk", "cinema", "shopping", "club", "meeting", "hospital"]


class Page:
    """What one page of results includes: a file of tables, and figures.

    :param name: Of the page.
    :param command: What computes it.
    """

    def __init__(self, name: str, command: str) -> None:
        self.name = name
        self.text = [f"`{command}` ({datetime.date.today():%d %B %Y}):"]

    def say(self, *lines: str) -> None:
        """Add a paragraph."""
        self.text.append("\n".join(lines))

    def table(self, frame: pd.DataFrame, digits: int = 2) -> None:
        """Add a table, its numbers rounded."""
        cells = [[_shown(value, digits) for value in row] for row in frame.itertuples(index=False)]
        rows = [list(frame.columns), ["---"] * frame.shape[1], *cells]
        self.say(*("| " + " | ".join(row) + " |" for row in rows))

    def figure(self, *drawn: Callable[[Any], Any], width: float = 4.4) -> None:
        """Save a figure whose parts are drawn by methods of the library, each on an axis."""
        style = DOCS / "_static" / "matplotlibrc"
        with plt.rc_context(fname=style):
            shape = (width * len(drawn), 4.0)
            figure, axes = plt.subplots(1, len(drawn), figsize=shape, squeeze=False)
            for draw, axis in zip(drawn, axes[0], strict=True):
                draw(axis)
            figure.savefig(DOCS / "figures" / f"results_{self.name}.png")
            plt.close(figure)

    def write(self) -> None:
        """Write the file of tables."""
        text = "\n\n".join(self.text) + "\n"
        (DOCS / "_data" / f"results_{self.name}.md").write_text(text)
        print(f"--- {self.name}\n\n{text}", flush=True)


def _shown(value: Any, digits: int) -> str:
    if not isinstance(value, float | np.floating):
        return str(value)
    if np.isnan(value):
        return "none"
    if value >= 1e4:
        return f"{value:.0e}"
    return f"{value:.1g}" if 0 < value < 10**-digits else f"{value:.{digits}f}"


def facts(table: pd.DataFrame) -> str:
    """How large a table is, and what it lacks."""
    blanks = int(table.isna().to_numpy().sum())
    complete = len(table.dropna())
    return (
        f"{len(table)} rows, {table.shape[1]} columns, {blanks} blanks, {complete} complete rows."
    )


def full(table: pd.DataFrame, **options: Any) -> IsingNetwork:
    """All pairs, or those of a given graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separated pairs, which tables show
        return IsingNetwork(selection=None, random_state=0, **options).fit(table)


def evidence_of(page: Page, network: IsingNetwork, num_edges: int = 10) -> None:
    """What is decided, and the strongest edges that are there."""
    evidence = network.edge_evidence()
    counts = Counter(evidence.verdicts())
    page.say(
        f"Of {len(network.edges_)} pairs {counts['present']} have a Bayes factor above 10 for an "
        f"edge, {counts['absent']} one above 10 against it, {counts['undecided']} neither; "
        f"{len(network.separated_)} are separated."
    )
    frame = evidence.table
    frame = frame[frame.probability.notna()]
    frame = frame.sort_values("coupling", key=lambda c: -c.abs()).head(num_edges)
    page.table(frame)


def predicted(page: Page, network: IsingNetwork, table: pd.DataFrame) -> None:
    """How well the others predict each column."""
    page.say("How well the others predict each column, on the same rows:")
    page.table(predictability(network, table))


def both(network: Any) -> Any:
    """Couplings of all pairs, then the sum of absolute couplings of each column."""
    couplings = network.couplings_
    pairs = couplings[np.triu_indices(len(couplings), 1)]
    return np.concatenate([pairs, np.abs(couplings).sum(0)])


def stability(page: Page, network: IsingNetwork, table: pd.DataFrame, samples: int) -> None:
    """Of couplings and of strengths, where cases are dropped."""
    dropped = resample(network, table, both, scheme="drop_cases", num_samples=samples)
    count = dropped.values.shape[1] - table.shape[1]
    found = []
    for name, part in (("couplings", slice(count)), ("strengths", slice(count, None))):
        own = replace(dropped, estimate=dropped.estimate[part], values=dropped.values[:, part])
        found.append(f"{own.stability():.1f} for {name}")
    page.say(
        f"Correlation-stability coefficient, {samples} samples a share of dropped cases: "
        f"{' and '.join(found)}."
    )


def likely(table: pd.DataFrame) -> tuple[IsingEnergy, float]:
    """Couplings and fields of maximum likelihood, and the mean log-likelihood of a row.

    By sums over all states, so for few columns without blanks.
    """
    values = torch.as_tensor(table.to_numpy(dtype=np.float64))
    energy = IsingEnergy(values.shape[1]).double()
    optimizer = torch.optim.LBFGS(
        list(energy.parameters()), max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = energy(values).mean() + log_partition(energy)
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    return energy, -closure()


def beside_likelihood(page: Page, network: IsingNetwork, table: pd.DataFrame) -> None:
    """Estimates without a partition function beside those of maximum likelihood."""
    energy, exact = likely(table)
    first, second = network.edges_.T
    best = energy.couplings[first, second].detach().numpy()
    values = torch.as_tensor(table.to_numpy(dtype=np.float64)).to(network.energy_.weight)
    own = float((-network.energy_(values) - log_partition(network.energy_)).mean())
    gaps = np.abs(network.weights_ - best) / network.standard_errors_
    rates = table.mean()
    alone = float((rates * np.log(rates) + (1 - rates) * np.log(1 - rates)).sum())
    page.say(
        f"Beside maximum likelihood, by sums over {2 ** table.shape[1]} states: couplings differ "
        f"by {np.nanmedian(gaps):.2f} standard errors (median; {np.nanmax(gaps):.2f} at most). "
        f"Mean log-likelihood of a row: {own:.4f} of the network, {exact:.4f} the largest, "
        f"{alone:.4f} without couplings."
    )


def checked(page: Page, what: str, network: IsingNetwork, table: pd.DataFrame) -> None:
    """Samples from exact draws beside the data."""
    page.say(what, "", *(f"- {line}" for line in str(network.check_fit(table)).splitlines()))


def tests(page: Page, networks: Sequence[IsingNetwork], tables: Any, permutations: int) -> None:
    """Whether two groups differ."""
    found = compare(*networks, data=tables, num_permutations=permutations)
    page.say(
        f"All edges, Wald: χ² = {found.all_edges.statistic:.1f} on "
        f"{found.all_edges.degrees_of_freedom}, p = {_shown(found.all_edges.p_value, 3)}. By "
        f"{permutations} permutations: largest difference p = "
        f"{found.permuted_maximum.p_value:.3f}, global strength p = "
        f"{found.permuted_strength.p_value:.3f}."
    )
    frame = found.table.sort_values("p_value").head(5)
    columns = ["source", "target", "difference", "lower", "upper", "p_adjusted", "p_permuted"]
    page.table(frame[columns], 3)


def votes(page: Page, folder: Path, samples: int) -> None:
    """Votes in the House of Representatives, 1984, with blanks."""
    table = pd.read_csv(folder / "house_votes_84.csv")
    party, table = table.pop("party"), table.set_axis(VOTES, axis=1)
    page.say(facts(table))
    network = full(table)
    evidence_of(page, network)
    selected = IsingNetwork(random_state=0).fit(table)
    page.say(f"The extended BIC selects {len(selected.edges_)} edges.")
    predicted(page, network, table)
    stability(page, network, table, samples)
    graph = selected.to_networkx()
    groups = tuple(table[party == name] for name in ("democrat", "republican"))
    page.say(
        f"Democrats ({len(groups[0])}) less Republicans ({len(groups[1])}), on the selected edges:"
    )
    tests(page, [full(group, graph=graph) for group in groups], groups, samples)
    checked(page, "The selected network as a whole, beside the complete rows:", selected, table)
    checked(page, "The network of all pairs as a whole:", network, table)
    page.figure(network.edge_evidence().plot, selected.plot)


def scotus(page: Page, folder: Path, samples: int) -> None:
    """Votes of the Supreme Court's nine justices, 1994 to 2004."""
    table = pd.read_csv(folder / "scotus_rehnquist_1994_2004.csv")
    term, table = table.pop("term"), table.rename(columns={"O.Connor": "O'Connor"})
    complete = table.dropna()
    page.say(facts(table))
    whole, part = full(table), full(complete)
    rows = pd.DataFrame({
        "rows": [f"all {len(table)}", f"{len(complete)} complete"],
        **{
            verdict: [Counter(n.edge_evidence().verdicts())[verdict] for n in (whole, part)]
            for verdict in ("present", "absent", "undecided")
        },
        "mean standard error": [np.nanmean(n.standard_errors_) for n in (whole, part)],
    })  # fmt: skip
    page.say("Edges by their Bayes factor, above 10 for or against:")
    page.table(rows, 3)
    known = ~np.isnan(whole.standard_errors_ + part.standard_errors_)
    gap = np.abs(whole.weights_ - part.weights_)[known]
    page.say(
        f"Couplings of all rows and of complete ones differ by {gap.mean():.3f} in the mean, "
        f"{gap.max():.3f} at most. All rows:"
    )
    evidence_of(page, whole)
    beside_likelihood(page, part, complete)
    predicted(page, whole, table)
    stability(page, whole, table, samples)
    early = term <= 1999
    groups = table[early], table[~early]
    page.say(f"Terms 1994 to 1999 ({early.sum()}) less 2000 to 2004 ({(~early).sum()}):")
    tests(page, [full(group) for group in groups], groups, samples)
    checked(page, "The network of all pairs as a whole, beside the complete rows:", whole, table)
    page.figure(whole.edge_evidence().plot, whole.plot_edges)


def items(name: str, names: Sequence[str]) -> Callable[[Page, Path, int], None]:
    """Answers to few items, without blanks."""

    def page_of(page: Page, folder: Path, samples: int) -> None:
        table = pd.read_csv(folder / f"{name}.csv").set_axis(list(names), axis=1)
        page.say(facts(table))
        network = full(table)
        evidence_of(page, network, 28)
        beside_likelihood(page, network, table)
        predicted(page, network, table)
        stability(page, network, table, samples)
        checked(page, "The network as a whole:", network, table)
        page.figure(network.edge_evidence().plot, network.plot_edges)

    return page_of


PAGES = {
    "votes": votes,
    "scotus": scotus,
    "lsat": items("lsat6", [f"item {number}" for number in range(1, 6)]),
    "mobility": items("mobility", PLACES),
}


def main() -> None:
    """Write the tables and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the four files")
    parser.add_argument("--pages", nargs="+", choices=sorted(PAGES), default=list(PAGES))
    parser.add_argument("--samples", type=int, default=200, help="of resamples and permutations")
    arguments = parser.parse_args()
    for name in arguments.pages:
        page = Page(name, "python benchmarks/results_pages.py --data DIR")
        PAGES[name](page, arguments.data, arguments.samples)
        page.write()


if __name__ == "__main__":
    main()
