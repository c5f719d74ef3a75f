"""The public checks: all that is registered passes, nothing is forgotten, what is wrong is told."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
import torch

import pyro_rm
from pyro_rm import StateSpace, Target, designs, energies, graphs, objectives, proposals
from pyro_rm.designs import Design, Draw, Unweighted, WithReplacement
from pyro_rm.energies import IsingEnergy, MLPEnergy
from pyro_rm.markov_steps import DiscreteLangevin, GibbsSweep, MarkovStep, randomness
from pyro_rm.objectives import Objective, RatioMatching, SquaredRatio
from pyro_rm.proposals import Activity, Proposal
from pyro_rm.testing import (
    ENERGIES,
    STEPS,
    branches,
    check_design,
    check_energy,
    check_objective,
    check_proposal,
    check_step,
    every_check,
)

CHECKS = list(every_check())


@pytest.mark.parametrize("check", [c for _, c in CHECKS], ids=[name for name, _ in CHECKS])
def test_what_is_registered_is_right(check):
    check()


def subclasses(kind):
    """Those of the package, whatever module they are in; abstract ones aside."""
    for module in pkgutil.walk_packages(pyro_rm.__path__, "pyro_rm."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, queue = set(), [kind]
    while queue:
        for sub in queue.pop().__subclasses__():
            queue.append(sub)
            if sub.__module__.startswith("pyro_rm.") and not inspect.isabstract(sub):
                found.add(sub)
    return found


@pytest.mark.parametrize(("kind", "registered"), [
    (Objective, set(objectives._BUILT_IN.values())),
    (Proposal, set(proposals._BUILT_IN.values())),
    (Design, set(designs._BUILT_IN.values())),
    (MarkovStep, {type(step) for steps in STEPS.values() for step in steps}),
])  # fmt: skip
def test_nothing_is_missing_from_a_registry(kind, registered):
    assert subclasses(kind) == registered


def test_every_exported_energy_is_registered_under_its_name():
    bases = {"LinearFirstEnergy", "Summable"}  # what others are made of: they have no values
    assert {*energies.__all__, "GraphEnergy"} - bases == set(ENERGIES)
    for name, examples in ENERGIES.items():
        exported = getattr(energies, name, None) or getattr(graphs, name)
        if inspect.isclass(exported):
            assert all(isinstance(Target.of(make()).energy, exported) for make in examples)
    assert set(STEPS) == {type(step).__name__ for steps in STEPS.values() for step in steps}


def test_the_command_says_what_is_right_and_what_is_wrong(monkeypatch, capsys):
    command = importlib.import_module("pyro_rm.testing.__main__")

    def wrong():
        raise AssertionError("Expected this.")

    for checks, status, shown in (
        ([("One", lambda: None)], 0, "One: right\n"),
        ([("One", wrong), ("Two", lambda: None)], 1, "One: Expected this.\nTwo: right\n"),
    ):
        monkeypatch.setattr(command, "every_check", lambda checks=checks: iter(checks))
        assert command.main() == status
        assert capsys.readouterr().out == shown


def test_checks_leave_the_generator_alone():
    before = torch.get_rng_state()
    check_objective(RatioMatching())
    check_proposal(Activity())
    check_energy(IsingEnergy(2))
    check_step(GibbsSweep(), IsingEnergy(2))
    assert torch.equal(torch.get_rng_state(), before)


class FalseKappa(SquaredRatio):
    kappa = 1.0


class SumOutside(RatioMatching):
    sampling_unit = "site"  # of a sum that is not inside the function


class FalseDerivative(RatioMatching):
    def log_derivative(self, energy_gap):
        return super().log_derivative(energy_gap) + 0.1


class Decreasing(RatioMatching):
    def __call__(self, energy_gap):
        return -super().__call__(energy_gap)


@pytest.mark.parametrize(("objective", "message"), [
    (FalseKappa(), r"population optimum of FalseKappa to be E_true / 1 .* about E_true / 4\."),
    (SumOutside(), "population optimum of SumOutside .* needs sampling_unit = 'site'"),
    (FalseDerivative(), "log_derivative of FalseDerivative, the logarithm of the derivative"),
    (Decreasing(), "Expected Decreasing.. to increase"),
])  # fmt: skip
def test_wrong_objectives(objective, message):
    with pytest.raises(AssertionError, match=message):
        check_objective(objective)


class FalselyUnbiased(Unweighted):
    unbiased = True


class FalselyExhausting(WithReplacement):
    exhausts = True


class Anywhere(Design):
    """Visits what must not be visited."""

    unbiased = True

    def draw(self, sizes, num_draws):
        count, batch = sizes.shape[-1], sizes.shape[:-1]
        index = torch.randperm(count, device=sizes.device)[:num_draws]
        index = index.view(-1, *(1 for _ in batch)).expand(-1, *batch)
        return Draw(index, sizes.new_full(index.shape, count / num_draws))


class Elsewhere(WithReplacement):
    """Draws by what cannot be enumerated."""

    def draw(self, sizes, num_draws):
        index = torch.multinomial(sizes, num_draws, replacement=True)
        return Draw(index.movedim(-1, 0), self.weights(sizes, index).movedim(-1, 0))


@pytest.mark.parametrize(("design", "message"), [
    (FalselyUnbiased(), "mean weight of each candidate .* FalselyUnbiased, which says unbiased"),
    (FalselyExhausting(), "FalselyExhausting, which says exhausts"),
    (Anywhere(), "size 0 to have weight 0 from Anywhere"),
    (Elsewhere(), "Expected Elsewhere to draw by torch.rand"),
])  # fmt: skip
def test_wrong_designs(design, message):
    with pytest.raises(AssertionError, match=message):
        check_design(design)


class SecretlyGuided(proposals.GradientGuided):
    depends_on_energy = False


class LessEven(Proposal):
    """Leaves out what it says to mix in."""

    def log_sizes(self, target, encoded, objective):
        raise NotImplementedError

    def sizes(self, target, encoded, objective, candidates):
        sizes = proposals.GradientGuided(0.0).sizes(target, encoded, objective, candidates)
        return sizes if candidates is None else sizes * candidates.reshape(sizes.shape)


class Blind(LessEven):
    """Never looks at the first site."""

    def sizes(self, target, encoded, objective, candidates):
        sizes = super().sizes(target, encoded, objective, candidates).clone()
        sizes[..., 0] = 0
        return sizes


@pytest.mark.parametrize(("proposal", "message"), [
    (SecretlyGuided(), "SecretlyGuided, which says depends_on_energy = False, not to ask"),
    (LessEven(0.9), "sizes of LessEven .* uniform share of 0.9"),
    (Blind(), "sizes of Blind .* positive at every candidate"),
])  # fmt: skip
def test_wrong_proposals(proposal, message):
    with pytest.raises(AssertionError, match=message):
        check_proposal(proposal)


class AlwaysAccepting(DiscreteLangevin):
    @torch.no_grad()
    def __call__(self, target, state):
        moved = self.propose(target, state.encoded, state.known[1])
        return self.init(target, moved)._replace(acceptance=torch.ones_like(state.known[0]))


class Forgetful(DiscreteLangevin):
    def __call__(self, target, state):
        return super().__call__(target, state)._replace(known=state.known)


class NoisySweep(GibbsSweep):
    def __call__(self, target, state):
        torch.rand(())
        return super().__call__(target, state)


class Unclamped(GibbsSweep):
    def __call__(self, target, state):
        return super().__call__(dataclasses.replace(target, active=None), state)


class SharedCoin(GibbsSweep):
    def __call__(self, target, state):
        randomness.flip_coins(torch.tensor(0.5))
        return super().__call__(target, state)


class Refusing(GibbsSweep):
    def __call__(self, target, state):
        raise ValueError("not this one")


@pytest.mark.parametrize(("step", "message"), [
    (AlwaysAccepting(step_size=1.0), "pi P = pi, but AlwaysAccepting .* Metropolis-Hastings"),
    (Forgetful(step_size=1.0), "two steps of Forgetful .* ChainState.known"),
    (NoisySweep(), "draws by pyro_rm.markov_steps.randomness alone"),
    (Unclamped(), "clamped sites to stay, but Unclamped"),
    (SharedCoin(), "each chain draws by its own randomness"),
    (Refusing(), r"Refusing\(\) to move one of .* refused all: .*not this one"),
])  # fmt: skip
def test_wrong_steps(step, message):
    with pytest.raises(AssertionError, match=message):
        check_step(step)


def test_steps_whose_branches_are_too_many(monkeypatch):
    monkeypatch.setattr(branches, "_MOST_RUNS", 100)
    with pytest.raises(ValueError, match="fewer draws or proposals"):
        check_step(DiscreteLangevin(num_proposals=9), IsingEnergy(3))


class WrongAtOneSite(IsingEnergy):
    def gap_table(self, x):
        table = super().gap_table(x).clone()
        table[..., 2] *= 1.01
        return table


class OnTheHost(torch.nn.Module):
    """Makes a tensor where the data are not."""

    state_space = StateSpace(3)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, x):
        return (x * self.weight * torch.arange(3.0).to(x.dtype)).sum(-1)


class Single(OnTheHost):
    """Loses double precision on the way."""

    def forward(self, x):
        return (x * self.weight).float().sum(-1)


class OneDimension(OnTheHost):
    def forward(self, x):
        return torch.stack([(row * self.weight).sum() for row in x])


class Noisy(OnTheHost):
    def forward(self, x):
        return (x * self.weight).sum(-1) + torch.rand(x.shape[:-1], device=x.device, dtype=x.dtype)


class FalseSum(MLPEnergy):
    def log_partition(self, max_states):
        return self.weight.sum()


class FalseLayers(energies.RBMEnergy):
    def visible_logits(self, hidden):
        return super().visible_logits(hidden) + 0.1


class FalsePrepared(MLPEnergy):
    def prepared_at(self, x):
        kept = self.energy_and_gradient(x)
        near = MLPEnergy.prepared_at(self, x)
        near.energy_and_gradient = lambda x, **_: kept
        return near

    def energy_and_gradient(self, x, differentiable=False):
        value = self(x)
        return value.detach(), torch.zeros_like(x)


@pytest.mark.parametrize(("energy", "message"), [
    (WrongAtOneSite(4), r"gap_table of WrongAtOneSite to be .* at site 2, datum \(\d+,\), but got"),
    (OnTheHost(), "OnTheHost to run on the device .* its call fails on another device"),
    (Single(), "Single .*in torch.float64, as the data and parameters are, but got"),
    (FalseSum(3, (4,)), "log_partition of FalseSum"),
    (FalseLayers(2, 2), "pi P = pi, but BlockGibbs"),
    (FalsePrepared(3, (4,)), "the gradient of energy_and_gradient of FalsePrepared"),
])  # fmt: skip
def test_wrong_energies(energy, message):
    with pytest.raises(AssertionError, match=message):
        check_energy(energy)


@pytest.mark.parametrize("energy", [OneDimension(), Noisy()])
def test_energies_that_do_not_broadcast_or_repeat(energy):
    with pytest.raises((AssertionError, pyro_rm.energy_protocol.EnergyError), match="Expected"):
        check_energy(energy)


def test_functions_without_parameters_are_checked_where_their_data_are():
    weight = torch.arange(3, dtype=torch.float64)

    def energy(x):
        return x @ weight

    energy.dtype = torch.float64
    with pytest.raises(AssertionError, match="energy to run on the device of its parameters"):
        check_energy(energy, StateSpace(3))
