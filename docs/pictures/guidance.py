"""Whether to look where the gradient points: noise of the loss's gradient along training runs."""

import matplotlib.pyplot as plt
import torch
from _style import out
from sklearn.datasets import load_digits

import pyro_rm
from pyro_rm.energies import MLPEnergy, RBMEnergy

CHECKPOINTS = [0, 10, 30, 100, 300, 1000]
PROPOSALS = {"uniform": "black", "gradient": "tab:red", "oracle": "tab:blue"}  # as the benchmark's
OPTIONS = {"num_neighbors": 10}


def flat_gradient(energy: torch.nn.Module, x: torch.Tensor, **options: object) -> torch.Tensor:
    """The gradient of the mean loss in all parameters, one vector."""
    loss = pyro_rm.estimate(energy, x, **options).mean()
    parameters = list(energy.parameters())
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def relative_variance(energy: torch.nn.Module, x: torch.Tensor, proposal: str) -> float:
    """Squared error of the sampled gradient over the squared norm of the exact one."""
    exact = flat_gradient(energy, x, num_neighbors="all")
    errors = [
        (flat_gradient(energy, x, proposal=proposal, **OPTIONS) - exact).square().sum()
        for _ in range(20)
    ]
    return float(torch.stack(errors).mean() / exact.square().sum())


def main() -> None:
    """Train both energies, and measure at the checkpoints."""
    torch.manual_seed(0)
    data = torch.tensor(load_digits().data > 7).float()
    figure, axes = plt.subplots(2, 1, figsize=(5, 5.6), sharex=True, sharey=True)
    energies = {"MLP": MLPEnergy(64, (128, 128)), "RBM": RBMEnergy(64, 64)}
    for axis, (name, energy) in zip(axes, energies.items(), strict=True):
        optimizer = torch.optim.Adam(energy.parameters(), lr=3e-3)
        rows: dict[str, list[float]] = {proposal: [] for proposal in PROPOSALS}
        for step in range(CHECKPOINTS[-1] + 1):
            if step in CHECKPOINTS:
                for proposal in PROPOSALS:
                    rows[proposal].append(relative_variance(energy, data[:32], proposal))
            optimizer.zero_grad()
            batch = data[torch.randint(len(data), (128,))]
            pyro_rm.estimate(energy, batch, **OPTIONS).mean().backward()
            optimizer.step()
        for proposal, values in rows.items():
            axis.plot(
                range(len(CHECKPOINTS)), values, "o-", color=PROPOSALS[proposal], label=proposal
            )
        axis.set_xticks(range(len(CHECKPOINTS)), CHECKPOINTS)
        axis.set(
            title=f"{name} on digits", ylabel="relative variance\nof the gradient", yscale="log"
        )
    axes[-1].set_xlabel("training step")
    axes[0].legend()
    figure.savefig(out() / "guidance.png")


if __name__ == "__main__":
    main()
