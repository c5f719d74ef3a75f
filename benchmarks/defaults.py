"""Why the defaults of RatioMatchingLoss are what they are: every choice, from two starts.

Twelve sites with a known distribution (an RBM with strong random weights), an MLP energy, four
neighbors a datum, the same steps for all. Prints the exact KL divergence that each combination of
objective, proposal and design reaches, mean (worst) over seeds, from three starts: the usual one, a
model of another distribution of the same kind sharpened fourfold, and a model of the complements
of the data sharpened fourfold, whose modes are far from all data.
"""

import argparse
import itertools
import statistics

import torch
from tqdm import tqdm

import pyro_rm
from pyro_rm.energies import MLPEnergy, RBMEnergy, restore_temperature
from pyro_rm.enumeration import states_at

SPACE = pyro_rm.StateSpace(12)
STATES = states_at(SPACE, torch.arange(SPACE.num_states))
STARTS = ("usual", "another", "complements")
OBJECTIVES = ["pseudolikelihood", "ratio_matching", "minimum_probability_flow", "squared_ratio"]
SAMPLING = [
    ("uniform", "proportional_to_size"),
    ("uniform", "with_replacement"),
    ("gradient", "proportional_to_size"),
    ("gradient", "with_replacement"),
]


def train(energy: MLPEnergy, p: torch.Tensor, steps: int, rate: float, **options: object) -> None:
    """Fit an energy to draws of the states."""
    optimizer = torch.optim.Adam(energy.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        data = STATES[torch.multinomial(p, 128, replacement=True)]
        optimizer.zero_grad()
        pyro_rm.estimate(energy, data, **options).mean().backward()
        torch.nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _random_log_probs() -> torch.Tensor:
    truth = RBMEnergy(12, 6)
    torch.nn.init.normal_(truth.weight, std=1.5)
    return (-truth(STATES)).log_softmax(0).detach()


def divergence(
    objective: str, proposal: str, design: str, start: str, seed: int, steps: int
) -> float:
    """KL divergence in nats of a fitted model at the objective's temperature; inf if it failed."""
    torch.manual_seed(seed)
    log_p, other = (_random_log_probs() for _ in range(2))
    energy = MLPEnergy(12, (64, 64))
    if start != "usual":
        wrong = other if start == "another" else log_p.flip(0)
        train(energy, wrong.exp(), 300, 3e-3, num_neighbors="all")
        with torch.no_grad():
            energy.layers[-1].weight *= 4
    options = {"objective": objective, "proposal": proposal, "design": design}
    try:
        train(energy, log_p.exp(), steps, 3e-3, num_neighbors=4, **options)
    except ValueError:  # energies or contributions overflowed
        return float("inf")
    log_q = (-restore_temperature(energy, objective)(STATES)).log_softmax(0)
    return float((log_p.exp() * (log_p - log_q)).sum())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--num-seeds", type=int, default=3)
    arguments = parser.parse_args()
    rows = list(itertools.product(OBJECTIVES, SAMPLING))
    cells: dict[tuple[int, str], list[float]] = {}
    for (i, (objective, (proposal, design))), start, seed in tqdm(
        list(itertools.product(enumerate(rows), STARTS, range(arguments.num_seeds)))
    ):
        kl = divergence(objective, proposal, design, start, seed, arguments.steps)
        cells.setdefault((i, start), []).append(kl)
    print(
        "| objective | proposal | design | KL, usual start | KL, bad start |\n|---|---|---|---|---|"
    )
    for i, (objective, (proposal, design)) in enumerate(rows):
        values = [cells[i, start] for start in STARTS]
        text = " | ".join(f"{statistics.mean(v):.4f} ({max(v):.4f})" for v in values)
        print(f"| {objective} | {proposal} | {design} | {text} |")


if __name__ == "__main__":
    main()
