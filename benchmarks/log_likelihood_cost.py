"""What ``log_likelihood`` costs, and how wide its bracket is, at its defaults and by hand.

``python benchmarks/log_likelihood_cost.py > docs/_data/log_likelihood_cost.md``: three energies
fitted to bits that come in pairs, in processor seconds of one thread.
"""

import time
import warnings

import torch

import pyro_rm
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy
from pyro_rm.evaluation import annealing_budgets, log_likelihood

COARSE = {"num_chains": 256, "inverse_temperatures": 300}


def fitted(energy: torch.nn.Module, data: torch.Tensor) -> torch.nn.Module:
    """An energy after 200 steps."""
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        batch = data[torch.randint(len(data), (128,))]
        pyro_rm.estimate(energy, batch).mean().backward()
        optimizer.step()
    return energy


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    annealing_budgets.clock = time.process_time  # what other processes take is none of the budget
    print("| sites | energy | how | processor seconds | log-likelihood | width of the bracket |")
    print("|---|---|---|---|---|---|")
    for num_sites in (16, 20, 64):
        torch.manual_seed(0)
        ones = torch.bernoulli(torch.full((1000, num_sites // 2), 0.3))
        data = ones.repeat_interleave(2, -1)
        for energy in (
            IsingEnergy(num_sites),
            RBMEnergy(num_sites, 32),
            MLPEnergy(num_sites, (64,)),
        ):
            fitted(energy, data)
            for name, options in (("defaults", {}), ("256 chains, 300 temperatures", COARSE)):
                start = time.process_time()
                result = log_likelihood(energy, data, progress=False, **options)
                seconds = time.process_time() - start
                exact = result.annealed is None
                width = "exact" if exact else f"{abs(result.annealed.gap):.3f}"
                how = "exact sum" if exact else name
                row = (num_sites, type(energy).__name__, how, f"{seconds:.2f}")
                cells = [str(cell) for cell in (*row, f"{result.mean:.3f}", width)]
                print(f"| {' | '.join(cells)} |", flush=True)
                if exact:
                    break


if __name__ == "__main__":
    main()
