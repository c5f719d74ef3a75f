"""Restricted Boltzmann machines by persistent chains: a pool, of which each step moves some.

    python benchmarks/persistent_chains.py FILE.npz [--pool 512 4096] [--seconds 60] [--peer]

FILE holds train and test (bits packed along rows have their number under D), or x, of which the
first --num-train rows are the training part and the last 2000 the test. Prints a line a pool: test
log-likelihood (exact, or both ends of its bracket) after so many processor seconds of training.
--peer fits the same machine by ebmkit's persistent chains, too (``pip install ebmkit``), with its
buffer of the same size, and judges both alike.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import pyro
import torch
from torch import Tensor

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import RBMEnergy
from pyro_rm.evaluation import log_likelihood
from pyro_rm.infer import train


def read(path: Path, num_train: int) -> tuple[Tensor, Tensor]:
    """Training and test data."""
    with np.load(path, allow_pickle=False) as archive:
        keys = ("train", "test") if "train" in archive.files else ("x",)
        parts = [archive[key] for key in keys]
        if "D" in archive.files:
            parts = [np.unpackbits(p, axis=1, count=int(archive["D"])) for p in parts]
    data = [torch.tensor(p).float() for p in parts]
    if len(data) == 1:
        return data[0][:num_train], data[0][-2000:]
    return data[0], data[1]


def fit(x: Tensor, num_hidden: int, pool: int, seconds: float, rate: float) -> RBMEnergy:
    """A machine after so many processor seconds; the learning rate falls linearly to zero."""
    energy = RBMEnergy(x.shape[1], num_hidden)
    share = x.mean(0).clamp(0.005, 0.995)
    energy.visible_bias.data.copy_(share.logit())

    def model(batch: Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(batch)):
            pyro.sample("x", EnergyModel(energy), obs=batch)

    pyro.clear_param_store()
    loss = pyro_rm.ContrastiveDivergence(persistent=True, num_chains=pool)
    module = loss(model, lambda batch: None)
    optimizer = torch.optim.Adam(energy.parameters(), lr=rate, betas=(0.5, 0.999))
    start = time.process_time()
    passed = 0.0

    def step_loss(batch: Tensor) -> Tensor:
        nonlocal passed
        passed = (time.process_time() - start) / seconds
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.0, 1 - passed)
        return module(batch) / len(batch)

    with pyro.validation_enabled(False):
        while passed < 1:
            train(step_loss, optimizer, x, num_steps=200, batch_size=512, progress=False)
    return energy


def fit_peer(x: Tensor, num_hidden: int, pool: int, seconds: float, rate: float) -> RBMEnergy:
    """The same by ebmkit: its machine, chains and loss; our optimizer, start and schedule."""
    from ebm import ContrastiveDivergence, GibbsSampler, ReplayBuffer
    from ebm.nets import RBM

    machine = RBM(x.shape[1], num_hidden)
    share = x.mean(0).clamp(0.005, 0.995)
    machine.b.data.copy_(share.logit())
    buffer = ReplayBuffer(pool, (x.shape[1],), init_fn=lambda shape: torch.rand(shape).round())
    loss = ContrastiveDivergence(GibbsSampler(steps=1), buffer)
    optimizer = torch.optim.Adam(machine.parameters(), lr=rate, betas=(0.5, 0.999))
    start, passed = time.process_time(), 0.0
    while passed < 1:
        batch = x[torch.randint(len(x), (512,))]
        optimizer.zero_grad()
        loss(machine, batch).loss.backward()
        optimizer.step()
        passed = (time.process_time() - start) / seconds
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.0, 1 - passed)
    energy = RBMEnergy(x.shape[1], num_hidden)
    with torch.no_grad():
        energy.weight.copy_(machine.W.mT.reshape(energy.weight.shape))
        energy.visible_bias.copy_(machine.b)
        energy.bias.copy_(machine.c)
        apart = (energy(x[:9]) - energy(x[:1])) - (machine(x[:9]) - machine(x[:1]))
        assert apart.abs().max() < 1e-3
    return energy


def main() -> None:
    """One line a pool and package."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pool", type=int, nargs="+", default=[512, 4096, 16384])
    parser.add_argument("--num-hidden", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--num-train", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="also by ebmkit, beside it")
    options = parser.parse_args()
    x, test = read(options.data, options.num_train)
    ways = {"pyro_rm": fit} | ({"ebmkit": fit_peer} if options.peer else {})
    for pool, (name, way) in product(options.pool, ways.items()):
        torch.manual_seed(options.seed)
        energy = way(x, options.num_hidden, pool, options.seconds, options.rate)
        found = log_likelihood(energy, test, num_chains=256, progress=False)
        ends = sorted((found.mean, found.optimistic_mean))
        text = f"{options.data.stem}, {name}, pool {pool}, seed {options.seed}"
        print(f"{text}: {ends[0]:.3f} to {ends[1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
