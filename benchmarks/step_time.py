"""Time of a training step beside its opponents', by `make benchmark`; on a GPU by `make gpu`.

An MLP of three layers of 256, a batch of 256, ten neighbors; gradients only, no optimizer. A plain
pass of the same energy is timed between any two rounds of a step, and so is what the step is
compared with, so that the ratios of medians, which conftest.py takes, do not feel what else the
machine does in the meantime.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch

from benchmarks.opponents import (
    PersistentContrastiveDivergence,
    arithmetic,
    gray_coded,
    ours,
    plain,
    published,
    published_network,
    site_loop,
)
from pyro_rm.energies import IsingEnergy, MLPEnergy, RBMEnergy
from pyro_rm.training.batches import ShuffledBatches

BATCH, NEIGHBORS = 256, 10
ON = {"cpu": "", "cuda": ", on a GPU"}
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


@pytest.fixture(autouse=True)
def _validation_off() -> None:
    torch.distributions.Distribution.set_default_validate_args(False)
    torch.manual_seed(0)


def published_pipeline(energy: MLPEnergy, x: torch.Tensor) -> None:
    """The published step on a batch that is coded for it."""
    points = 2 * torch.rand(len(x), 2, device=x.device) - 1
    published(energy, gray_coded(points, x.shape[1]), NEIGHBORS)


class OurPipeline:
    """Our step on a batch drawn from coded data, as train does."""

    def __init__(self, x: torch.Tensor, **options: object) -> None:
        data = torch.randint(2, (10 * BATCH, x.shape[1]), device=x.device).float()
        self.batches, self.step, self.options = ShuffledBatches(data, BATCH), 0, options

    def __call__(self, energy: MLPEnergy, x: torch.Tensor) -> None:
        """Take a step."""
        ours(energy, self.batches(self.step), NEIGHBORS, **self.options)
        self.step += 1


GUIDED = {"objective": "squared_ratio", "proposal": "gradient"}
STEPS: dict[str, Callable[..., None]] = {
    "a forward and backward of the batch": plain,
    "our step, uniform (default)": partial(ours, num_neighbors=NEIGHBORS),
    "its arithmetic": partial(arithmetic, num_neighbors=NEIGHBORS, guided=False),
    "our step, uniform, control variate": partial(
        ours, num_neighbors=NEIGHBORS, control_variate=True
    ),
    "our step, 4 neighbors, control variate": partial(ours, num_neighbors=4, control_variate=True),
    "our step, guided": partial(ours, num_neighbors=NEIGHBORS, **GUIDED),
    "its arithmetic, with the gradient in x": partial(
        arithmetic, num_neighbors=NEIGHBORS, guided=True
    ),
    "our step, uniform, with data": OurPipeline,
    "our step, guided, with data": partial(OurPipeline, **GUIDED),
    "our step, uniform, bfloat16 hidden layers": partial(ours, num_neighbors=NEIGHBORS),
    "published step, on our network": partial(published, num_neighbors=NEIGHBORS),
    "published step, on its network": partial(published, num_neighbors=NEIGHBORS),
    "published step, on its network, with data": published_pipeline,
    "PCD, 10 Gibbs-with-gradients moves": PersistentContrastiveDivergence,
    "full ratio matching, loop over sites": site_loop,
}
BESIDE = {
    "our step, uniform (default)": "its arithmetic",
    "our step, uniform, control variate": "our step, uniform (default)",
    "our step, 4 neighbors, control variate": "our step, uniform (default)",
    "our step, guided": "its arithmetic, with the gradient in x",
    "our step, uniform, with data": "our step, uniform (default)",
    "our step, guided, with data": "our step, guided",
    "our step, uniform, bfloat16 hidden layers": "our step, uniform (default)",
    "published step, on our network": "our step, guided",
    "published step, on its network": "our step, guided",
    "published step, on its network, with data": "our step, guided, with data",
    "PCD, 10 Gibbs-with-gradients moves": "our step, uniform (default)",
}  #: With what a step is compared, in turns.


def mlp_step(name: str, num_sites: int, device: str) -> partial:
    """A step on an MLP and a batch of its own, whose first argument is the energy."""
    energy = published_network(num_sites) if "its network" in name else MLPEnergy(num_sites)
    if "bfloat16" in name:
        energy.hidden_dtype = torch.bfloat16
    x = torch.randint(2, (BATCH, num_sites), device=device).float()
    step = STEPS[name]
    if step is PersistentContrastiveDivergence:
        step = PersistentContrastiveDivergence(x.clone(), 10)
    elif "our step" in name and "with data" in name:
        step = step(x)
    return partial(step, energy.to(device), x)


@DEVICES
@pytest.mark.parametrize("num_sites", [32, 2048])
@pytest.mark.parametrize("name", STEPS)
def test_mlp(benchmark: Callable, name: str, num_sites: int, device: str) -> None:
    """All opponents on the MLP."""
    rounds = 30
    if STEPS[name] is site_loop:
        rounds = 5 if num_sites == 32 else 1
    benchmark.group, benchmark.name = f"MLP 256 x 3, D = {num_sites}{ON[device]}", name
    base = mlp_step("a forward and backward of the batch", num_sites, device)
    others = {"a plain pass": base}
    if name in BESIDE:
        others[BESIDE[name]] = mlp_step(BESIDE[name], num_sites, device)
    run(benchmark, mlp_step(name, num_sites, device), others, rounds)


@DEVICES
@pytest.mark.parametrize(("name", "energy", "options"), [
    ("Ising, D = 2000", IsingEnergy(2000), {}),
    ("RBM 784 x 500, 100 000 neighbors a chunk", RBMEnergy(784, 500),
     {"max_neighbors_per_chunk": 100_000}),
])  # fmt: skip
@pytest.mark.parametrize("exact", [False, True])
def test_exact_sums(
    benchmark: Callable,
    name: str,
    energy: torch.nn.Module,
    options: dict,
    exact: bool,
    device: str,
) -> None:
    """Sums over all neighbors beside a forward and backward."""
    x = torch.randint(2, (BATCH, energy.state_space.num_sites), device=device).float()
    energy.to(device)
    benchmark.group = name + ON[device]
    benchmark.name = "exact sum" if exact else "a forward and backward of the batch"
    base = partial(plain, energy, x)
    step = partial(ours, energy, x, "all", **options) if exact else base
    run(benchmark, step, {"a plain pass": base}, 3 if "RBM" in name else 20)


def finish(step: partial) -> None:
    """Take a step and wait for the GPU, if there is one."""
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def run(benchmark: Callable, step: partial, others: dict[str, partial], rounds: int) -> None:
    """Time a step, and others before each of its rounds; the first of all warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in others}

    def prepare() -> None:
        for name, other in others.items():
            for _ in range(3 if name == "a plain pass" else 1):
                other.args[0].zero_grad()
                start = time.perf_counter()
                finish(other)
                seconds[name].append(time.perf_counter() - start)
        step.args[0].zero_grad()

    benchmark.pedantic(
        finish, (step,), setup=prepare, rounds=rounds, warmup_rounds=min(3, rounds - 1)
    )
    medians = {name: statistics.median(several) for name, several in seconds.items()}
    benchmark.extra_info["others"] = medians
