"""A path of l1-penalized joint fits, and regressions of each site along the same path.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_NUM_THREADS=1 \\
        python -m benchmarks penalized_paths

All in double precision, with one thread and warm starts; processor seconds. The joint fits stop
where no slope is further from its bound than 0.004 of the penalty. The regressions stop at their
packages' tolerance of 1e-4, which for scikit-learn left 0.0002 (large penalties) to 0.004 (the
smallest) on *words*, and to 0.01 on *factors*, at two sites each. Regressions of some of the sites
are run, spread evenly, and their time is multiplied. Needs scikit-learn; skglm is compared where it
is installed.
"""

import argparse
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.pairwise_fits import factors, seconds, words
from pyro_rm.estimators import Estimator
from pyro_rm.networks.binary_path import BinaryPath
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.penalized_path import geometric_penalties
from pyro_rm.state_space import StateSpace


def joint(bits: np.ndarray, num_penalties: int) -> tuple[list[float], int]:
    """The penalties and the edges at the last of them."""
    x = torch.tensor(bits, dtype=torch.float64)
    observations = Observations.of(x, StateSpace(x.shape[1]))
    path = BinaryPath(observations, Estimator(num_neighbors="all"), tolerance=4e-3)
    largest = path.largest_penalty()
    penalties = geometric_penalties(largest, ratio=0.01, num_penalties=num_penalties)
    *_, last = path.points(penalties)
    return penalties, len(last.edges)


def scikit_learn(inputs: np.ndarray, output: np.ndarray, penalties: list[float]) -> None:
    """One site on the others; half a joint penalty is on each of a coupling's two directions."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(l1_ratio=1.0, solver="liblinear", warm_start=True, tol=1e-4)
    for penalty in penalties:
        model.C = 2 / (penalty * len(output))
        model.fit(inputs, output)


def skglm(inputs: np.ndarray, output: np.ndarray, penalties: list[float]) -> None:
    """The same by proximal Newton steps on working sets."""
    from skglm import GeneralizedLinearEstimator
    from skglm.datafits import Logistic
    from skglm.penalties import L1
    from skglm.solvers import ProxNewton

    solver = ProxNewton(tol=1e-4, fit_intercept=True, warm_start=True)
    model = GeneralizedLinearEstimator(Logistic(), L1(1.0), solver)
    for penalty in penalties:
        model.penalty.alpha = penalty / 2
        model.fit(inputs, np.where(output, 1.0, -1.0))


def by_site(
    bits: np.ndarray, penalties: list[float], way: Callable[..., None], num_sites: int
) -> float:
    """Processor seconds for all sites, from those of some."""
    x, total = bits.astype(np.float64), bits.shape[1]
    sites = np.linspace(0, total - 1, num_sites).round().astype(int)
    way(np.asfortranarray(np.delete(x, 0, 1)), bits[:, 0], penalties[:2])  # compiles
    spent = 0.0
    for site in sites:
        inputs, output = np.asfortranarray(np.delete(x, site, 1)), bits[:, site]
        spent += seconds(lambda inputs=inputs, output=output: way(inputs, output, penalties))
    return spent * total / num_sites


def main() -> None:
    """Print the table; write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=20, help="sites that are regressed")
    parser.add_argument("--smoke", action="store_true", help="small data, for tests")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # scikit-learn's of convergence and of options
    num_data, num_sites, num_penalties = (200, 5, 3) if options.smoke else (2000, 200, 50)
    ways = [scikit_learn, *([skglm] if importlib.util.find_spec("skglm") else [])]
    names = [way.__name__ for way in ways]
    print("| data | rows x sites | penalties | edges at the last | joint, s |", end="")
    print("".join(f" {name}, s |" for name in names), "joint / fastest |")
    print("|---|---|---|---|---|" + "---|" * (1 + len(ways)))
    rows = []
    for make in (words, factors):
        bits, found = make(num_data, num_sites), {}
        spent = seconds(lambda bits=bits, found=found: found.update(
            zip(("penalties", "edges"), joint(bits, num_penalties), strict=True)
        ))  # fmt: skip
        sites = min(options.sites, num_sites)
        others = [by_site(bits, found["penalties"], way, sites) for way in ways]
        cells = [make.__name__, f"{num_data} x {num_sites}", num_penalties, found["edges"]]
        cells += [f"{each:.1f}" for each in (spent, *others)] + [f"{spent / min(others):.2f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        rows.append({"data": make.__name__, "edges": found["edges"], "joint": spent,
                     **dict(zip(names, others, strict=True))})  # fmt: skip
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
