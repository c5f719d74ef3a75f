"""Ways to fit an energy, by name: the loss of each, its temperature and its budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro.infer import ELBO
from torch import Tensor, nn

import pyro_rm
from pyro_rm.datasets import GrayCodedDensity
from pyro_rm.distributions import EnergyModel
from pyro_rm.infer import NoiseLevels, train, warmup_cosine

NUM_NEIGHBORS, BATCH_SIZE = 10, 128


@dataclass(frozen=True)
class Method:
    """A loss with its budget.

    ``kappa`` is the temperature at which it learns the data, None if none is known. A share
    ``uniform`` of the data is replaced by uniform states: single flips of data never come near
    most of the space, where the energy of a long run may otherwise fall to any depth unseen.
    ``noise_weight`` is that of pairs of noisy data and their level, None for no levels.
    """

    loss: Callable[[], ELBO]
    kappa: float | None = 1.0
    num_steps: int = 6000
    rate: float = 3e-3
    uniform: float = 0.0
    noise_weight: float | None = None

    def levels(self, num_bits: int) -> NoiseLevels | None:
        """Levels of noise, from the data to uniform bits."""
        if self.noise_weight is None:
            return None
        return NoiseLevels.fit(
            torch.zeros(1, num_bits),
            pyro_rm.StateSpace(num_bits),
            noise_weight=self.noise_weight,
        )


METHODS = {
    "pyro_rm": Method(lambda: pyro_rm.RatioMatchingLoss(num_neighbors=NUM_NEIGHBORS)),
    "joint_levels": Method(
        lambda: pyro_rm.RatioMatchingLoss(num_neighbors=NUM_NEIGHBORS), noise_weight=0.3
    ),
    "full_ratio_matching": Method(pyro_rm.full_ratio_matching),
    "full_squared_ratio": Method(pyro_rm.full_squared_ratio, kappa=4.0),
    "rmwggis": Method(lambda: pyro_rm.rmwggis(NUM_NEIGHBORS), kappa=4.0),
    "rmwggis_biased": Method(lambda: pyro_rm.rmwggis(NUM_NEIGHBORS, biased=True), kappa=None),
    "rmwrand": Method(lambda: pyro_rm.rmwrand(NUM_NEIGHBORS), kappa=4.0),
    # a full Gibbs sweep of the chains each step: as many steps as take the time of pyro_rm
    "pcd": Method(
        lambda: pyro_rm.ContrastiveDivergence(persistent=True, num_chains=BATCH_SIZE),
        num_steps=2700,
        rate=1e-3,
    ),
    "pyro_rm_long": Method(
        lambda: pyro_rm.RatioMatchingLoss(num_neighbors=NUM_NEIGHBORS), num_steps=20_000
    ),
}


class Stopwatch:
    """Seconds of a run over all its resumptions, on the wall and of the processor."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._wall

    @property
    def cpu_seconds(self) -> float:
        """Seconds of the processor so far, which do not count what else it was doing."""
        return time.process_time() - self._cpu

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue."""
        self._wall = time.perf_counter() - state["seconds"]
        self._cpu = time.process_time() - state["cpu_seconds"]


def fit(
    energy: nn.Module,
    data: GrayCodedDensity,
    method: Method,
    *,
    num_steps: int,
    watch: Stopwatch,
    half_precision: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1000,
    progress: bool = True,
) -> int:
    """Train an energy in place on an endless stream, from a checkpoint where there is one.

    :param watch: Holds the time it took.
    :param half_precision: Whether hidden layers are computed in bfloat16.
    :returns: Steps taken, less than ``num_steps`` after an interrupt.
    """
    pyro.clear_param_store()
    space = energy.state_space
    levels = method.levels(space.num_sites)

    def model(x: Tensor) -> None:
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, state_space=space, levels=levels), obs=x)

    def guide(x: Tensor) -> None:
        pass

    loss = method.loss()
    total = loss(model, guide)

    def mean(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half_precision):
            return total(x) / len(x)

    optimizer = torch.optim.Adam(energy.parameters(), lr=method.rate)
    result = train(
        mean,
        optimizer,
        lambda step: batch(data, method.uniform),
        num_steps=num_steps,
        schedule=warmup_cosine(optimizer, num_steps, num_warmup_steps=min(200, num_steps // 5)),
        clip_norm=1.0,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        stateful=[watch, *([loss] if hasattr(loss, "state_dict") else [])],
        progress=progress,
    )
    return result.num_steps


def batch(data: GrayCodedDensity, uniform: float) -> Tensor:
    """Draws from the data, a share of them replaced by uniform states."""
    x = data.sample(BATCH_SIZE)
    if uniform == 0:
        return x
    return torch.where(torch.rand(len(x), 1) < uniform, torch.randint_like(x, 2), x)


def steps_within(
    seconds: float, make: Callable[[], nn.Module], data: GrayCodedDensity, **options: Any
) -> int:
    """How many steps take so many seconds of the processor, by timing a few on other energies.

    :param make: Makes an energy.
    :param options: Those of :func:`fit`, without the steps.
    """
    few = 20
    for _ in range(2):  # the first run is slower
        watch = Stopwatch()
        fit(make(), data, num_steps=few, watch=watch, progress=False, **options)
        took = watch.cpu_seconds
    return max(1, round(few * seconds / took))
