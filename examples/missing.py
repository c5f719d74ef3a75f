"""Fill the blanks of a table of votes, and see how often that is right.

Some known cells are hidden. An Ising model is fitted to what is left, its missing cells filled by
the model itself as it learns, and imputes the hidden cells with probabilities. Beside it stand the
column's mode, and a logistic regression of each column on the others, their blanks filled by modes.
The strength of each method's penalty is chosen on other hidden cells of the training part.

--data takes a CSV of 0, 1 and blank with a header, such as house-votes-84; a first column of text
becomes one more site if it has two values. Without it a small parliament is simulated. Saves
missing.png and results.json.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI
from pyro.infer.autoguide import AutoDelta
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.infer import impute

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Imputer = Callable[[Tensor, float], Tensor]  # data with NaN and a strength to probabilities of 1


def simulated_parliament(num_members: int) -> Tensor:
    """Ten votes of two blocs, 5 % blank."""
    party = torch.rand(num_members, 1) < 0.5
    loyal = torch.rand(num_members, 10) < torch.linspace(0.95, 0.6, 10)
    votes = torch.where(loyal, party, ~party).float()
    return votes.masked_fill(torch.rand(votes.shape) < 0.05, torch.nan)


def read(path: Path) -> tuple[Tensor, int]:
    """The table as floats with NaN, and how many leading columns are not votes."""
    table = pd.read_csv(path)
    first = table.iloc[:, 0]
    is_text = not pd.api.types.is_numeric_dtype(first)
    if is_text:
        table.isetitem(0, (first == first.iloc[0]).astype(float))
    return torch.tensor(table.to_numpy(dtype="float32")), int(is_text)


class IsingImputer:
    """An Ising model on spins -1 and 1, fitted to incomplete data."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps

    def __call__(self, x: Tensor, strength: float) -> Tensor:
        """Probabilities of 1, in the shape of the data."""
        size = x.shape[1]
        spins, space = 2 * x - 1, pyro_rm.StateSpace(size, states=(-1, 1))
        row, column = torch.triu_indices(size, size, 1)

        def energy_of(pairs: Tensor, fields: Tensor) -> PairwiseFunction:
            matrix = torch.zeros(size, size).index_put((row, column), pairs)
            return PairwiseFunction(matrix + matrix.mT, fields, space)

        def model(spins: Tensor) -> None:
            prior = dist.Normal(0.0, strength)
            pairs = pyro.sample("pairs", prior.expand([len(row)]).to_event(1))
            fields = pyro.sample("fields", dist.Normal(0.0, 1.0).expand([size]).to_event(1))
            with pyro.plate("members", len(spins)):
                ebm = EnergyModel(energy_of(pairs, fields), active=~spins.isnan())
                pyro.sample("votes", ebm, obs=spins)

        pyro.clear_param_store()
        guide = AutoDelta(model)
        optimizer = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.1 ** (1 / self.num_steps)})
        svi = SVI(model, guide, optimizer, loss=pyro_rm.RatioMatchingLoss())
        pairs, fields = torch.zeros(len(row)), torch.zeros(size)
        kept = range(self.num_steps // 2, self.num_steps)
        for step in range(self.num_steps):
            svi.step(spins)
            if step in kept:  # fills are noisy: average
                found = guide.median()
                pairs += found["pairs"].detach() / len(kept)
                fields += found["fields"].detach() / len(kept)
        ebm = EnergyModel(energy_of(pairs, fields))
        return (impute(ebm, spins, num_fills=100, num_steps=10).mean(0) + 1) / 2


def column_mode(x: Tensor, strength: float) -> Tensor:
    """The share of ones in each column."""
    return x.nanmean(0).expand(x.shape)


def logistic_regression(x: Tensor, strength: float) -> Tensor:
    """Each column on all others, in which blanks are the column's mode."""
    filled = torch.where(x.isnan(), x.nanmean(0).round(), x).numpy()
    result = np.zeros(x.shape)
    for site in range(x.shape[1]):
        others = np.delete(filled, site, 1)
        known = ~x[:, site].isnan().numpy()
        classifier = LogisticRegression(C=strength, max_iter=1000)
        classifier.fit(others[known], x[known, site].numpy())
        result[:, site] = classifier.predict_proba(others)[:, 1]
    return torch.tensor(result, dtype=x.dtype)


def hide(x: Tensor, share: float, first: int) -> tuple[Tensor, Tensor]:
    """Data with a share of the known cells hidden, and which these are."""
    hidden = (torch.rand_like(x) < share) & ~x.isnan()
    hidden[:, :first] = False
    return x.masked_fill(hidden, torch.nan), hidden


def scores(probability: Tensor, truth: Tensor) -> dict[str, float]:
    """Accuracy and mean log loss of hidden cells."""
    safe = probability.clamp(0.005, 0.995)
    log_loss = -(truth * safe.log() + (1 - truth) * (1 - safe).log()).mean()
    right = (probability > 0.5) == (truth > 0.5)
    return {"accuracy": float(right.float().mean()), "log_loss": float(log_loss)}


def run(
    x: Tensor, first: int, methods: dict[str, tuple[Imputer, list[float]]], share: float
) -> dict[str, dict[str, object]]:
    """One split: choose each strength inside the training part, then impute."""
    visible, hidden = hide(x, share, first)
    inner, inside = hide(visible, share, first)
    found: dict[str, dict[str, object]] = {}
    for name, (impute_by, strengths) in methods.items():
        start, chosen = time.perf_counter(), strengths[0]
        if len(strengths) > 1:
            losses = [
                scores(impute_by(inner, s)[inside], visible[inside])["log_loss"] for s in strengths
            ]
            chosen = strengths[int(np.argmin(losses))]
        probability = impute_by(visible, chosen)[hidden]
        found[name] = {
            **scores(probability, x[hidden]),
            "strength": chosen,
            "seconds": time.perf_counter() - start,
            "probability": probability.tolist(),
            "truth": x[hidden].tolist(),
        }
    return found


def plot(splits: list[dict[str, dict[str, object]]], path: Path) -> None:
    """Accuracy of each split, and calibration of all probabilities."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for number, name in enumerate(splits[0]):
        accuracy = [split[name]["accuracy"] for split in splits]
        left.bar(number, np.mean(accuracy), color=f"C{number}", alpha=0.5)
        left.scatter([number] * len(accuracy), accuracy, color=f"C{number}", s=12)
        probability = np.concatenate([split[name]["probability"] for split in splits])
        truth = np.concatenate([split[name]["truth"] for split in splits])
        bins = np.minimum((probability * 8).astype(int), 7)
        used = [k for k in range(8) if (bins == k).sum() >= 10]
        points = [(probability[bins == k].mean(), truth[bins == k].mean()) for k in used]
        right.plot(*zip(*points, strict=True), "o-", color=f"C{number}", label=name)
    left.set_xticks(range(len(splits[0])), list(splits[0]))
    left.set(ylabel="hidden cells imputed right", ylim=(0.4, 1.0))
    right.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
    right.set(xlabel="imputed probability of 1", ylabel="share that is 1")
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="CSV of 0, 1 and blank, with a header")
    parser.add_argument("--share", type=float, default=0.1, help="of known cells to hide")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="a small run, for tests")
    arguments = parser.parse_args()
    pyro.set_rng_seed(arguments.seed)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="sklearn")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.data is None:
        x, first = simulated_parliament(100 if arguments.smoke else 400), 0
    else:
        x, first = read(arguments.data)
    steps, strengths = (30, [0.3]) if arguments.smoke else (300, [0.1, 0.2, 0.4])
    methods: dict[str, tuple[Imputer, list[float]]] = {
        "Ising model": (IsingImputer(steps), strengths),
        "column mode": (column_mode, [1.0]),
        "logistic regression": (logistic_regression, [0.03, 0.3, 3.0]),
    }
    count = 2 if arguments.smoke else arguments.splits
    splits = [run(x, first, methods, arguments.share) for _ in range(count)]
    results: dict[str, dict[str, object]] = {}
    for name in methods:
        accuracy = [split[name]["accuracy"] for split in splits]
        log_loss = [split[name]["log_loss"] for split in splits]
        results[name] = {
            "accuracy": float(np.mean(accuracy)),
            "worst_accuracy": float(np.min(accuracy)),
            "log_loss": float(np.mean(log_loss)),
            "worst_log_loss": float(np.max(log_loss)),
            "strengths": [split[name]["strength"] for split in splits],
            "seconds": float(np.mean([split[name]["seconds"] for split in splits])),
        }
        row = results[name]
        print(f"{name:20s} accuracy {row['accuracy']:.4f}, log loss {row['log_loss']:.4f}")
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
    plot(splits, arguments.out / "missing.png")
    print(f"{count} splits of {len(x)} rows; saved {arguments.out / 'missing.png'}")


if __name__ == "__main__":
    main()
