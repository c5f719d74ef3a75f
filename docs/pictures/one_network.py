"""How well the model of the tutorial on one network fits."""

import matplotlib.pyplot as plt
from _page import run_until
from _style import out


def main() -> None:
    """Run the page until the model is fitted, then draw."""
    model = run_until("tutorials/one_network.md", "model")["model"]
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
    model.plot_goodness_of_fit(axes)
    figure.savefig(out() / "one_network.png")


if __name__ == "__main__":
    main()
