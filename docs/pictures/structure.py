"""Couplings of the tutorial on spins: true, all pairs fitted, and selected."""

import matplotlib.pyplot as plt
from _page import run_until
from _style import out

from pyro_rm.networks import IsingNetwork


def main() -> None:
    """Run the page until its network is fitted, fit all pairs beside it, draw."""
    names = run_until("tutorials/structure.md", "errors")
    everything = IsingNetwork(selection=None).fit(names["snapshots"])
    true = names["couplings"].numpy()
    panels = {
        "true": true,
        "all pairs": everything.couplings_,
        "selected and refitted": names["network"].couplings_,
    }
    figure, axes = plt.subplots(1, 3, figsize=(9, 3))
    for axis, (title, matrix) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(matrix, cmap="RdBu", vmin=-0.35, vmax=0.35)
        error = ((matrix - true) ** 2).mean() ** 0.5
        axis.set(title=title + (f", error {error:.4f}" if error else ""), xlabel="spin")
    axes[0].set_ylabel("spin")
    figure.colorbar(image, ax=axes[-1], label="coupling", shrink=0.8)
    figure.savefig(out() / "structure.png")


if __name__ == "__main__":
    main()
