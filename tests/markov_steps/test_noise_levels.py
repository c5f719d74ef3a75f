"""Corruption against its channel; training and sampling by levels against enumeration."""

import pyro
import pytest
import torch
from pyro.infer import SVI

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, with_levels
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.generic_paths import evaluated_gaps
from pyro_rm.infer import NoiseLevels, sample_by_levels
from pyro_rm.markov_steps import chains
from pyro_rm.neighborhoods import all_neighbors, at_neighbors
from pyro_rm.noise_levels import draw_background
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

SPACES = [StateSpace(3), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]


@pytest.mark.parametrize("space", SPACES)
def test_corruption_is_its_channel(space):
    """Fails with probability below 1e-7: six standard errors on 40 000 draws."""
    levels, n = NoiseLevels((0.0, 0.3, 1.0)), 40_000
    x = states_at(space, torch.tensor(space.num_states - 2)).expand(n, 3)
    for level, p in enumerate(levels.probabilities):
        noisy = levels.corrupt(space, x, torch.tensor(level))
        space.validate(noisy)
        for site, k in enumerate(space.categories):
            stay = 1 - p + p / k
            share = (noisy[:, site] == x[:, site]).double().mean().item()
            assert abs(share - stay) <= 6 * (stay * (1 - stay) / n) ** 0.5


def test_background_and_active_sites():
    space, levels = StateSpace(4), NoiseLevels((1.0,))
    active = torch.tensor([True, True, False, False])
    x = torch.tensor([0.0, 1.0, 0.0, torch.nan])
    background = torch.tensor([1.0, 0.0, 1.0, 1.0])
    noisy = levels.corrupt(space, x, torch.tensor(0), background=background, active=active)
    assert noisy[:3].tolist() == [1, 0, 0]
    assert noisy[3].isnan()
    categorical = StateSpace(2, 3)
    table = torch.eye(3)[[2, 0]]
    drawn = draw_background(categorical, torch.zeros(5, 2, dtype=torch.long), table)
    assert drawn.tolist() == [[2, 0]] * 5


def test_corruption_at_mixed_levels():
    levels = NoiseLevels((0.0, 1.0))
    x = torch.ones(2, 50, 8)
    level = torch.tensor([[0] * 50, [1] * 50])
    noisy = levels.corrupt(StateSpace(8), x, level, background=torch.zeros(()))
    assert (noisy[0] == 1).all()
    assert (noisy[1] == 0).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "base",
    [IsingEnergy(3), MLPEnergy(3, (4,)), PottsEnergy(3, 3), MLPEnergy(3, (4,), num_categories=3)],
)
def test_leveled_energy_keeps_fast_gaps(base):
    energy = with_levels(base.double(), 3)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space = energy.state_space
    x = space.encode(states_at(space, torch.arange(8)), torch.float64)
    level = torch.arange(8) % 3
    neighbors, exists = all_neighbors(space, x)
    expected = evaluated_gaps(lambda x, c: energy(x, *c), space, x, neighbors, (level,))
    fast = at_neighbors(Target(energy, space, (level,)).gap_table(x), neighbors)
    torch.testing.assert_close(fast * exists, expected * exists)
    torch.testing.assert_close(energy(x, torch.zeros(8, dtype=torch.long)), base(x))


@pytest.mark.parametrize(
    "objective", ["pseudolikelihood", "ratio_matching", "minimum_probability_flow"]
)
def test_every_level_is_learned_in_a_pyro_program(objective):
    """A table of energies for each level; the target is the channel's exact marginal."""
    space, levels = StateSpace(2), NoiseLevels((0.0, 0.5, 1.0))
    states = states_at(space, torch.arange(4))
    data = torch.tensor([0.1, 0.2, 0.3, 0.4])
    distance = (states[:, None] != states[None]).sum(-1)

    class Table(torch.nn.Module):
        state_space = space

        def __init__(self):
            super().__init__()
            self.values = torch.nn.Parameter(torch.zeros(3, 4))

        def forward(self, x, level):
            return self.values[level, index_of(space, x)]

    energy = Table()

    def model(x, level):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            given = EnergyModel(energy, context=level, context_event_dim=0)
            pyro.sample("x", given, obs=levels.corrupt(space, x, level))

    adam = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.02 ** (1 / 500)})
    svi = SVI(model, lambda *_: None, adam, loss=pyro_rm.RatioMatchingLoss(objective, "all"))
    for _ in range(500):
        x = states[torch.multinomial(data, 500, replacement=True)]
        svi.step(x, levels.draw((500,)))
    for level, p in enumerate(levels.probabilities):
        channel = (1 - p / 2) ** (2 - distance) * (p / 2) ** distance
        learned = torch.softmax(-energy.values[level], 0)
        assert (learned - channel.T @ data).abs().max() < 0.03  # about 60 000 draws a level


def test_chains_walk_to_the_last_level():
    """Fails with probability below 1e-8: six standard errors on 20 000 chains."""
    base = MLPEnergy(3, (6,))
    energy = with_levels(base, 3)
    base.layers[-1].weight.data.mul_(5)
    space, n = energy.state_space, 20_000
    start = draw_background(space, torch.zeros(n, 3))
    moved = sample_by_levels(energy, start, num_levels=3, num_steps=6, progress=False)
    p = torch.softmax(-base(states_at(space, torch.arange(8))), 0)
    frequency = index_of(space, moved).bincount(minlength=8) / n
    assert ((frequency - p).abs() < 6 * (p * (1 - p) / n).sqrt()).all()


def test_progress_is_shown_unless_it_is_not_wanted(capfd, monkeypatch):
    monkeypatch.setattr(chains, "SECONDS_BEFORE_A_BAR", 0.0)
    energy = with_levels(MLPEnergy(3, (6,)), 2)
    for options, shown in [({}, True), ({"progress": False}, False)]:
        sample_by_levels(energy, torch.zeros(2, 3), num_levels=2, **options)
        assert ("sample" in capfd.readouterr().err) == shown


def test_categorical_chains_are_codes_and_clamped():
    energy = with_levels(PottsEnergy(3, 3), 2)
    start = torch.tensor([[0, 1, 2]] * 4)
    active = torch.tensor([True, False, True])
    moved = sample_by_levels(energy, start, num_levels=2, active=active, progress=False)
    assert moved.dtype == torch.long
    assert (moved[:, 1] == 1).all()


@pytest.mark.parametrize("probabilities", [(), (0.5, 0.1), (0.1, 0.1), (-0.1, 1.0), (0.0, 1.5)])
def test_levels_out_of_order_are_refused(probabilities):
    with pytest.raises(ValueError, match=r"increasing probabilities in \[0, 1\], but got"):
        NoiseLevels(probabilities)


def test_leveled_energy_needs_a_space_and_levels():
    with pytest.raises(ValueError, match="energy with a state_space"):
        with_levels(lambda x: x.sum(-1), 2)
    with pytest.raises(ValueError, match="num_levels to be at least 1, but got 0"):
        with_levels(IsingEnergy(2), 0)
