"""Standard deviation of designs at equal cost, for proposals from uniform to over-peaked.

The sum of 32 summands 10 u^4, u uniform, is estimated from 10 of them, 200 000 times. Beside the
designs of the library stands one that draws without replacement and weighs as if with
replacement, which is biased. Prints Markdown: means and standard deviations for one draw of the
summands, then the ratio of standard deviations over several draws.
"""

import argparse
import statistics

import torch

from pyro_rm.designs import Design, Draw, ProportionalToSize, WithReplacement


class MismatchedWeights(Design):
    """Drawn without replacement, weighed as if with replacement: biased, for comparison only."""

    unbiased = False

    def draw(self, sizes: torch.Tensor, num_draws: int) -> Draw:
        """Successive sampling with the weights of Hansen and Hurwitz."""
        index = torch.multinomial(sizes, num_draws)
        weights = sizes.sum(-1, keepdim=True) / (num_draws * sizes.gather(-1, index))
        return Draw(index.T, weights.T)


DESIGNS = {
    "with replacement": WithReplacement(),
    "mismatched weights": MismatchedWeights(),
    "proportional to size": ProportionalToSize(),
}


def measure(seed: int, num_estimates: int) -> tuple[float, dict[str, list[tuple[float, float]]]]:
    """The true sum, and for each proposal the designs' means and standard deviations."""
    torch.manual_seed(seed)
    summands = 10 * torch.rand(32) ** 4
    noise = torch.randn(32)
    proposals = {
        "uniform": torch.ones(32),
        "good, phi exp(0.3 N(0, 1))": summands * (0.3 * noise).exp(),
        "better, phi exp(0.1 N(0, 1))": summands * (0.1 * noise).exp(),
        "over-peaked, phi cubed": summands**3,
    }
    table: dict[str, list[tuple[float, float]]] = {}
    for name, sizes in proposals.items():
        for design in DESIGNS.values():
            estimates = []
            for _ in range(num_estimates // 200):  # a batch shares its random order
                draw = design.draw(sizes.expand(200, 32), 10)
                estimates.append((summands[draw.candidates] * draw.weights).sum(0))
            estimate = torch.cat(estimates)
            cell = (float(estimate.mean()), float((estimate - summands.sum()).square().mean()))
            table.setdefault(name, []).append((cell[0], cell[1] ** 0.5))
    return float(summands.sum()), table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-estimates", type=int, default=200_000)
    parser.add_argument("--num-sets", type=int, default=60, help="draws of the summands")
    arguments = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    true, table = measure(0, arguments.num_estimates)
    print(f"true sum {true:.2f}; mean / root mean square error\n")
    print(f"| proposal | {' | '.join(DESIGNS)} |\n" + "|---" * (len(DESIGNS) + 1) + "|")
    for name, cells in table.items():
        print(f"| {name} | {' | '.join(f'{mean:.2f} / {error:.2f}' for mean, error in cells)} |")
    sets = [measure(1 + k, arguments.num_estimates // 50)[1] for k in range(arguments.num_sets)]
    print(f"\nerror, proportional to size / with replacement, {len(sets)} draws of the summands\n")
    print("| proposal | mean | lowest | highest |\n|---|---|---|---|")
    for name in table:
        ratios = [cells[name][-1][1] / cells[name][0][1] for cells in sets]
        mean = statistics.mean(ratios)
        print(f"| {name} | {mean:.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")


if __name__ == "__main__":
    main()
