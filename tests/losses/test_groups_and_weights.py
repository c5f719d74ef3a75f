"""Hierarchies of groups, weights of rows, and mixtures of classes."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, init_to_value

import pyro_rm
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.enumeration import states_at
from pyro_rm.poutine import ratio_matching
from pyro_rm.state_space import StateSpace

SITES = 4
ROW, COLUMN = torch.triu_indices(SITES, SITES, 1)
PAIRS = len(ROW)
TRUE = torch.tensor([0.8, 0.0, -0.6, 0.0, 0.5, 0.0])


def matrix_of(pairs):
    matrix = pairs.new_zeros((*pairs.shape[:-1], SITES, SITES))
    matrix[..., ROW, COLUMN] = pairs
    return matrix + matrix.mT


def spins(pairs, **options):
    return Ising(matrix_of(pairs), torch.zeros(SITES), states=(-1, 1), **options)


def drawn(count, pairs=TRUE):
    return NormalizedModel(spins(pairs)).sample((count,))


def cost(pairs, x):
    return pyro_rm.estimate(spins(pairs).energy, x)


def fitted(model, guide, x, steps=300, rate=0.03, **options):
    optimizer = pyro.optim.ClippedAdam({"lr": rate, "lrd": 0.02 ** (1 / steps)})
    svi = SVI(model, guide, optimizer, loss=pyro_rm.RatioMatchingLoss(**options))
    return [svi.step(x) for _ in range(steps)]


def grouped(x):
    """Partially pooled couplings: data of shape ``(data, groups, D)``."""
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0).expand([PAIRS]).to_event(1))
    spread = pyro.sample("spread", dist.HalfNormal(0.5))
    with pyro.plate("groups", x.shape[1], dim=-1):
        pairs = pyro.sample("pairs", dist.Normal(mean, spread[..., None]).to_event(1))
        with pyro.plate("data", x.shape[0], dim=-2):
            pyro.sample("x", spins(pairs), obs=x)


def test_hierarchies_score_each_group_by_its_own_couplings():
    pairs, x = torch.randn(3, PAIRS), drawn(24).view(8, 3, SITES)
    fixed = poutine.condition(grouped, {"pairs": pairs})
    trace = poutine.trace(ratio_matching(fixed)).get_trace(x)
    trace.compute_log_prob()
    expected = torch.stack([cost(p, x[:, g]) for g, p in enumerate(pairs)], -1)
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], -expected)


def test_hierarchies_pool():
    """The group with few data is drawn to the others, the others hardly move."""
    x = drawn(600).view(200, 3, SITES)
    x[10:, 2] = x[10:, 1]  # same law; then only ten rows of the last group count
    rows = torch.ones(200, 3, dtype=torch.bool)
    rows[10:, 2] = False

    def apart(x):
        with pyro.plate("groups", 3, dim=-1):
            pairs = pyro.sample("pairs", dist.Normal(0.0, 2.0).expand([PAIRS]).to_event(1))
            with pyro.plate("data", 200, dim=-2), poutine.mask(mask=rows):
                pyro.sample("x", spins(pairs), obs=x)

    def pooled(x):
        with poutine.mask(mask=True):
            mean = pyro.sample("mean", dist.Normal(0.0, 1.0).expand([PAIRS]).to_event(1))
        with pyro.plate("groups", 3, dim=-1):
            pairs = pyro.sample("pairs", dist.Normal(mean, 0.1).to_event(1))
            with pyro.plate("data", 200, dim=-2), poutine.mask(mask=rows):
                pyro.sample("x", spins(pairs), obs=x)

    errors = {}
    for model in (apart, pooled):
        pyro.clear_param_store()
        guide = AutoDelta(model)
        fitted(model, guide, x, steps=200, rate=0.1)
        errors[model] = (guide.median()["pairs"] - TRUE).square().mean(-1).sqrt()
    assert errors[pooled][2] < errors[apart][2]
    assert (errors[pooled][:2] < errors[apart][:2] + 0.05).all()


def test_sample_weights_count_rows():
    x = drawn(6)
    counts = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0, 2.0])

    def weighted(x):
        with pyro.plate("data", 6), poutine.scale(scale=counts):
            pyro.sample("x", spins(TRUE), obs=x)

    def repeated(x):
        with pyro.plate("data", 10):
            pyro.sample("x", spins(TRUE), obs=x.repeat_interleave(counts.long(), 0))

    loss = pyro_rm.RatioMatchingLoss()
    assert loss.loss(weighted, lambda x: None, x) == pytest.approx(
        loss.loss(repeated, lambda x: None, x), rel=1e-5
    )


def test_mixtures_tell_classes_apart():
    """The sum over classes of pseudolikelihoods: conditionals are normalized in each class."""
    classes = torch.stack([torch.full((PAIRS,), 0.9), torch.full((PAIRS,), -0.9)])
    x = torch.cat([drawn(150, classes[0]), drawn(150, classes[1])])

    @config_enumerate
    def mixture(x):
        weights = pyro.sample("weights", dist.Dirichlet(torch.full((2,), 5.0)))
        with pyro.plate("classes", 2):
            pairs = pyro.sample("pairs", dist.Normal(0.0, 1.0).expand([PAIRS]).to_event(1))
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Categorical(weights))
            pyro.sample("x", spins(pairs[k]), obs=x)

    start = {"weights": torch.tensor([0.5, 0.5]), "pairs": 0.1 * classes}
    guide = AutoDelta(poutine.block(mixture, hide=["k"]), init_loc_fn=init_to_value(values=start))
    fitted(mixture, guide, x, steps=150, rate=0.1, elbo=TraceEnum_ELBO(max_plate_nesting=1))
    found = guide.median()
    costs = torch.stack([cost(pairs, x) for pairs in found["pairs"]])
    nearer = costs.argmin(0)
    assert (nearer[:150] == 0).float().mean() > 0.9
    assert (nearer[150:] == 1).float().mean() > 0.7
    assert found["weights"].min() > 0.3


def test_what_mixtures_weigh():
    """Summed over all states a pseudolikelihood is 1 without couplings, and more with them."""

    def total(pairs):
        states = states_at(StateSpace(SITES, states=(-1, 1)), torch.arange(2**SITES))
        return float((-cost(pairs, states)).exp().sum())

    assert total(0 * TRUE) == pytest.approx(1.0)
    assert 1 < total(0.5 * TRUE) < total(TRUE)
