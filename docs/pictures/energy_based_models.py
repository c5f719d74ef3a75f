"""What an energy-based model is, in three sites; what its normalization costs."""

import itertools
import time

import matplotlib.pyplot as plt
import torch
from _style import COLORS, out

import pyro_rm
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.energies import MLPEnergy
from pyro_rm.evaluation import log_partition


def cube(axis: plt.Axes) -> None:
    """The eight states of three sites: neighbors are joined, areas are probabilities."""
    couplings = torch.tensor([[0.0, 1.6, -0.8], [1.6, 0.0, 0.9], [-0.8, 0.9, 0.0]])
    model = NormalizedModel(Ising(couplings, torch.tensor([-0.4, -0.9, 0.2])))
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    place = states @ torch.tensor([[1.0, 0.0], [0.45, 0.38], [0.0, 1.0]])
    datum = 3
    for i, j in itertools.combinations(range(8), 2):
        if (states[i] - states[j]).abs().sum() == 1:
            here = datum in (i, j)
            axis.plot(
                *place[[i, j]].T.numpy(),
                color=COLORS[1] if here else "0.7",
                lw=2.5 if here else 1,
                zorder=1,
            )
    p = model.log_prob(states).exp()
    color = [COLORS[1] if i == datum else COLORS[0] for i in range(8)]
    axis.scatter(*place.T.numpy(), s=(2600 * p).numpy(), c=color, zorder=2)
    for state, xy in zip(states, place.numpy(), strict=True):
        axis.annotate(
            "".join(f"{int(s)}" for s in state),
            xy,
            (11, 11),
            textcoords="offset points",
            zorder=3,
            bbox={"color": "white", "alpha": 0.8, "pad": 0.5},
        )
    axis.set(title="three sites: a datum (red) and its neighbors", aspect="equal")
    axis.set_axis_off()
    axis.margins(0.2)


def seconds(function: object) -> float:
    """The best of three runs."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def cost(axis: plt.Axes) -> None:
    """Seconds for one gradient: by all states, and by all neighbors of 100 data."""
    sizes, exact, estimated = [4, 6, 8, 10, 12, 14, 16, 18], [], []
    for size in sizes:
        energy = MLPEnergy(size, (64, 64))
        data = torch.bernoulli(torch.full((100, size), 0.5))
        exact.append(
            seconds(lambda: (log_partition(energy) + energy(data).mean()).backward())  # noqa: B023
        )
        estimated.append(
            seconds(lambda: pyro_rm.estimate(energy, data, num_neighbors="all").mean().backward())  # noqa: B023
        )
    axis.semilogy(sizes, exact, "o-", label="likelihood: all states")
    axis.semilogy(sizes, estimated, "o-", label="all neighbors of 100 data")
    axis.set(xlabel="sites", ylabel="seconds per gradient", xticks=sizes)
    axis.set(title="the same network, one core")
    axis.legend()


def main() -> None:
    """Draw."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    figure, axes = plt.subplots(2, 1, figsize=(5, 7))
    cube(axes[0])
    cost(axes[1])
    figure.savefig(out() / "energy_based_models.png")


if __name__ == "__main__":
    main()
