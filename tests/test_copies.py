"""Copies and pickles of everything that holds a state or options are objects of their own."""

import copy
import pickle

import pyro
import pyro.distributions as dist
import pytest
import torch

import pyro_rm
from pyro_rm import (
    Target,
    designs,
    energies,
    evaluation,
    infer,
    markov_steps,
    objectives,
    proposals,
)
from pyro_rm.distributions import EnergyModel
from pyro_rm.training.batches import ShuffledBatches
from pyro_rm.training.moving_average import MovingAverage

SPACE = pyro_rm.StateSpace(4)
BITS = (torch.arange(40).view(10, 4) * 7 % 11 < 5).float()
BLANKS = torch.where(torch.arange(40).view(10, 4) % 3 == 0, torch.nan, BITS)
ENERGY = energies.IsingEnergy(4)
MODEL = EnergyModel(energies.IsingEnergy(4), sampler=pyro_rm.MarkovSampler(1))
COPIERS = {"deepcopy": copy.deepcopy, "pickle": lambda item: pickle.loads(pickle.dumps(item))}
copied = pytest.mark.parametrize("duplicate", COPIERS.values(), ids=COPIERS)


def program(x):
    pyro.module("energy", ENERGY)
    with pyro.plate("data", len(x)):
        active = ~x.isnan() if x.isnan().any() else None
        pyro.sample("x", EnergyModel(ENERGY, active=active), obs=x)


def with_latents(y):
    with pyro.plate("data", len(y)):
        z = pyro.sample("z", EnergyModel(ENERGY))
        pyro.sample("y", dist.Normal(z, 1.0).to_event(1), obs=y)


def no_guide(x):
    pass


def lost(loss, x=BITS):
    return loss.differentiable_loss(program, no_guide, x).detach()


def drawn(latents):
    return pyro.poutine.trace(latents).get_trace(BITS).nodes["z"]["value"]


def moved(kernel, params):
    for _ in range(2):
        params = kernel.sample(params)
    return params["x"]


def batched(batches):
    return torch.cat([batches(step) for step in range(6)])


KERNEL = infer.MarkovKernel(MODEL, sample_shape=(5,))
STATEFUL = {
    "Gibbs fill": (infer.GibbsFill(), lambda f: f.filled(Target.of(ENERGY, SPACE), BLANKS)),
    "loss with fills": (pyro_rm.RatioMatchingLoss(), lambda loss: lost(loss, BLANKS)),
    "persistent chains": (pyro_rm.ContrastiveDivergence(persistent=True, num_chains=3), lost),
    "latent fill": (infer.LatentFill(with_latents, "z"), drawn),
    "kernel": (KERNEL, lambda kernel: moved(kernel, kernel.initial_params)),
    "batches": (ShuffledBatches(torch.arange(12), 4), batched),
    "average": (
        MovingAverage([torch.ones(2)], 0.9),
        lambda average: average.update(1) or average.values[0].clone(),
    ),
    "levels": (infer.NoiseLevels((0.5,)), lambda x: x.corrupt(SPACE, BITS, torch.tensor(0))),
    "sampler": (
        pyro_rm.MarkovSampler(2, initial=BITS[0]),
        lambda sampler: sampler(ENERGY, SPACE, torch.Size([5])),
    ),
    "tree": (evaluation.ChowLiuTree.fit(BITS, SPACE), lambda tree: tree.sample(5)),
    "sites": (evaluation.IndependentSites.fit(BITS, SPACE), lambda sites: sites.sample(5)),
    "model": (MODEL, lambda model: model.sample((5,))),
}  # fmt: skip


def tensors(item, seen):
    """Memory of all tensors within an object."""
    if isinstance(item, torch.Tensor):
        return {item.data_ptr()}
    if id(item) in seen or (callable(item) and not hasattr(item, "__dict__")):
        return set()
    seen.add(id(item))
    inner = list(item.values()) if isinstance(item, dict) else []
    inner += list(item) if isinstance(item, list | tuple) else []
    if not isinstance(item, type) and not hasattr(item, "__globals__"):
        inner += list(getattr(item, "__dict__", {}).values())
    return set().union(*(tensors(part, seen) for part in inner))


@copied
@pytest.mark.parametrize("name", STATEFUL)
def test_copies_go_their_own_way(name, duplicate):
    """From one state both give the same under one seed, whatever the other did before."""
    original, use = STATEFUL[name]
    pyro.set_rng_seed(0)
    use(original)
    twin, other = duplicate(original), duplicate(original)
    assert not tensors(twin, set()) & tensors(original, set())
    pyro.set_rng_seed(1)
    use(original)  # which must not move the others
    pyro.set_rng_seed(2)
    expected = use(twin)
    pyro.set_rng_seed(2)
    assert torch.equal(use(other), expected)


STATELESS = [
    SPACE, pyro_rm.Estimator("ratio_matching", 2, proposal="gradient"), infer.Marginalized(),
    *(kind() for kind in objectives._BUILT_IN.values()),
    *(kind() for kind in proposals._BUILT_IN.values()),
    *(kind() for kind in designs._BUILT_IN.values()),
    markov_steps.GibbsSweep(), markov_steps.ColoredGibbs((0, 1, 0, 1)), markov_steps.BlockGibbs(),
    markov_steps.GibbsWithGradients(), markov_steps.DiscreteLangevin(step_size=0.5),
    markov_steps.ParallelTempering(markov_steps.GibbsSweep(), (1.0, 0.5)),
]  # fmt: skip


@copied
@pytest.mark.parametrize("item", STATELESS, ids=lambda item: type(item).__name__)
def test_options_survive(item, duplicate):
    twin = duplicate(item)
    assert type(twin) is type(item)
    assert repr(twin) == repr(item)
