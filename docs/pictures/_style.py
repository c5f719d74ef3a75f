"""What the pictures share: where they go, and a style that reads on light and dark pages."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLORS = ("#31688e", "#d1495b", "#35b779", "#8d6a9f", "#e3a32e")
plt.rcParams.update(
    {
        "axes.prop_cycle": plt.cycler(color=COLORS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.constrained_layout.use": True,
        "figure.dpi": 110,
        "font.size": 10,
        "legend.frameon": False,
        "savefig.bbox": "tight",
    }
)


def out() -> Path:
    """The folder to write to, from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args().out
