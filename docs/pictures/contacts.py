"""The map of the tutorial on contacts."""

import matplotlib.pyplot as plt
import torch
from _page import run_until
from _style import out


def main() -> None:
    """Run the page, draw strengths against true contacts, and the precision."""
    names = run_until("tutorials/contacts.md", "curve")
    strengths, contacts = names["strengths"], names["contacts"].float()
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    both = strengths.triu(1) / strengths.max() + contacts.tril(-1)
    axes[0].imshow(both, cmap="Greys", vmin=0, vmax=1)
    axes[0].set(xlabel="position", ylabel="position", title="found above, true below")
    curve = names["curve"][:40]
    axes[1].plot(torch.arange(1, 41), curve)
    axes[1].axvline(int(contacts.triu(6).sum()), color="0.8")
    axes[1].set(xlabel="number of strongest pairs", ylabel="share that are contacts")
    axes[1].set_ylim(0, 1.05)
    figure.savefig(out() / "contacts.png")


if __name__ == "__main__":
    main()
