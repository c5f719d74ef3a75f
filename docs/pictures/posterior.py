"""Coverage of intervals in the program of the tutorial on posteriors."""

import warnings

import matplotlib.pyplot as plt
import torch
from _page import run_until
from _style import COLORS, out

from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.infer import calibrate

NUM_SETS = 60
SITES = {"couplings": 10, "fields": 5}


def main() -> None:
    """Repeat the simulation, count, draw."""
    names = run_until("tutorials/posterior.md", "truth")
    warnings.simplefilter("error")
    covered: dict[str, dict[str, float]] = {
        "uncalibrated, w = 1": {},
        "weight only": {},
        "calibrated": {},
    }
    for seed in range(NUM_SETS):
        torch.manual_seed(1 + seed)
        truth = {"couplings": 0.3 * torch.randn(10), "fields": 0.3 * torch.randn(5)}
        model = Ising(names["coupling_matrix"](truth["couplings"]), truth["fields"], states=(-1, 1))
        data = NormalizedModel(model).sample((300,))
        posterior = calibrate(names["program"], (data,), progress=False)
        for site, size in SITES.items():
            # the prior is weak: at w = 1 the posterior is narrower by a factor of sqrt(w)
            scalar = posterior.uncalibrated[site]
            center = scalar.mean(0)
            plain = center + (scalar - center) * posterior.weight**0.5
            for name, draws in zip(covered, (plain, scalar, posterior.draws[site]), strict=True):
                low, high = draws.quantile(torch.tensor([0.05, 0.95]), dim=0)
                inside = ((low < truth[site]) & (truth[site] < high)).float().sum()
                covered[name][site] = covered[name].get(site, 0.0) + float(inside) / size / NUM_SETS
    figure, axis = plt.subplots(figsize=(6, 2.6))
    for offset, (site, size) in enumerate(SITES.items()):
        error = 1.96 * (0.9 * 0.1 / (NUM_SETS * size)) ** 0.5
        axis.axvspan(100 * (0.9 - error), 100 * (0.9 + error), color=COLORS[offset], alpha=0.12)
        for place, name in enumerate(covered):
            axis.plot(100 * covered[name][site], place, "os"[offset], color=COLORS[offset],
                      label=site if place == 0 else None)  # fmt: skip
    axis.set_yticks(range(len(covered)), list(covered))
    axis.invert_yaxis()
    axis.margins(y=0.3)
    axis.set(xlabel="coverage of nominal 90 % intervals, %")
    axis.legend(loc="lower left")
    figure.savefig(out() / "posterior.png")


if __name__ == "__main__":
    main()
