"""Networks right as a whole: moments matched by chains, words where they are not."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.datasets import Alignment
from pyro_rm.enumeration import states_at
from pyro_rm.networks import IsingNetwork, PottsNetwork
from pyro_rm.networks import network as engine
from pyro_rm.networks.fitter import NetworkFit
from pyro_rm.networks.moment_matching import MomentMatching, Moments, _Ascent
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.sample_rates import rates_warning


@pytest.fixture
def short(monkeypatch):
    """Fewer and smaller steps than by default."""
    options = {"max_steps": 300, "num_chains": 2000, "num_moving": 1000, "num_sweeps": 2}
    monkeypatch.setattr(engine, "MomentMatching", lambda: MomentMatching(**options))


def words(num_data=1000, num_sites=50, seed=0):
    """Sparse words with a common drive, of which a local fit has most probability elsewhere."""
    rng = np.random.default_rng(seed)
    drive, own = rng.normal(size=(num_data, 1)), rng.normal(size=(num_data, num_sites))
    threshold = np.linspace(1.0, 1.9, num_sites)
    return (0.2**0.5 * drive + 0.8**0.5 * own > threshold).astype(float)


def exact_moments(network):
    """Moments of all states, weighed by their probabilities."""
    space = network.energy_.state_space
    states = states_at(space, torch.arange(space.num_states))
    encoded = space.encode(states, network.energy_.fields.dtype)
    return Moments.of(encoded.flatten(1), (-network.energy_(encoded)).softmax(0))


@pytest.mark.usefixtures("short")
def test_words_warnings_and_remedy():
    x = words(2000)
    local = IsingNetwork(selection=None, ridge=0.1, random_state=0).fit(x)
    with pytest.warns(
        UserWarning, match=r"Samples are where no datum is: .* columns have other rates"
    ):
        local.sample(300)
    found = local.check_fit(x, num_samples=200, num_steps=50)
    assert not found.ok
    whole = IsingNetwork(selection=None, ridge=0.1, random_state=0, generative=True).fit(x)
    assert abs(whole.sample(2000).mean() - x.mean()) < 0.02
    assert whole.pair_agreement_ > 0.8
    assert np.isnan(whole.standard_errors_).all()
    assert local.pair_agreement_ is None


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("make", [IsingNetwork, PottsNetwork])
def test_moments_are_those_of_weighted_data_with_blanks(make):
    """Oracle: all states. Chains of a step err by .016, steps average over many: .03 is far."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2 if make is IsingNetwork else 3, (400, 4)).astype(float)
    x[:, 1] = np.where(rng.random(400) < 0.6, x[:, 0], x[:, 1])
    weights = rng.random(400) + 0.5
    options = {"graph": nx.path_graph(4), "ridge": 0.01, "random_state": 0, "generative": True}
    network = make(**options).fit(x, sample_weight=weights)
    space = network.energy_.state_space
    encoded = space.encode(torch.tensor(x), torch.float64).flatten(1)
    data = Moments.of(encoded, torch.tensor(weights / weights.sum()))
    mine = exact_moments(network)
    width = space.max_categories if make is PottsNetwork else 1
    fitted = torch.tensor(nx.to_numpy_array(nx.path_graph(4))).repeat_interleave(width, 0)
    fitted = fitted.repeat_interleave(width, 1) > 0
    assert (mine.single - data.single).abs().max() < 0.03
    assert (mine.double - data.double)[fitted].abs().max() < 0.03
    assert len(network.edges_) == 3
    x[::9, 2] = np.nan
    assert np.isfinite(make(**options).fit(x).fields_).all()


def test_a_step_is_the_same_whatever_the_states_are_called():
    pairs, generator = torch.triu_indices(4, 4, 1).T, torch.Generator().manual_seed(0)
    bits, chains = torch.randint(2, (2, 200, 4), generator=generator).double().unbind(0)
    energies = []
    for low, high in ((0, 1), (-1, 1)):
        space = StateSpace(4, states=(low, high))
        observations = Observations.of(low + (high - low) * bits, space)
        model = PairwiseModel.on(space, pairs, bits)
        fit = NetworkFit(model.energy, pairs, None, 0.0)
        ascent = _Ascent(fit, observations, 0.0, 0.5)
        moved = low + (high - low) * chains
        with torch.no_grad():
            ascent.step(moved, ascent.moments(moved), 1.0)
            ascent.publish(fit)
            states = states_at(space, torch.arange(16)).double()
            energies.append((-fit.energy(states)).log_softmax(0))
    torch.testing.assert_close(*energies)
    assert energies[0].std() > 0.01


@pytest.mark.usefixtures("short")
def test_a_family_comes_back_in_letters_and_two_columns_are_enough(tmp_path):
    codes = torch.randint(3, (200, 3))
    codes[:, 1] = torch.where(torch.rand(200) < 0.7, codes[:, 0], codes[:, 1])
    network = PottsNetwork(generative=True, random_state=0).fit(Alignment(codes, alphabet="-AC"))
    assert set(network.sample(20).ravel()) <= set("-AC")
    network.save(tmp_path / "network.pt")
    again = PottsNetwork.load(tmp_path / "network.pt")
    assert again.pair_agreement_ == network.pair_agreement_
    assert np.array_equal(again.sample(5), network.sample(5))
    pair = IsingNetwork(selection=None, ridge=0.1, generative=True).fit(pd.DataFrame(words(200, 2)))
    assert np.isnan(pair.pair_agreement_)


def test_right_samples_are_left_alone():
    """A warning of right samples has probability below .001 together."""
    rates = torch.tensor([0.02, 0.5, 0.9]).expand(20, 3)
    table = torch.stack([1 - rates, rates], -1).flatten(0, 1)
    for num_draws in (0, 1, 3, 10, 100, 2000):
        draws = torch.bernoulli(table[:, 1].expand(num_draws, 60)).long()
        assert rates_warning(draws, table, 500, list(range(60))) is None
    assert rates_warning(torch.ones(50, 60).long(), table, 500, list(range(60))) is not None


def test_checks_want_complete_rows():
    x = words(100, 3)
    network = IsingNetwork(selection=None, ridge=0.1).fit(x)
    x[:90, 0] = np.nan
    with pytest.raises(ValueError, match="at least 20 data"):
        network.check_fit(x)
