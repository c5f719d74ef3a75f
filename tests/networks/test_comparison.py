"""Comparison of groups: batched fits against single ones, and tests of no difference."""

from math import erf

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm.networks import IsingNetwork, PottsNetwork, compare, simulate_ising
from pyro_rm.networks.batched_fits import BatchedFits
from pyro_rm.networks.comparison import _holm, _variance_of_strength

pytestmark = pytest.mark.usefixtures("float64")


def group(num_rows=300, coupling=0.4, seed=0):
    torch.manual_seed(seed)
    graph = nx.complete_graph(4)
    nx.set_edge_attributes(graph, 0.0, "weight")
    graph[0][1]["weight"], graph[1][2]["weight"] = coupling, -0.3
    x = simulate_ising(graph, num_rows, num_steps=30)
    return pd.DataFrame(x.numpy(), columns=list("abcd"))


def fitted(table, **options):
    return IsingNetwork(**{"selection": None, "random_state": 0} | options).fit(table)


@pytest.mark.parametrize("states", [(0, 1), (-1, 1)])
@pytest.mark.parametrize("graph", [None, nx.path_graph(["a", "b", "d", "c"])])
def test_batched_fits_are_single_fits_of_weighted_rows(states, graph):
    table = group() if states == (-1, 1) else (group() + 1) / 2
    options = {"graph": graph}
    network = fitted(table, **options)
    weights = torch.randint(0, 4, (3, 300)).double()
    couplings, fields = BatchedFits.of(network, network._read_like(table))(weights)
    for row, weight in enumerate(weights):
        single = fitted(table, **options).fit(table, sample_weight=weight)
        np.testing.assert_allclose(couplings[row], single.weights_, atol=2e-3)
        np.testing.assert_allclose(fields[row], single.fields_, atol=2e-3)


def test_batched_fits_of_blanks_are_single_ones():
    """Single fits average rounds of filling, which differ by less than a tenth of an error."""
    table = group()
    table = table.mask(np.random.default_rng(0).random(table.shape) < 0.15)
    network = fitted(table)
    weights = torch.randint(0, 3, (2, 300)).double()
    couplings, _ = BatchedFits.of(network, network._read_like(table))(weights)
    for row, weight in enumerate(weights):
        single = fitted(table).fit(table, sample_weight=weight)
        gap = np.abs(couplings[row].numpy() - single.weights_)
        assert (gap < 0.1 * single.standard_errors_).all()


def test_drawn_fills_are_weighed_by_each_fit():
    table = group(150)
    table = table.mask(np.random.default_rng(0).random(table.shape) < 0.15)
    all_fills = fitted(table)
    few = fitted(table).set_params(num_fills=1)  # up to 16 joint values: blanks are few
    values = all_fills._read_like(table)
    weights = torch.randint(0, 3, (2, 150)).double()
    first, second = (BatchedFits.of(n, values)(weights)[0] for n in (all_fills, few))
    torch.testing.assert_close(first, second)
    fits = BatchedFits.of(all_fills, values)
    drawn = torch.ones_like(fits.observations.drawn)
    object.__setattr__(fits.observations, "drawn", drawn)
    assert fits(weights)[0].isfinite().all()


def test_rare_answers_crash_no_fit():
    table = group()
    table["d"] = -1.0
    table.loc[:1, "d"] = 1.0
    with pytest.warns(UserWarning, match="no finite estimate"):
        network = fitted(table)
    weights = torch.ones(2, 300)
    weights[0, :2] = 0  # the column is constant then
    couplings, fields = BatchedFits.of(network, network._read_like(table))(weights)
    assert couplings.isfinite().all()
    assert couplings.abs().max() < 3
    assert fields.isfinite().all()


def test_wald_is_the_chi_square_of_differences():
    a, b = fitted(group()), fitted(group(seed=1, coupling=0.0))
    found = compare(a, b, level=0.95)
    spread = sum(n._model_covariance()[:6, :6] for n in (a, b))
    gap = a.weights_ - b.weights_
    assert found.all_edges.statistic == pytest.approx(gap @ np.linalg.solve(spread, gap))
    assert found.all_edges.degrees_of_freedom == 6
    chi = torch.distributions.Chi2(torch.tensor(6.0)).sample((200_000,))
    tail = (chi > found.all_edges.statistic).double().mean().item()
    assert found.all_edges.p_value == pytest.approx(tail, abs=0.01)
    table = found.table
    z = table.difference / table.standard_error
    normal = torch.distributions.Normal(0.0, 1.0)
    tails = 2 * (1 - normal.cdf(torch.tensor(z.abs().to_numpy())))
    np.testing.assert_allclose(table.p_value, tails.numpy(), atol=1e-9)
    np.testing.assert_allclose(table.upper - table.difference, 1.959964 * table.standard_error)
    assert table.p_value[0] < 0.001
    strength = np.abs(a.weights_).sum() - np.abs(b.weights_).sum()
    assert found.global_strength.statistic == pytest.approx(strength)
    assert 0 < found.global_strength.p_value < 1
    assert found.permuted_edges is None


def test_permutations_find_the_edge_that_differs():
    """A difference of 0.4 is five standard errors: no permutation of 99 has a larger one."""
    tables = group(), group(seed=1, coupling=0.0)
    found = compare(*map(fitted, tables), data=tables, num_permutations=99)
    assert found.permuted_maximum.p_value == 0.01
    assert found.table.p_permuted[0] == 0.01
    assert found.table.p_permuted[1:].min() > 0.01
    same = compare(*map(fitted, tables), data=tables, num_permutations=99)
    np.testing.assert_array_equal(found.permuted_edges, same.permuted_edges)


def test_pairs_are_permuted_within():
    table = group(100)
    other = table.copy()  # each pair is alike: every grouping is the same
    found = compare(
        fitted(table), fitted(other), data=(table, other), paired=True, num_permutations=20
    )
    np.testing.assert_allclose(found.differences, 0, atol=1e-9)
    assert found.permuted_strength.p_value == 1
    with pytest.raises(ValueError, match="Expected pairs of rows"):
        compare(fitted(table), fitted(table), data=(table, table[1:]), paired=True)


def test_weights_stay_with_their_rows():
    """Rows of weight 2 are rows that are there twice, to the estimate."""
    table, other = group(80), group(80, seed=1)
    weights = np.tile([1.0, 2.0], 40)
    twice = table.loc[table.index.repeat(weights.astype(int))]
    found = compare(
        fitted(table), fitted(other), data=(table, other), sample_weight=(weights, None),
        num_permutations=1,
    )  # fmt: skip
    again = compare(fitted(twice), fitted(other), data=(twice, other), num_permutations=1)
    maxima = [c.permuted_maximum.statistic for c in (found, again)]
    assert maxima[0] == pytest.approx(maxima[1], rel=1e-4)


def test_p_values_are_adjusted_by_holm():
    adjusted = _holm(np.array([0.01, np.nan, 0.03, 0.02]))
    np.testing.assert_allclose(adjusted, [0.03, np.nan, 0.04, 0.04])


def test_what_cannot_be_compared_is_refused():
    table = group()
    network = fitted(table)
    with pytest.raises(ValueError, match="selected edges"):
        compare(network, IsingNetwork().fit(table))
    with pytest.raises(ValueError, match="same edges"):
        compare(network, fitted(table, graph=nx.path_graph(list("abcd"))))
    with pytest.raises(ValueError, match="same columns"):
        compare(network, fitted(table.rename(columns={"a": "z"})))
    with pytest.raises(ValueError, match="same codings"):
        compare(network, fitted((table + 1) / 2))
    with pytest.raises(ValueError, match="fitted by the pseudolikelihood"):
        compare(network, fitted(table, objective="ratio_matching"))
    with pytest.raises(ValueError, match="Expected Ising or ordinal networks"):
        compare(PottsNetwork(ridge=0.0).fit(np.random.default_rng(0).integers(3, size=(99, 3))), 1)
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level between 0 and 1"):
            compare(network, network, level=level)
        with pytest.raises(ValueError, match="level between 0 and 1"):
            network.summary(level=level)


@pytest.mark.parametrize("weight", [0.3, 1.5, 4.0])
def test_absolute_values_about_zero_vary_less(weight):
    """Oracle: the folded normal. 4000 draws: a standard error of 4 %; the bound is five of them."""
    mean = np.sqrt(max(weight**2 - 1, 0.0))
    tail = 0.5 * (1 + erf(-mean / np.sqrt(2)))
    folded = np.sqrt(2 / np.pi) * np.exp(-(mean**2) / 2) + mean * (1 - 2 * tail)
    found = _variance_of_strength(np.array([weight]), np.eye(1))
    assert found == pytest.approx(mean**2 + 1 - folded**2, rel=0.2)


def test_networks_whose_answers_are_ordered_otherwise_are_refused():
    """The coupling of a column that is coded the other way round has the other sign."""
    cells = np.where(torch.rand(200, 3).numpy() < 0.5, "yea", "nay")
    orders = [["nay", "yea"], ["yea", "nay"]]
    networks = []
    for order in orders:
        table = pd.DataFrame({
            name: pd.Categorical(cells[:, column], orders[0] if column else order, ordered=True)
            for column, name in enumerate("abc")
        })  # fmt: skip
        networks.append(IsingNetwork(selection=None).fit(table))
    first, second = networks
    assert first.couplings_[0, 1] == pytest.approx(-second.couplings_[0, 1], abs=1e-4)
    assert compare(first, first).all_edges.statistic == 0
    with pytest.raises(ValueError, match="same codings"):
        compare(first, second)


def test_networks_without_edges_do_not_differ():
    x = (np.random.default_rng(0).random((100, 3)) < 0.5).astype(float)
    network = IsingNetwork(graph=nx.empty_graph(3)).fit(x)
    found = compare(network, network)
    assert len(found.table) == 0
    assert found.global_strength.p_value == 1
    assert np.isnan(found.all_edges.p_value)
