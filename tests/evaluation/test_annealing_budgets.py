"""Annealing within a budget: pilots choose, chains of their own count, and it says when time ends.

Clocks are replaced by counts of energies, so that nothing depends on the machine.
"""

from itertools import pairwise

import pytest
import torch

from pyro_rm import StateSpace, Target
from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import IndependentSites, annealing_budgets, log_likelihood, log_partition
from pyro_rm.evaluation.annealing_paths import annealing_path
from pyro_rm.evaluation.annealing_plans import (
    AnnealingPlan,
    anneal,
    pilot,
    respaced,
    temperatures_for,
)
from pyro_rm.markov_steps import GibbsSweep, ParallelGibbs

pytestmark = pytest.mark.usefixtures("float64")


class Counting(torch.nn.Module):
    """An energy of which each state evaluated takes a second of the clock."""

    def __init__(self, num_sites, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(num_sites, 12), torch.nn.Tanh(), torch.nn.Linear(12, 1)
        )
        self.scale, self.seconds = scale, 0

    def forward(self, x):
        self.seconds += x.shape[:-1].numel()
        return self.scale * self.layers(x)[..., 0]


@pytest.fixture
def timed(monkeypatch):
    """An energy of 18 sites whose evaluations are the clock."""
    energy = Counting(18)
    monkeypatch.setattr(annealing_budgets, "clock", lambda: energy.seconds)
    return energy


SPACE = StateSpace(18)


def data(num_rows=40):
    return torch.randint(2, (num_rows, 18)).double()


def bracket(energy, **options):
    return log_likelihood(
        energy, data(), state_space=SPACE, max_states=1, num_steps=20, progress=False, **options
    )


def test_the_bracket_is_as_narrow_as_asked_and_contains_the_exact_value(timed):
    """Bounds of 64 chains fail with probability 1e-6 by construction (the lower one)."""
    torch.manual_seed(0)
    found = bracket(timed, budget=1e9, accuracy=0.1)
    exact = log_partition(Target.of(timed, SPACE)).item()
    assert abs(found.annealed.gap) <= 0.1
    assert found.annealed.bounds(2e-6)[0] <= exact
    assert abs(found.log_partition - exact) < 0.3


def test_a_budget_that_ends_first_is_said_and_kept(timed):
    torch.manual_seed(0)
    timed.scale = 30.0
    with pytest.warns(UserWarning, match=r"The budget of 200000 seconds ended before the bracket"):
        found = bracket(timed, budget=2e5, accuracy=1e-3)
    assert found.annealed is not None
    assert timed.seconds < 1.3 * 2e5


def test_a_larger_budget_takes_more_temperatures(timed, monkeypatch):
    counts = []
    plain = annealing_budgets._bracket

    def counted(path, base, target, plan, *rest):
        counts.append(len(plan.betas))
        return plain(path, base, target, plan, *rest)

    monkeypatch.setattr(annealing_budgets, "_bracket", counted)
    for budget in (2e5, 1e6):
        timed.seconds = 0
        with pytest.warns(UserWarning, match="ended before"):
            bracket(timed, budget=budget, accuracy=1e-4)
    assert max(counts[1:]) > 2 * counts[0]


def test_chains_that_chose_the_schedule_are_not_used(timed, monkeypatch):
    """All draws of the base are new: no start of a pilot is one of the bracket's."""
    drawn = []
    plain = IndependentSites.sample

    def sample(self, count):
        drawn.append(plain(self, count))
        return drawn[-1]

    monkeypatch.setattr(IndependentSites, "sample", sample)
    found = bracket(timed, budget=1e9, accuracy=0.5)
    assert [len(draws) for draws in drawn] == [2, 32, 32, 64]  # two choose the step
    assert len(found.annealed.lower.log_weights) == 64
    assert len(found.annealed.upper.log_weights) == 40


def test_pilots_adapt_steps_and_annealing_keeps_them(timed):
    target = Target.of(timed, SPACE)
    base = IndependentSites.uniform(SPACE)
    path = annealing_path(base, target)
    plan = AnnealingPlan.of([k / 9 for k in range(10)], ParallelGibbs(0.1))
    learned, increments = pilot(path, plan, base.sample(16))
    assert increments.shape == (9, 16)
    shares = [step.share for step in learned.steps]
    assert len(shares) == 8
    assert shares == sorted(shares)  # nearly all is accepted: from too small, ever larger
    assert shares[0] > 0.1
    weights, ends = anneal(path, learned, base.sample(16))
    assert [step.share for step in learned.steps] == shares
    assert weights.shape == (16,)
    assert ends.shape == (16, 18)
    assert learned.reversed.betas == plan.betas[::-1]
    assert learned.reversed.steps == learned.steps[::-1]


def test_temperatures_are_dense_where_weights_spread():
    plan = AnnealingPlan.of([0.0, 0.5, 1.0], GibbsSweep())
    increments = torch.stack([torch.tensor([-3.0, 3.0]), torch.tensor([-1.0, 1.0])])
    betas = respaced(plan, increments, 41).betas
    assert betas[0] == 0
    assert betas[-1] == 1
    assert all(a < b for a, b in pairwise(betas))
    assert sum(beta < 0.5 for beta in betas) == pytest.approx(30, abs=1)


def test_weights_that_do_not_spread_leave_temperatures_even():
    plan = AnnealingPlan.of([0.0, 0.3, 1.0], GibbsSweep())
    betas = respaced(plan, torch.zeros(2, 5), 5).betas
    assert betas == sorted(set(betas))
    assert len(respaced(plan, torch.zeros(2, 5), 2).betas) == 2


def test_how_many_temperatures():
    """A variance of 2 at 10 temperatures; errors of 64 weights ask for log(1 + 64 / 100)."""
    increments = torch.zeros(9, 2)
    increments[0] = torch.tensor([1.0, -1.0])
    assert temperatures_for(increments, 64, 0.1) == 1 + -(-18 // torch.tensor(1.64).log().item())


def test_steps_for_other_temperatures_are_the_next_ones():
    steps = [ParallelGibbs(share) for share in (0.2, 0.4)]
    plan = AnnealingPlan([0.0, 0.3, 0.6, 1.0], steps)
    shares = [step.share for step in plan.steps_at([0.0, 0.1, 0.35, 0.9, 1.0])]
    assert shares == [0.2, 0.4, 0.4]


def test_defaults_are_exact_where_there_are_few_states():
    energy = MLPEnergy(6, (4,))
    assert log_likelihood(energy, states_at(energy.state_space, torch.arange(64))).annealed is None


@pytest.mark.parametrize("option", [{"budget": 0}, {"accuracy": -1.0}])
def test_budgets_are_positive(timed, option):
    with pytest.raises(ValueError, match=r"Expected (budget|accuracy) above 0"):
        bracket(timed, **option)


@pytest.mark.parametrize("fixed", [{"num_chains": 9}, {"inverse_temperatures": 9}])
def test_a_budget_or_a_schedule(timed, fixed):
    with pytest.raises(ValueError, match="but got both"):
        bracket(timed, budget=1.0, **fixed)
