"""Who votes like whom on what: a network from a table of yes, no and blank, with intervals.

Takes any CSV with a header and columns of 0, 1 and blank; columns of text are set aside.
Without --data it simulates a small parliament. No row is dropped for its blanks. Saves
votes.png and results.json.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import pandas as pd
import pyro
import torch

from pyro_rm.datasets import read_csv_table
from pyro_rm.networks import IsingNetwork
from pyro_rm.networks.plots import plot_intervals, plot_network

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def simulated_parliament(num_members: int = 400) -> pd.DataFrame:
    """Votes on eight motions: two blocs follow a party line, one motion is free; 5 % blank."""
    party = torch.rand(num_members, 1) < 0.5
    loyal = torch.rand(num_members, 8) < torch.tensor([0.8] * 4 + [0.65] * 3 + [0.5])
    yes = torch.where(loyal, party, ~party).double()
    yes[torch.rand(yes.shape) < 0.05] = torch.nan
    names = [f"motion {number}" for number in range(1, 8)] + ["free vote"]
    return pd.DataFrame(yes.numpy(), columns=names)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="CSV of 0, 1 and blank, with a header")
    parser.add_argument("--selection", default="ebic", choices=["ebic", "held_out"])
    parser.add_argument("--ridge", type=float, default=1.0, help="bounds separated votes")
    parser.add_argument("--level", type=float, default=0.9, help="of the intervals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.data is None:
        table = simulated_parliament(200 if arguments.smoke else 400)
    else:
        read = read_csv_table(arguments.data)
        table = pd.DataFrame(read.values.numpy(), columns=read.columns)
        if read.labels:
            print(f"set aside, as text: {', '.join(read.labels)}")
    start = time.perf_counter()
    network = IsingNetwork(
        selection=arguments.selection, ridge=arguments.ridge, num_fills=3 if arguments.smoke else 10
    ).fit(table)
    graph = network.to_networkx(level=arguments.level)
    results = {
        "num_rows": len(table),
        "num_blanks": network.num_missing_,
        "seconds": time.perf_counter() - start,
        "edges": [{"between": [a, b], **edge} for a, b, edge in graph.edges(data=True)],
    }
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6))
    plot_network(graph, left)
    plot_intervals(graph, right)
    right.set_title(f"couplings with {arguments.level:.0%} intervals")
    figure.tight_layout()
    figure.savefig(arguments.out / "votes.png", dpi=120)
    print(
        f"{results['num_rows']} rows, {results['num_blanks']} blanks, {len(results['edges'])} "
        f"couplings, {results['seconds']:.1f} s; saved {arguments.out / 'votes.png'}"
    )


if __name__ == "__main__":
    main()
