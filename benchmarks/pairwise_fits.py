"""A joint fit of all couplings beside scikit-learn's logistic regressions, one a site.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_NUM_THREADS=1 \\
        python -m benchmarks pairwise_fits

Both in double precision, with one thread, the same penalty, and down to a gradient of 1e-6; median
processor seconds of alternating runs. The joint fit has half as many couplings: each is in two of
the regressions, which disagree about it. Variables named above change what scikit-learn's linear
algebra takes this machine for. Needs scikit-learn.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pyro_rm.estimators import Estimator
from pyro_rm.networks.fitter import Fitter
from pyro_rm.networks.observations import Observations
from pyro_rm.state_space import StateSpace

SIZES = ((10_000, 50, 0.0), (40_000, 50, 0.0), (2_000, 200, 1.0))
SOLVERS = ("lbfgs", "newton-cholesky")


def words(num_data: int, num_sites: int) -> np.ndarray:
    """Sparse bits with a common drive, 3 to 16 % of them ones."""
    random = np.random.default_rng(0)
    drive, own = (
        random.standard_normal((num_data, 1)),
        random.standard_normal((num_data, num_sites)),
    )
    return 0.2**0.5 * drive + 0.8**0.5 * own > np.linspace(1.0, 1.9, num_sites)


def factors(num_data: int, num_sites: int) -> np.ndarray:
    """Bits of rates about a half with five factors."""
    random = np.random.default_rng(0)
    loadings = 0.35 * random.standard_normal((5, num_sites))
    level = random.standard_normal((num_data, 5)) @ loadings
    noise = random.standard_normal((num_data, num_sites))
    return level + noise > 0.3 * random.standard_normal(num_sites)


def joint(bits: np.ndarray, ridge: float) -> float:
    """Fit all pairs jointly; returns the objective."""
    space, x = StateSpace(bits.shape[1]), torch.tensor(bits, dtype=torch.float64)
    pairs = torch.triu_indices(space.num_sites, space.num_sites, 1).T
    fitter = Fitter(Estimator(num_neighbors="all"), ridge=ridge)
    return fitter(Observations.of(x, space), pairs, covariance=False).objective


def by_site(bits: np.ndarray, ridge: float, solver: str) -> None:
    """Regress each site on the others."""
    from sklearn.linear_model import LogisticRegression

    x, strength = bits.astype(np.float64), 1 / ridge if ridge else np.inf
    for site in range(x.shape[1]):
        model = LogisticRegression(C=strength, solver=solver, tol=1e-6, max_iter=10_000)
        model.fit(np.delete(x, site, 1), bits[:, site])


def seconds(function: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(bits: np.ndarray, ridge: float, repeats: int) -> dict[str, float]:
    """Median seconds of each way, in turn."""
    ways: dict[str, Callable[[], object]] = {"joint": lambda: joint(bits, ridge)}
    for solver in SOLVERS:
        ways[solver] = lambda solver=solver: by_site(bits, ridge, solver)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            times[name].append(seconds(way))
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    """Print the table; write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="small data, for tests")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # scikit-learn's of convergence and of options
    rows = []
    sizes = ((200, 5, 1.0),) if options.smoke else SIZES
    print("| data | rows x sites | penalty | joint, s | " + ", s | ".join(SOLVERS), end=", s | ")
    print("joint / fastest |\n|---|---|---|---|" + "---|" * (1 + len(SOLVERS)))
    for num_data, num_sites, ridge in sizes:
        for make in (words, factors):
            found = compare(make(num_data, num_sites), ridge, options.repeats)
            ratio = found["joint"] / min(found[solver] for solver in SOLVERS)
            rows.append({"data": make.__name__, "rows": num_data, "sites": num_sites, **found})
            cells = [make.__name__, f"{num_data} x {num_sites}", f"{ridge:g}"]
            cells += [f"{found[name]:.3f}" for name in ("joint", *SOLVERS)]
            print("| " + " | ".join([*cells, f"{ratio:.2f}"]) + " |", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
