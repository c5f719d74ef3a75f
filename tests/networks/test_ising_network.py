"""The front door for binary tables: scikit-learn's conventions, names, blanks, separation."""

from collections import Counter

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from pyro_rm import estimate
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.networks import IsingNetwork, PottsNetwork, Selection, recode
from pyro_rm.networks.observations import Observations
from pyro_rm.state_space import StateSpace

NAMES = ["ann", "ben", "cem", "dan"]


def votes(num_rows=1000, blanks=0.0):
    couplings = torch.zeros(4, 4)
    couplings[0, 1] = couplings[1, 0] = 2.0
    couplings[2, 3] = couplings[3, 2] = -2.0
    x = NormalizedModel(Ising(couplings, -couplings.sum(1) / 2)).sample((num_rows,))
    x = torch.where(torch.rand(x.shape) < blanks, torch.nan, x)
    return pd.DataFrame(x.numpy(), columns=NAMES)


def test_a_network_has_the_names_of_the_columns_and_intervals():
    network = IsingNetwork().fit(votes())
    with pytest.raises(ValueError, match="level between 0 and 1"):
        network.to_networkx(level=95)
    graph = network.to_networkx(level=0.999)
    assert list(graph.nodes) == NAMES
    assert {frozenset(edge) for edge in graph.edges} == {
        frozenset(("ann", "ben")), frozenset(("cem", "dan")),
    }  # fmt: skip
    for (first, _, edge), truth in zip(graph.edges(data=True), (2.0, -2.0), strict=True):
        assert edge["lower"] < truth < edge["upper"], first
        assert edge["lower"] < edge["weight"] < edge["upper"]
    assert network.couplings_[2, 3] == network.couplings_[3, 2] == graph["cem"]["dan"]["weight"]


def test_blank_cells_drop_no_row_and_bias_nothing():
    """Five standard errors, of about 0.2 with a fifth of the cells blank."""
    table = votes(2000, blanks=0.2)
    network = IsingNetwork().fit(table)
    assert network.num_missing_ == int(table.isna().to_numpy().sum())
    first = {tuple(edge) for edge in network.edges_.tolist()}
    assert first >= {(0, 1), (2, 3)}
    error = network.couplings_[0, 1] - 2
    assert abs(error) < 5 * network.standard_errors_[0]
    assert network.standard_errors_[0] < 0.3
    assert np.isfinite(network.score(table))


def test_score_is_the_mean_log_pseudolikelihood():
    table = votes()
    network = IsingNetwork().fit(table)
    values = torch.tensor(table.to_numpy(), dtype=torch.float64)
    expected = -estimate(network.energy_, values).mean().item()
    assert network.score(table) == pytest.approx(expected)


def test_samples_are_like_the_data():
    """Correlations of 2000 draws and 1000 data: five standard errors are 0.2."""
    table = votes()
    samples = IsingNetwork().fit(table).sample(2000, num_steps=30)
    assert set(np.unique(samples)) == {0, 1}
    assert np.abs(np.corrcoef(samples.T) - np.corrcoef(table.to_numpy().T)).max() < 0.2


def test_codings_are_converted_as_documented():
    table = votes()
    bits = IsingNetwork(selection=None).fit(table)
    spins = IsingNetwork(selection=None).fit(2 * table - 1)
    couplings, fields = recode(
        torch.tensor(bits.couplings_), torch.tensor(bits.fields_), source=(0, 1), target=(-1, 1)
    )
    np.testing.assert_allclose(spins.couplings_, couplings, atol=1e-3)
    np.testing.assert_allclose(spins.fields_, fields, atol=1e-3)


def test_scikit_learn_conventions():
    network = IsingNetwork(selection=Selection(gamma=0.0), ridge=2.0)
    twin = clone(network)
    assert twin.get_params() == network.get_params()
    assert "ridge=2.0" in repr(network)
    assert network.set_params(ridge=1.0).ridge == 1.0
    with pytest.raises(ValueError, match="but got 'rigde'"):
        network.set_params(rigde=1.0)
    with pytest.raises(ValueError, match="Call fit first"):
        network.sample()
    search = GridSearchCV(IsingNetwork(), {"selection": ["ebic", None]}, cv=2).fit(votes(300))
    assert search.best_score_ < 0


def test_a_given_graph_is_fitted_as_it_is():
    graph = nx.Graph([("ann", "ben"), ("ben", "cem")])
    network = IsingNetwork(graph=graph).fit(votes())
    assert network.edges_.tolist() == [[0, 1], [1, 2]]
    with pytest.raises(ValueError, match="'eve' is none"):
        IsingNetwork(graph=nx.Graph([("ann", "eve")])).fit(votes())


def test_a_large_given_graph_needs_no_matrix_over_pairs():
    """A matrix over all pairs would take 288 MB, a covariance 1.2 GB."""
    x = torch.randint(2, (60, 6000)).double()
    network = IsingNetwork(graph=nx.path_graph(6000), ridge=1.0).fit(x)
    assert network.weights_.shape == (5999,)
    assert abs(network.weights_.mean()) < 0.1  # eight standard errors
    assert np.isnan(network.standard_errors_).all()


def test_weights_of_rows_are_repetitions():
    table = votes(300)
    weights = np.tile([2, 1, 0], 100)
    weighted = IsingNetwork(selection=None).fit(table, sample_weight=weights)
    repeated = IsingNetwork(selection=None).fit(table.loc[table.index.repeat(weights)])
    np.testing.assert_allclose(weighted.couplings_, repeated.couplings_, atol=1e-4)


@pytest.mark.parametrize("selection", ["ebic", None])
@pytest.mark.parametrize("states", [(0, 1), (-1, 1)])
def test_separation_is_said_and_costs_the_other_pairs_nothing(selection, states):
    table = votes(300)
    table["ben"] = table["ann"] * (torch.rand(300) < 0.7).numpy()  # never 1 where ann is 0
    low, high = states
    table = low + (high - low) * table
    network = IsingNetwork(selection=selection)
    empty = rf"no row has 'ann' = {low} with 'ben' = 1 \(separation\)"
    with pytest.warns(UserWarning, match=empty) as caught:
        network.fit(table)
    assert len(caught) == 1
    assert network.separated_.tolist() == [[0, 1]]
    edges = network.edges_.tolist()
    separated = np.array([edge == [0, 1] for edge in edges])
    assert np.isnan(network.standard_errors_[separated]).all()
    assert np.isfinite(network.standard_errors_[~separated]).all()
    assert 1 < network.couplings_[0, 1] * (high - low) ** 2 < 20
    without = IsingNetwork(selection=None).fit(table.drop(columns="ben"))
    shared = network.couplings_[2, 3]
    assert shared == pytest.approx(without.couplings_[1, 2], abs=0.05)


@pytest.mark.parametrize(("states", "sign"), [((0, 1), 1), ((-1, 1), 1), ((0, 1), -1)])
def test_intervals_of_separated_pairs_are_one_sided(states, sign):
    """One pair of answers that 200 rows would show 5 times, had the columns no coupling."""
    x = np.zeros((200, 2))
    x[:50, 0] = x[:20, 1] = 1  # 30 rows have 1, 0; 150 have 0, 0; none has 0, 1
    x[:, 1] = x[:, 1] if sign > 0 else 1 - x[:, 1]
    low, high = states
    with pytest.warns(UserWarning, match="separation"):
        network = IsingNetwork(selection=None).fit(low + (high - low) * x)
    bounds = []
    for level in (0.5, 0.9, 0.99):
        row = network.summary(level=level).iloc[0]
        assert row.separated
        assert np.isnan(row.standard_error)
        open_end, bound = (row.upper, row.lower) if sign > 0 else (-row.lower, -row.upper)
        assert open_end == np.inf
        grid, statistic = network.profiles_[0]
        order = np.argsort(grid)
        ends = sign * grid[[0, -1]] * (high - low) ** 2
        np.testing.assert_allclose(ends, [-4, 12])  # log odds ratios, whatever the coding
        end = np.interp(sign * bound, grid[order], statistic[order])
        assert end == pytest.approx(-2 * np.log((1 - level) / 2))
        bounds.append(bound * (high - low) ** 2)
    assert bounds == sorted(bounds, reverse=True)
    assert 1.5 < bounds[1] < 6  # the exact test of no coupling refuses it at a level of 1e-12


@pytest.mark.parametrize("options", [{}, {"ridge": 1.0}, {"states": (0, 1)}])
@pytest.mark.parametrize(("num_rows", "num_columns", "rate"), [
    (60, 12, 0.1), (60, 12, 0.3), (40, 20, 0.3), (100, 20, 0.1),
])  # fmt: skip
def test_noise_has_hardly_an_edge_and_is_never_refused(options, num_rows, num_columns, rate):
    """By the bound six sets have 0.42 edges at most: more than two, with a probability of 0.009."""
    edges = 0
    for _ in range(6):
        x = torch.bernoulli(torch.full((num_rows, num_columns), rate))
        x = x[:, x.std(0) > 0].unique(dim=1)  # neither constant columns nor copies
        edges += len(IsingNetwork(**options).fit(x).edges_)
    assert edges <= 2


def test_scoring_needs_the_same_columns_and_coding():
    network = IsingNetwork().fit(votes())
    with pytest.raises(ValueError, match="4 columns, but got 3"):
        network.score(votes()[NAMES[:3]])
    with pytest.raises(ValueError, match=r"Pass \(X \+ 1\) / 2"):
        network.score(2 * votes() - 1)
    with pytest.raises(ValueError, match=r"Pass 2 \* X - 1"):
        network.fit(2 * votes() - 1).score(votes())


def test_house_votes_keep_every_row(real_data):
    table = pd.read_csv(real_data / "ising" / "house_votes_84.csv").drop(columns="party")
    network = IsingNetwork(ridge=1.0, num_fills=3, num_rounds=2).fit(table)
    assert network.num_missing_ == 392
    assert network.to_networkx().number_of_nodes() == 16
    assert len(network.edges_) > 16


@pytest.mark.parametrize("network", [IsingNetwork(), PottsNetwork()], ids=["Ising", "Potts"])
def test_data_are_checked_and_encoded_once_a_fit(network, monkeypatch):
    calls = Counter()
    originals = {name: getattr(StateSpace, name) for name in ("validate", "encode")}

    def counting(name):
        def counted(self, *args):
            calls[name] += 1
            return originals[name](self, *args)

        return counted

    for name in originals:
        monkeypatch.setattr(StateSpace, name, counting(name))
    kinds = 2 if isinstance(network, IsingNetwork) else 3
    network.fit(torch.randint(kinds, (300, 6)).numpy())
    assert calls == {"validate": 1, "encode": 1}


def test_few_states_are_summed_once_each():
    values = torch.bernoulli(torch.full((100, 3), 0.5)).double()
    weights = torch.rand(100).double()
    rows, counts = Observations.of(values, StateSpace(3), weights).distinct
    assert len(rows) == 8
    torch.testing.assert_close(counts @ rows, weights @ values / weights.sum())
