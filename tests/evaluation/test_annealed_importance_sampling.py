"""Annealing: unbiased weights by summing over every draw, honest ends, honest warnings."""

import math
from dataclasses import fields

import pytest
import torch

from pyro_rm import Target
from pyro_rm.energies import IsingEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import (
    ChowLiuTree,
    IndependentSites,
    annealed_importance_sampling,
    exact_samples,
    log_partition,
)
from pyro_rm.evaluation.ais_estimate import AISEnd
from pyro_rm.evaluation.annealing_paths import annealing_path
from pyro_rm.markov_steps import (
    BlockGibbs,
    ChainState,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    MarkovStep,
    ParallelTempering,
)
from pyro_rm.state_space import StateSpace

pytestmark = pytest.mark.usefixtures("float64")


def fitted_base(space, kind=IndependentSites):
    index = torch.randint(space.num_states, (30,))
    return kind.fit(states_at(space, index), space)


def every_state(space):
    states = states_at(space, torch.arange(space.num_states))
    return states, space.encode(states, torch.float64)


def with_draws(base, draws):
    """The same base, which gives what a test prepared instead of drawing."""
    kind = type("Given", (type(base),), {"sample": lambda self, num_samples: draws})
    return kind(**{field.name: getattr(base, field.name) for field in fields(base)})


class StepTo(MarkovStep):
    """A step to given states, wherever the chains are."""

    def __init__(self, states):
        self.states = states

    def __call__(self, target, state):
        return ChainState(target.encode(self.states), torch.ones(len(self.states)))


class StandStill(MarkovStep):
    def __call__(self, target, state):
        return ChainState(state.encoded, torch.ones(len(state.encoded)))


@pytest.mark.filterwarnings("ignore:Base and model hardly overlap")
@pytest.mark.parametrize("kind", [IndependentSites, ChowLiuTree])
def test_weights_are_unbiased_in_both_directions(target, kind):
    """The mean weight is exactly Z (or 1 / Z): a sum over all starts and all moves.

    The step draws from the middle energy itself, whatever the state before.
    """
    space = target.state_space
    base = fitted_base(space, kind)
    states, encoded = every_state(space)
    path = annealing_path(base, Target.of(target))
    before, after = torch.cartesian_prod(*[torch.arange(len(states))] * 2).unbind(-1)
    log_ends = {1: base.log_prob(states), -1: torch.log_softmax(-target(encoded), 0)}
    log_moves = torch.log_softmax(-path.at(0.4)(encoded), 0)
    result = annealed_importance_sampling(
        target,
        with_draws(base, states[before]),
        exact_samples=states[before],
        step=StepTo(states[after]),
        inverse_temperatures=torch.tensor([0.0, 0.4, 1.0]),
        chunk_size=len(before),
        max_gap=math.inf,
    )
    expected = log_partition(target)
    for end, sign in ((result.lower, 1), (result.upper, -1)):
        log_probability = log_ends[sign][before] + log_moves[after]
        total = (log_probability + end.log_weights).logsumexp(0)
        torch.testing.assert_close(sign * total, expected)


def test_the_ends_contain_the_exact_value(target):
    """Bounds fail with probability 1e-6 by construction; they must also be useful."""
    space = target.state_space
    result = annealed_importance_sampling(
        target,
        fitted_base(space),
        exact_samples=exact_samples(target, 400),
        num_chains=400,
        inverse_temperatures=30,
        progress=False,
    )
    exact = log_partition(target).item()
    low, high = result.bounds(1e-6)
    assert low <= exact <= high
    assert high - low < 3
    assert result.upper_is_bound
    assert abs(result.gap) < 0.5


@pytest.mark.parametrize(
    ("target", "step"),
    [
        ("ising", ColoredGibbs((0, 1, 2, 3))),
        ("ising", GibbsWithGradients()),
        ("mlp", GibbsWithGradients()),
        ("mlp", DiscreteLangevin(0.5)),
        ("potts", GibbsWithGradients()),
        ("rbm", GibbsSweep()),
        ("rbm", BlockGibbs()),
    ],
    ids=str,
    indirect=["target"],
)
def test_any_step_serves(target, step):
    """Bounds fail with probability 1e-6 by construction."""
    result = annealed_importance_sampling(
        target,
        fitted_base(target.state_space),
        exact_samples=exact_samples(target, 200),
        step=step,
        num_chains=200,
        inverse_temperatures=60,
        progress=False,
    )
    low, high = result.bounds(1e-6)
    assert low <= log_partition(target).item() <= high
    assert high - low < 4


@pytest.mark.parametrize("target", ["ising"], indirect=True)
def test_chains_and_data_give_a_diagnostic_and_no_bound(target):
    space = target.state_space
    result = annealed_importance_sampling(
        target,
        fitted_base(space),
        approximate_samples=exact_samples(target, 50),
        num_chains=50,
        inverse_temperatures=20,
        progress=False,
    )
    assert not result.upper_is_bound
    assert result.bounds()[1] == math.inf
    assert "no bound" in str(result)


def test_it_says_when_base_and_target_do_not_overlap():
    """The base is sure of zeros, the model of ones: two temperatures cannot join them."""
    target = IsingEnergy(12)
    torch.nn.init.constant_(target.fields, 6.0)
    base = IndependentSites.fit(torch.zeros(50, 12), target.state_space)
    with pytest.warns(UserWarning, match="hardly overlap"):
        annealed_importance_sampling(target, base, inverse_temperatures=2, num_chains=300)


def test_it_says_when_the_ends_are_far_apart():
    """Reverse chains that start where five coupled pairs disagree, and never move."""
    target = IsingEnergy(10, states=(-1, 1))
    with torch.no_grad():
        target.weight[range(0, 10, 2), range(1, 10, 2)] = 0.8
    astray = torch.tensor([-1.0, 1.0]).repeat(100, 5)
    with pytest.warns(UserWarning, match="far apart") as caught:
        result = annealed_importance_sampling(
            target,
            IndependentSites.uniform(target.state_space),
            approximate_samples=astray,
            step=StandStill(),
            inverse_temperatures=3,
        )
    expected = 10 * math.log(2) - 5 * 0.8  # as if every state were like these
    assert result.upper.log_partition == pytest.approx(expected)
    assert result.gap < -4
    assert result.pessimistic == result.lower.log_partition
    assert caught[0].filename == __file__


@pytest.mark.parametrize("target", ["ising"], indirect=True)
def test_interrupting_keeps_the_complete_batches(target):
    calls = []

    class Interrupted(GibbsSweep):
        def __call__(self, target, state):
            calls.append(len(state.encoded))
            if len(calls) > 7:
                raise KeyboardInterrupt
            return super().__call__(target, state)

    base = fitted_base(target.state_space)
    options = {"step": Interrupted(), "num_chains": 40, "chunk_size": 10, "inverse_temperatures": 4}
    with pytest.warns(UserWarning, match="complete batches"):
        result = annealed_importance_sampling(
            target, base, exact_samples=exact_samples(target, 10), **options
        )
    assert len(result.lower.log_weights) == 30  # two steps a batch: the fourth was interrupted
    assert result.upper is None
    assert not result.upper_is_bound
    with pytest.raises(KeyboardInterrupt):
        annealed_importance_sampling(target, base, **options)


def test_errors():
    target = IsingEnergy(3)
    base = IndependentSites.uniform(StateSpace(3))
    with pytest.raises(ValueError, match="do not overlap"):
        annealed_importance_sampling(target, IndependentSites.uniform(StateSpace(4)))
    other = StateSpace(3, states=(-1, 1))
    with pytest.raises(ValueError, match="do not overlap"):
        annealed_importance_sampling(target, IndependentSites.uniform(other))
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="both"):
        annealed_importance_sampling(target, base, exact_samples=x, approximate_samples=x)
    tempering = ParallelTempering(GibbsSweep(), (1.0, 0.5))
    with pytest.raises(ValueError, match="single chains at one level"):
        annealed_importance_sampling(target, base, step=tempering)
    with pytest.raises(ValueError, match="two samples"):
        annealed_importance_sampling(target, base, exact_samples=torch.zeros(3))
    with pytest.raises(ValueError, match="num_chains to be at least 2"):
        annealed_importance_sampling(target, base, num_chains=1)
    with pytest.raises(ValueError, match="inverse_temperatures to be at least 2"):
        annealed_importance_sampling(target, base, inverse_temperatures=1)
    for betas in (torch.tensor([0.0, 0.5]), torch.tensor([0.0, 0.7, 0.6, 1.0])):
        with pytest.raises(ValueError, match="from 0 to 1"):
            annealed_importance_sampling(target, base, inverse_temperatures=betas)
    with pytest.raises(ValueError, match="between 0 and 1"):
        AISEnd(torch.zeros(4), 1).bound(1.5)
