"""Annealing from the background down the levels of noise, against exact sums."""

import sys
from pathlib import Path

import pytest
import torch

from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, with_levels
from pyro_rm.evaluation import (
    IndependentSites,
    annealed_importance_sampling,
    exact_samples,
    log_likelihood,
    log_partition,
    read_off,
)
from pyro_rm.evaluation.annealing_paths import annealing_path
from pyro_rm.infer import NoiseLevels
from pyro_rm.markov_steps import GibbsSweep, ParallelTempering, SimulatedTempering
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

sys.path.insert(0, str(Path(__file__).parents[1]))
from level_tables import LevelTable, every_state, level_marginals

LEVELS = NoiseLevels((0.0, 0.3, 1.0))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPEnergy(4, (5,), num_levels=3),
        lambda: with_levels(IsingEnergy(4), 3),
        lambda: with_levels(PottsEnergy(3, 3), 3),
        lambda: MLPEnergy(4, (5,), num_levels=3) + with_levels(IsingEnergy(4), 3),
    ],
)
def test_the_path_passes_all_levels(make):
    """From the base, with its constant, by each level, to the energy of the data."""
    energy = make()
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space = energy.state_space
    base = IndependentSites.fit(every_state(space)[: space.num_states // 3], space)
    target = Target.of(energy, levels=LEVELS)
    path, x = annealing_path(base, target), target.encode(every_state(space))
    table = target.level_energies(x, 3)
    torch.testing.assert_close(path.at(0.0)(x) + path.log_partition_at_base, base(x))
    for beta, expected in [
        (1 / 6, (base(x) + table[:, 2]) / 2),
        (1 / 3, table[:, 2]),
        (1 / 2, (table[:, 2] + table[:, 1]) / 2),
        (2 / 3, table[:, 1]),
        (1.0, table[:, 0]),
    ]:
        torch.testing.assert_close(path.at(beta)(x), expected)
        assert path.at(beta).levels is None


def test_a_base_on_another_space_is_refused():
    target = Target.of(MLPEnergy(4, (5,), num_levels=3), levels=LEVELS)
    with pytest.raises(ValueError, match="they do not overlap"):
        annealing_path(IndependentSites.uniform(StateSpace(3)), target)


def test_steps_that_temper_are_refused():
    target = Target.of(MLPEnergy(4, (5,), num_levels=3), levels=LEVELS)
    base = IndependentSites.uniform(StateSpace(4))
    for step in (SimulatedTempering(GibbsSweep()), ParallelTempering(GibbsSweep(), (1.0, 0.5))):
        with pytest.raises(ValueError, match=r"one level, but got .* Pass the step underneath"):
            annealed_importance_sampling(target, base, step=step)


def fitted(space, levels):
    """A perfect fit of an uneven distribution, up to a constant."""
    data = torch.linspace(0, 9, space.num_states, dtype=torch.float64).sin().mul(3).softmax(0)
    return data, LevelTable(space, 0.75 - level_marginals(levels, space, data).log())


def test_both_ends_bound_the_constant_of_a_perfect_fit():
    """Bounds that hold but for 2 in 1000; and weights within six standard errors."""
    space = StateSpace(5)
    _, energy = fitted(space, LEVELS)
    model = EnergyModel(energy, levels=LEVELS)
    found = annealed_importance_sampling(
        model,
        IndependentSites.uniform(space),
        exact_samples=exact_samples(model, 300),
        num_chains=300,
        inverse_temperatures=31,
        progress=False,
    )
    low, high = found.bounds(0.002)
    assert low <= -0.75 <= high
    assert abs(found.lower.log_partition + 0.75) < 6 * found.lower.standard_error + 1e-9
    assert abs(found.upper.log_partition + 0.75) < 6 * found.upper.standard_error + 1e-9


@pytest.mark.parametrize("background", [None, "fitted"])
def test_a_likelihood_that_is_not_exact_is_read_off_and_bracketed(background):
    """Annealed means lie within six standard errors of the exact one; and data are few."""
    space = StateSpace(6)
    base = None
    if background == "fitted":
        base = IndependentSites.fit(every_state(space)[:20], space)
    levels = NoiseLevels((0.0, 0.3, 0.6, 1.0), base)
    _, energy = fitted(space, levels)
    model = EnergyModel(energy, levels=levels)
    x = exact_samples(model, 200)
    exact = log_likelihood(model, x, progress=False)
    assert exact.annealed is None
    assert abs(exact.log_partition + 0.75) < 1e-6
    assert abs(exact.read_off_mean - exact.mean) < 1e-6
    found = log_likelihood(
        model, x, max_states=8, num_chains=200, inverse_temperatures=41, num_steps=20,
        progress=False,
    )  # fmt: skip
    assert abs(found.read_off_mean - exact.mean) < 1e-6
    lower, upper = found.annealed.lower, found.annealed.upper
    error = 6 * max(lower.standard_error, upper.standard_error)
    assert found.mean - error <= exact.mean <= found.optimistic_mean + error
    assert lower.effective_sample_size > 50
    torch.testing.assert_close(
        found.per_datum + found.log_partition, exact.per_datum + exact.log_partition
    )


def test_models_without_levels_have_nothing_to_read_off():
    assert log_likelihood(IsingEnergy(3), torch.zeros(5, 3)).read_off_mean is None


def test_what_no_level_reaches_shows_between_read_off_and_sum():
    """A phantom mode at the data's level alone: the read-off knows nothing of it."""
    space = StateSpace(6)
    _, energy = fitted(space, LEVELS)
    before = log_partition(Target.of(energy, levels=LEVELS))
    energy.values.data[0, 37] = -3.0
    target = Target.of(energy, levels=LEVELS)
    assert abs(read_off(target).log_partition - before) < 1e-9
    assert log_partition(target) > before + 1
