"""What the program of *Get started* learned: couplings beside the true ones."""

import matplotlib.pyplot as plt
from _page import run_until
from _style import COLORS, out


def main() -> None:
    """Run the page until its model is fitted, then draw."""
    names = run_until("get_started.md", "losses")
    true, learned = names["couplings"], names["energy"].couplings.detach()
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), width_ratios=(1, 1, 1.15))
    bound = float(true.abs().max())
    for axis, matrix, title in zip(axes, (true, learned), ("true", "learned"), strict=False):
        image = axis.imshow(matrix, cmap="RdBu", vmin=-bound, vmax=bound)
        axis.set(title=title, xlabel="voter", ylabel="voter", xticks=range(10), yticks=range(10))
    figure.colorbar(image, ax=axes[1], label="coupling", shrink=0.8)
    axes[2].axline((0, 0), slope=1, color="0.8", lw=3)
    axes[2].plot(true.triu(1).flatten(), learned.triu(1).flatten(), ".", color=COLORS[0])
    axes[2].set(xlabel="true coupling", ylabel="learned coupling")
    figure.savefig(out() / "get_started.png")


if __name__ == "__main__":
    main()
