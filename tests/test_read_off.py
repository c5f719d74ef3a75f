"""Partition functions that are read off the top level of noise."""

import sys
from pathlib import Path

import pytest
import torch

from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, with_levels
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.evaluation import IndependentSites, ReadOff, log_partition, read_off
from pyro_rm.infer import NoiseLevels
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

sys.path.insert(0, str(Path(__file__).parent))
from level_tables import LevelTable, level_marginals


def optimal(space, levels, constant):
    """A table that was fitted perfectly, up to its constant."""
    data = torch.linspace(0.0, 3.0, space.num_states, dtype=torch.float64).softmax(0)
    return LevelTable(space, constant - level_marginals(levels, space, data).log())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("space", [StateSpace(4), StateSpace(3, (2, 3, 4))])
@pytest.mark.parametrize("shares", [None, (0.7, 0.1, 0.2)])
def test_it_is_exact_where_the_fit_is(space, shares):
    levels = NoiseLevels((0.0, 0.5, 1.0), shares=shares)
    energy = optimal(space, levels, 3.25)
    found = read_off(energy, levels=levels, num_draws=50)
    assert abs(found.log_partition.item() + 3.25) < 1e-12
    assert found.standard_error < 1e-12
    assert abs(found.log_partition - log_partition(Target.of(energy, levels=levels))) < 1e-10


def test_it_is_the_mean_weight_of_draws_and_knows_its_error():
    """Of a top level that is not the background: fails below 1e-8, at six standard errors."""
    energy, levels = MLPEnergy(5, (8,), num_levels=2).double(), NoiseLevels((0.0, 1.0))
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    exact = log_partition(Target.of(energy).between(1))
    found = read_off(energy, levels=levels, num_draws=100_000)
    assert 0.001 < found.standard_error < 0.1
    assert abs(found.log_partition - exact) < 6 * found.standard_error


def test_levels_that_do_not_overlap_are_told_apart():
    space = StateSpace(8)
    data = torch.zeros(2**8, dtype=torch.float64)
    data[0] = 1.0
    for probabilities, low, high in [((0.0, 0.1, 1.0), 0.95, 1.0), ((0.0, 0.9, 1.0), 0.5, 0.75)]:
        levels = NoiseLevels(probabilities)
        table = level_marginals(levels, space, data).clamp(min=1e-30)
        found = read_off(LevelTable(space, -table.log()), levels=levels)
        assert low <= found.level_accuracy <= high


def test_a_single_level_of_noise_is_no_way_down():
    with pytest.raises(ValueError, match=r"levels of noise from 0 to 1, but got \(1.0,\)"):
        read_off(MLPEnergy(3, (4,), num_levels=1), levels=NoiseLevels((1.0,)))


@pytest.mark.parametrize(
    ("levels", "got"),
    [
        (None, "none"),
        (NoiseLevels((0.0, 0.5)), r"\(0.0, 0.5\)"),
        (NoiseLevels((0.5, 1.0)), r"\(0.5, 1.0\)"),
    ],
)
def test_models_whose_levels_do_not_go_from_0_to_1_are_refused(levels, got):
    model = EnergyModel(MLPEnergy(3, (4,), num_levels=2), levels=levels)
    with pytest.raises(ValueError, match=f"from 0 to 1, but got {got}. Fit an energy with"):
        read_off(model)


def test_models_whose_partition_functions_differ_are_refused():
    energy, levels = with_levels(IsingEnergy(3), 2), NoiseLevels((0.0, 1.0))
    active = torch.tensor([True, True, False])
    batched = MLPEnergy(3, (4,), num_levels=2)
    batched.batch_shape = torch.Size([2])
    for model in (
        EnergyModel(energy, levels=levels, active=active),
        Target(energy, StateSpace(3), (torch.zeros(2, 3),), levels=levels),
        Target.of(batched, levels=levels),
    ):
        with pytest.raises(ValueError, match="Expected one model of all sites, but got one with a"):
            read_off(model)


def test_a_background_under_which_data_are_impossible_is_refused():
    class Never:
        """Puts all probability on one state, and draws others."""

        state_space = StateSpace(3)

        def __call__(self, encoded):
            return torch.where(encoded.sum(-1) == 0, 0.0, torch.inf)

        def sample(self, count):
            return torch.ones(count, 3)

    energy = MLPEnergy(3, (4,), num_levels=2)
    with pytest.raises(EnergyError, match="all data are possible, but got probability 0"):
        read_off(energy, levels=NoiseLevels((0.0, 1.0), Never()))


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="num_draws to be at least 2"):
        read_off(MLPEnergy(3, (4,), num_levels=2), levels=NoiseLevels((0.0, 1.0)), num_draws=1)


def test_a_fitted_background_enters_with_its_constant():
    """Energies that are the background itself at each level have log Z = 0."""
    x = torch.bernoulli(torch.full((50, 6), 0.2))
    background = IndependentSites.fit(x, StateSpace(6))
    energy = background + with_levels(lambda x: 0 * x.sum(-1), 2, state_space=StateSpace(6))
    found = read_off(energy, levels=NoiseLevels((0.0, 1.0), background))
    assert isinstance(found, ReadOff)
    assert abs(found.log_partition) < 1e-5
