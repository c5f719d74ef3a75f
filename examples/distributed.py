"""Data-parallel training under torchrun, on any number of processes, resumable with another.

``torchrun --standalone --nproc-per-node 2 examples/distributed.py --out DIR`` fits digits by
DistributedDataParallel: gloo on CPUs, nccl on GPUs. Each process takes its share of every
batch and draws its own neighbors; the first one writes checkpoints, figure and results.
"""

import argparse
import json
import os
import time
from pathlib import Path

import pyro
import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import pyro_rm
from pyro_rm.energies import MLPEnergy
from pyro_rm.infer import train, warmup_cosine


class Loss(nn.Module):
    """The mean estimate of a batch: DistributedDataParallel wants a module that gives the loss."""

    def __init__(self, energy: nn.Module) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The loss."""
        return pyro_rm.estimate(self.energy, x, num_neighbors=10).mean()


def fit(arguments: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Train in this process, together with the others."""
    pyro.set_rng_seed(0)
    images = torch.tensor(load_digits().data > 7).float()[torch.randperm(1797)].to(device)
    training, validation = images[:1437], images[1437:]
    energy = MLPEnergy(64, (128, 128)).to(device)
    loss: nn.Module = Loss(energy)
    if distributed.is_initialized():
        loss = DistributedDataParallel(loss)  # starts from the first process's parameters
        pyro.set_rng_seed(1 + distributed.get_rank())  # other neighbors in each process
    optimizer = torch.optim.Adam(energy.parameters(), lr=3e-3)
    start = time.perf_counter()
    result = train(
        loss,
        optimizer,
        training,
        num_steps=arguments.steps,
        batch_size=128,
        schedule=warmup_cosine(optimizer, arguments.steps, num_warmup_steps=arguments.steps // 10),
        clip_norm=10.0,
        held_out=lambda: pyro_rm.estimate(energy, validation, num_neighbors="all").mean() / 64,
        evaluate_every=max(1, arguments.steps // 10),
        checkpoint=arguments.out / "run.pt",
        checkpoint_every=max(1, arguments.steps // 10),
    )
    return {"held_out": result.held_out, "seconds": time.perf_counter() - start}


def save(results: dict, out: Path) -> None:
    """Write what the run came to."""
    import matplotlib.pyplot as plt

    (out / "results.json").write_text(json.dumps(results, indent=2))
    figure, axes = plt.subplots(figsize=(5, 3))
    axes.plot(*zip(*results["held_out"], strict=True), marker="o")
    axes.set(xlabel="step", ylabel="held-out -log p(site | rest), nats")
    axes.set_title(f"{results['num_processes']} processes")
    figure.tight_layout()
    figure.savefig(out / "distributed.png", dpi=120)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out/distributed"))
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.steps = 20
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    under_torchrun = "WORLD_SIZE" in os.environ
    if under_torchrun:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        results = fit(arguments, device)
        results["num_processes"] = distributed.get_world_size() if under_torchrun else 1
        if not under_torchrun or distributed.get_rank() == 0:
            save(results, arguments.out)
    finally:
        if under_torchrun:
            distributed.destroy_process_group()


if __name__ == "__main__":
    main()
