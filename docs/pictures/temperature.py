"""What each objective learns of a known distribution: log q against log p, and a table."""

import matplotlib.pyplot as plt
import torch
from _style import out

import pyro_rm
from pyro_rm.enumeration import states_at
from pyro_rm.objectives import as_objective

OBJECTIVES = ["pseudolikelihood", "ratio_matching", "minimum_probability_flow", "squared_ratio"]
SPACE = pyro_rm.StateSpace(5)
STATES = states_at(SPACE, torch.arange(32)).double()


def fit(objective: str, p: torch.Tensor) -> torch.Tensor:
    """Log probabilities of a table of 32 energies, fitted to the whole distribution."""
    table = torch.zeros(32, dtype=torch.float64, requires_grad=True)
    place = 2.0 ** torch.arange(4, -1, -1, dtype=torch.float64)

    def energy(x: torch.Tensor) -> torch.Tensor:
        return table[(x @ place).long()]

    optimizer = torch.optim.LBFGS(
        [table], max_iter=2000, line_search_fn="strong_wolfe", tolerance_change=0
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        terms = pyro_rm.estimate(
            energy, STATES, objective=objective, num_neighbors="all", state_space=SPACE
        )
        value = (p * terms).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (-table.detach()).log_softmax(0)


def main() -> None:
    """Draw, and write the table."""
    torch.manual_seed(0)
    log_p = (1.5 * torch.randn(32, dtype=torch.float64)).log_softmax(0)
    folder = out()
    rows = [
        "| objective | κ stated | slope of log q on log p | KL(p‖q), nats |",
        "|---|---|---|---|",
    ]
    figure, axes = plt.subplots(2, 2, figsize=(5.4, 5.4), sharey=True, sharex=True)
    for axis, name in zip(axes.flat, OBJECTIVES, strict=True):
        log_q = fit(name, log_p.exp())
        centered = log_p - log_p.mean(), log_q - log_q.mean()
        slope = float((centered[0] * centered[1]).sum() / centered[0].square().sum())
        divergence = float((log_p.exp() * (log_p - log_q)).sum())
        kappa = as_objective(name).kappa
        rows.append(f"| {name.replace('_', ' ')} | {kappa:g} | {slope:.4f} | {divergence:.1e} |")
        axis.plot(log_p, log_p, color="0.8", lw=3)
        axis.plot(log_p, log_q, ".")
        axis.set(title=name.replace("_", " "))
    figure.supxlabel("log p, true")
    figure.supylabel("log q, learned")
    figure.savefig(folder / "temperature.png")
    (folder / "temperature.md").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
