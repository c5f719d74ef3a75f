"""At which temperature each method of the RMwGGIS paper learns a distribution it could represent.

A random distribution of five bits is fitted by a free energy for each state, with the exact
expectation over the data, so that what is left is the method. If the model is the data at
temperature kappa, log q is a line in log p of slope 1 / kappa. Prints slope, correlation and KL
divergence, as learned and with the energy multiplied by kappa: means over seeds.
"""

import argparse
import statistics

import torch
from torch import Tensor, nn
from tqdm import trange

import pyro_rm
from pyro_rm import Target
from pyro_rm.energies import restore_temperature
from pyro_rm.enumeration import states_at
from pyro_rm.infer import RatioMatchingLoss, warmup_cosine

SPACE = pyro_rm.StateSpace(5)
STATES = states_at(SPACE, torch.arange(SPACE.num_states))
LOSSES = {
    "full ratio matching, Eq. 3": pyro_rm.full_ratio_matching(),
    "full squared ratio, Eq. 4": pyro_rm.full_squared_ratio(),
    "RMwRAND": pyro_rm.rmwrand(3),
    "RMwGGIS unbiased, Eq. 7": pyro_rm.rmwggis(3),
    "RMwGGIS biased, Eq. 12": pyro_rm.rmwggis(3, biased=True),
    "pyro_rm, default": RatioMatchingLoss(num_neighbors=3),
}


class TableEnergy(nn.Module):
    """A free energy for each state, multilinear in between: its Taylor gaps are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.state_space = SPACE
        self.table = nn.Parameter(torch.zeros(SPACE.num_states))

    def forward(self, x: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        each = torch.where(STATES.bool(), x[..., None, :], 1 - x[..., None, :])
        return each.prod(-1) @ self.table


def fitted(loss: RatioMatchingLoss, p: Tensor, num_steps: int) -> TableEnergy:
    """The energy that a loss settles at, for data that are all states with weights."""
    energy = TableEnergy()
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
    schedule = warmup_cosine(optimizer, num_steps, num_warmup_steps=0)
    for _ in range(num_steps):
        optimizer.zero_grad()
        (p @ loss.estimator(Target.of(energy, SPACE), STATES)).backward()
        optimizer.step()
        schedule.step()
    return energy


@torch.no_grad()
def compare(energy: nn.Module, p: Tensor, kappa: float) -> dict[str, float]:
    """Slope and correlation of log q in log p, and KL divergences."""
    q = (-energy(STATES)).log_softmax(0)
    restored = (-kappa * energy(STATES)).log_softmax(0)
    covariance = torch.cov(torch.stack([p.log(), q]))
    return {
        "slope": float(covariance[0, 1] / covariance[0, 0]),
        "correlation": float(torch.corrcoef(torch.stack([p.log(), q]))[0, 1]),
        "KL": float(p @ (p.log() - q)),
        "KL, energy * kappa": float(p @ (p.log() - restored)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    names = ["slope", "correlation", "KL", "KL, energy * kappa"]
    print(f"| method | kappa | {' | '.join(names)} |\n" + "|---" * 6 + "|")
    for method, loss in LOSSES.items():
        biased = method.endswith("Eq. 12")
        kappa = restore_temperature(TableEnergy(), loss.estimator.objective).inverse_temperature
        rows = []
        for seed in trange(arguments.num_seeds, desc=method, leave=False):
            torch.manual_seed(seed)
            p = torch.randn(SPACE.num_states).softmax(0)
            rows.append(compare(fitted(loss, p, arguments.steps), p, float(kappa)))
        means = [f"{statistics.mean(row[name] for row in rows):.4f}" for name in names]
        print(f"| {method} | {'none' if biased else kappa:} | {' | '.join(means)} |")


if __name__ == "__main__":
    main()
