"""Levels of noise: how they are chosen, drawn, shared and applied."""

import copy
import math
import pickle
from itertools import pairwise

import pytest
import torch

from pyro_rm.evaluation import ChowLiuTree, IndependentSites
from pyro_rm.infer import NoiseLevels
from pyro_rm.noise_levels import draw_background
from pyro_rm.state_space import StateSpace

SPACES = [StateSpace(20), StateSpace(20, states=(-1, 1)), StateSpace(8, (2, 3, 4, 5) * 2)]


def data_on(space):
    """Unequal frequencies of all values."""
    codes = (torch.rand(400, space.num_sites) ** 2 * torch.tensor(space.categories)).long()
    return torch.tensor(space.states)[codes].float() if space.is_binary else codes


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_fitted_levels_are_evenly_far_apart(space, fitted):
    """The angles of the share of sites that change, from 0 to that of the background alone."""
    x = data_on(space)
    background = IndependentSites.fit(x, space) if fitted else None
    levels = NoiseLevels.fit(x, space, background=background, spacing=0.7)
    assert levels.probabilities[0] == 0
    assert levels.probabilities[-1] == 1
    assert levels.background is background
    change = sum(1 - 1 / k for k in space.categories) / space.num_sites
    if fitted:
        redrawn = draw_background(space, x.repeat(50, 1), background)
        change = (redrawn != x.repeat(50, 1)).double().mean().item()
    angles = [math.asin((change * p) ** 0.5) for p in levels.probabilities]
    gaps = [b - a for a, b in pairwise(angles)]
    tolerance = 0.02 if fitted else 1e-12
    assert max(gaps) - min(gaps) < tolerance
    assert max(gaps) <= 0.7 / (2 * space.num_sites**0.5) + tolerance


def test_wider_spacing_is_fewer_levels():
    x, space = torch.zeros(4, 100), StateSpace(100)
    counts = [len(NoiseLevels.fit(x, space, spacing=s)) for s in (0.5, 1.0, 2.0, 1e6)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 2
    with pytest.raises(ValueError, match="Expected a positive spacing, but got 0"):
        NoiseLevels.fit(x, space, spacing=0)


def test_a_background_that_changes_nothing_gives_two_levels():
    space, never = StateSpace(6), IndependentSites(torch.full((6,), -99.0), StateSpace(6))
    assert NoiseLevels.fit(torch.zeros(9, 6), space, background=never).probabilities == (0, 1)


def test_data_of_another_space_are_refused():
    with pytest.raises(ValueError, match="Expected"):
        NoiseLevels.fit(torch.full((4, 3), 2.0), StateSpace(3))


@pytest.mark.parametrize("shares", [None, (1, 2, 7), (0.98, 0.01, 0.01)])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (64,), (3, 50)])
def test_each_level_is_drawn_as_often_as_its_share(shares, shape):
    """To within one, in every draw of all data; and each datum alone by the shares.

    The second fails with probability below 1e-7: six standard errors on 2000 draws.
    """
    levels, n = NoiseLevels((0.0, 0.3, 1.0), shares=shares), math.prod(shape)
    exact = levels.log_shares(torch.zeros((), dtype=torch.float64)).exp()
    first = torch.zeros(3, dtype=torch.float64)
    for _ in range(2000):
        drawn = levels.draw(shape)
        assert drawn.shape == shape
        count = drawn.flatten().bincount(minlength=3)
        assert ((count - n * exact).abs() < 1 + 1e-4).all()
        first[drawn.flatten()[0]] += 1 / 2000
    assert ((first - exact).abs() < 6 * (exact * (1 - exact) / 2000).sqrt()).all()


def test_shares_are_normalized_and_follow_the_levels():
    levels = NoiseLevels((0.0, 0.3, 1.0), shares=(1, 1, 2))
    assert levels.shares == (0.25, 0.25, 0.5)
    assert levels.first(2).probabilities == (0.0, 0.3)
    assert levels.first(2).shares == (0.5, 0.5)
    assert NoiseLevels((0.0, 1.0), noise_weight=0.2).first(1) == NoiseLevels(
        (0.0,), None, None, 0.2
    )
    like = torch.zeros((), dtype=torch.float64)
    assert NoiseLevels((0.0, 1.0)).log_shares(like).tolist() == [math.log(0.5)] * 2


def test_a_weight_of_noise_is_positive():
    for weight in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="Expected a positive noise_weight, but got"):
            NoiseLevels((0.0, 1.0), noise_weight=weight)


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.0), (1.0, -1.0), (0.2, 0.3, 0.5)])
def test_other_shares_are_refused(shares):
    with pytest.raises(ValueError, match="Expected 2 positive shares, one a level, but got"):
        NoiseLevels((0.0, 1.0), shares=shares)


@pytest.mark.parametrize("space", SPACES)
def test_all_noise_is_the_background(space):
    """Frequencies of redrawn sites; fails below 1e-6: six standard errors on 20 000 draws."""
    x = data_on(space)
    background, n = IndependentSites.fit(x, space), 20_000
    levels = NoiseLevels((0.0, 1.0), background)
    noisy = levels.corrupt(space, x[:1].expand(n, -1), torch.tensor(1))
    space.validate(noisy)
    assert noisy.dtype == x.dtype
    exact = background.logits.sigmoid() if space.is_binary else background.logits.softmax(-1)
    found = space.encode(noisy, torch.get_default_dtype())
    if space.is_binary:
        found = (found == space.states[1]).float()
    error = 6 * (exact * (1 - exact) / n).sqrt() + 1e-6
    assert ((found.mean(0) - exact).abs() < error).all()


def test_a_background_may_have_couplings():
    x = torch.bernoulli(torch.full((100, 1), 0.5)).expand(100, 4)
    tree = ChowLiuTree.fit(x, StateSpace(4))
    noisy = NoiseLevels((0.0, 1.0), tree).corrupt(StateSpace(4), x, torch.ones(100).long())
    assert (noisy == noisy[:, :1]).all(1).float().mean() > 0.8


def test_a_background_of_another_space_is_refused():
    levels = NoiseLevels((0.0, 1.0), IndependentSites.uniform(StateSpace(3)))
    with pytest.raises(ValueError, match="Expected a background on"):
        levels.corrupt(StateSpace(4), torch.zeros(2, 4), torch.tensor(1))


def test_levels_are_copied_and_pickled():
    x = data_on(StateSpace(20))
    levels = NoiseLevels.fit(
        x, StateSpace(20), background=IndependentSites.fit(x, StateSpace(20)), spacing=2.0
    )
    for other in (copy.deepcopy(levels), pickle.loads(pickle.dumps(levels))):
        assert other.probabilities == levels.probabilities
        torch.testing.assert_close(other.background.logits, levels.background.logits)
