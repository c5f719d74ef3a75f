"""What is lost by not using the likelihood: errors beside the exact likelihood's."""

import torch
from _style import out

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel
from pyro_rm.energies import IsingEnergy
from pyro_rm.evaluation import log_partition

NUM_SITES, NUM_DATA, NUM_REPEATS = 8, 500, 20
NUM_ENTRIES = NUM_SITES * (NUM_SITES - 1)
OBJECTIVES = ["pseudolikelihood", "ratio_matching", "minimum_probability_flow"]


def fit(data: torch.Tensor, objective: str | None) -> IsingEnergy:
    """Minimize an objective, or minus the exact log-likelihood if None."""
    energy = IsingEnergy(NUM_SITES, states=(-1, 1))
    optimizer = torch.optim.LBFGS(energy.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        if objective is None:
            value = energy(data).mean() + log_partition(energy)
        else:
            value = pyro_rm.estimate(energy, data, objective=objective).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return energy


def main() -> None:
    """Write the table."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    errors: dict[str | None, list[float]] = {}
    losses: dict[str | None, list[float]] = {}
    for _ in range(NUM_REPEATS):
        couplings = 0.3 * torch.randn(NUM_SITES, NUM_SITES).triu(1)
        truth = NormalizedModel(Ising(couplings + couplings.mT, states=(-1, 1)))
        data, test = truth.sample((NUM_DATA,)), truth.sample((20_000,))
        for objective in [None, *OBJECTIVES]:
            energy = fit(data, objective)
            with torch.no_grad():
                error = (energy.couplings - couplings - couplings.mT).square().sum()
                fitted = NormalizedModel(EnergyModel(energy))
                lost = (truth.log_prob(test) - fitted.log_prob(test)).mean()
            errors.setdefault(objective, []).append(float(error) / NUM_ENTRIES)
            losses.setdefault(objective, []).append(float(lost))
    rows = ["| fitted by | error of a coupling | nats lost a datum |", "|---|---|---|"]
    for objective, squares in errors.items():
        name = objective.replace("_", " ") if objective else "exact likelihood"
        error, lost = (sum(squares) / NUM_REPEATS) ** 0.5, sum(losses[objective]) / NUM_REPEATS
        rows.append(f"| {name} | {error:.4f} | {lost:.4f} |")
    (out() / "precision.md").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
