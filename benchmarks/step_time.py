"""Time of a training step beside its opponents', by `make benchmark`.

An MLP of three layers of 256, a batch of 256, ten neighbors; gradients only, no optimizer. Each
group of rows runs in one session, and conftest.py turns medians into ratios.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from opponents import (
    PersistentContrastiveDivergence,
    arithmetic,
    gray_coded,
    ours,
    plain,
    published,
    site_loop,
)

from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy

BATCH, NEIGHBORS = 256, 10
GUIDED = {"objective": "squared_ratio", "proposal": "gradient"}


@pytest.fixture(autouse=True)
def _validation_off() -> None:
    torch.distributions.Distribution.set_default_validate_args(False)
    torch.manual_seed(0)


def in_published_pipeline(energy: MLPEnergy, x: torch.Tensor) -> None:
    """The published step on a batch that is coded for it."""
    points = 2 * torch.rand(len(x), 2) - 1
    published(energy, gray_coded(points, x.shape[1]), NEIGHBORS)


def in_our_pipeline(energy: MLPEnergy, data: torch.Tensor, batches: Callable) -> None:
    """Our step on a batch from coded data, as :func:`pyro_rm.infer.train` draws it."""
    ours(energy, batches(0), NEIGHBORS, **GUIDED)


STEPS: dict[str, Callable[..., None]] = {
    "a forward and backward of the batch": plain,
    "arithmetic of our uniform step": partial(arithmetic, num_neighbors=NEIGHBORS, guided=False),
    "our step, uniform (default)": partial(ours, num_neighbors=NEIGHBORS),
    "arithmetic of our guided step": partial(arithmetic, num_neighbors=NEIGHBORS, guided=True),
    "our step, guided": partial(ours, num_neighbors=NEIGHBORS, **GUIDED),
    "published step": partial(published, num_neighbors=NEIGHBORS),
    "published step with its data pipeline": in_published_pipeline,
    "PCD, 10 Gibbs-with-gradients moves": PersistentContrastiveDivergence,
    "full ratio matching, loop over sites": site_loop,
}


@pytest.mark.parametrize("num_sites", [32, 2048])
@pytest.mark.parametrize("name", STEPS)
def test_mlp(benchmark: Callable, name: str, num_sites: int) -> None:
    """All opponents on the MLP."""
    energy = MLPEnergy(num_sites)
    x = torch.randint(2, (BATCH, num_sites)).float()
    step, rounds = STEPS[name], 30
    if step is PersistentContrastiveDivergence:
        step = PersistentContrastiveDivergence(x.clone(), 10)
    if step is site_loop:
        rounds = 5 if num_sites == 32 else 1
    benchmark.group, benchmark.name = f"MLP 256 x 3, D = {num_sites}", name
    run(benchmark, energy, partial(step, energy, x), rounds)


@pytest.mark.parametrize(("name", "energy", "options"), [
    ("Ising, D = 2000", IsingEnergy(2000), {}),
    ("RBM 784 x 500, 100 000 neighbors a chunk", RBMEnergy(784, 500),
     {"num_neighbors": "all", "max_neighbors_per_chunk": 100_000}),
])  # fmt: skip
@pytest.mark.parametrize("exact", [False, True])
def test_exact_sums(
    benchmark: Callable, name: str, energy: torch.nn.Module, options: dict, exact: bool
) -> None:
    """Sums over all neighbors beside a forward and backward."""
    x = torch.randint(2, (BATCH, energy.state_space.num_sites)).float()
    benchmark.group = name
    benchmark.name = "exact sum" if exact else "a forward and backward of the batch"
    step = partial(ours, energy, x, **({"num_neighbors": "all"} | options))
    run(benchmark, energy, step if exact else partial(plain, energy, x), 10)


def run(benchmark: Callable, energy: torch.nn.Module, step: Callable, rounds: int) -> None:
    """Time a step; the first one warms up, except where a single round takes long."""

    def clear() -> None:
        energy.zero_grad()

    benchmark.pedantic(step, setup=clear, rounds=rounds, warmup_rounds=min(3, rounds - 1))
