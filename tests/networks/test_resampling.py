"""Samples of the data: what they count, that they agree with single fits, and stability."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm.networks import (
    IsingNetwork,
    PottsNetwork,
    Resamples,
    predictability,
    resample,
    simulate_ising,
)
from pyro_rm.networks.resampling import _counts

pytestmark = pytest.mark.usefixtures("float64")


def table(num_rows=400, scale=0.5, seed=0):
    torch.manual_seed(seed)
    graph = nx.path_graph(5)
    for number, edge in enumerate(graph.edges):
        graph.edges[edge]["weight"] = scale * (1 - 0.2 * number)
    return pd.DataFrame(
        simulate_ising(graph, num_rows, num_steps=30).numpy(), columns=list("abcde")
    )


def fitted(data, **options):
    return IsingNetwork(**{"selection": None, "random_state": 0} | options).fit(data)


def test_samples_are_of_the_right_size():
    rng = torch.Generator().manual_seed(0)
    counts, dropped = _counts("bootstrap", 50, 7, (0.5,), rng)
    assert (counts.sum(1) == 50).all()
    assert counts.max() > 1
    assert not dropped.any()
    counts, dropped = _counts("drop_cases", 50, 3, (0.6, 0.2), rng)
    assert counts.sum(1).tolist() == [40] * 3 + [20] * 3
    assert dropped.tolist() == [0.2] * 3 + [0.6] * 3
    assert counts.max() == 1


def test_bootstrap_errors_are_those_of_the_sandwich():
    """Of 300 samples, standard errors vary by 4 %; the bound is 20 %, plus the bootstrap's own."""
    data = table()
    network = fitted(data)
    samples = resample(network, data, num_samples=300)
    assert samples.names[0] == ("a", "b")
    np.testing.assert_allclose(samples.estimate, network.weights_)
    ratio = samples.table.standard_error / network.standard_errors_
    assert ratio.between(0.75, 1.3).all()
    assert (samples.table.lower < samples.table.upper).all()
    again = resample(network, data, num_samples=300)
    np.testing.assert_array_equal(samples.values, again.values)


def test_any_function_of_the_network_can_be_resampled():
    data = table(200)
    network = fitted(data)

    def strength(sample):
        return dict(sample.to_networkx().degree(weight="weight"))

    samples = resample(network, data, strength, num_samples=5)
    assert list(samples.names) == list("abcde")
    pairs = resample(network, data, num_samples=5).values  # a-b, a-c, a-d, a-e, ...
    np.testing.assert_allclose(samples.values[:, 0], pairs[:, :4].sum(1))
    number = resample(network, data, lambda n: n.score(data), num_samples=3)
    assert number.values.shape == (3, 1)
    assert (number.values < number.estimate).all()  # the data's own fit is best on the data


def test_selected_networks_are_selected_anew():
    data = table(300)
    data["e"] = -1.0
    data.loc[:1, "e"] = 1.0  # many samples lack it
    network = IsingNetwork(random_state=0).fit(data)
    samples = resample(network, data, num_samples=5)
    assert samples.values.shape == (5, 10)
    shares = samples.table.nonzero
    assert shares[0] == 1
    assert shares.min() < 1


def test_other_networks_and_weights(monkeypatch):
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(100, 3))
    network = PottsNetwork(random_state=0).fit(codes)
    samples = resample(network, codes, num_samples=2, sample_weight=np.ones(100))
    assert samples.values.shape == (2, 3)
    data, weights = table(100), np.tile([1.0, 2.0], 50)
    twice = data.loc[data.index.repeat(weights.astype(int))]
    monkeypatch.setattr(
        "pyro_rm.networks.resampling._counts",
        lambda scheme, rows, *_: (torch.ones(2, rows).double(), np.zeros(2)),
    )
    found = resample(fitted(data), data, sample_weight=weights).values[0]
    np.testing.assert_allclose(found, fitted(twice).weights_, atol=1e-3)


def test_blanks_are_kept():
    data = table(200).mask(np.random.default_rng(0).random((200, 5)) < 0.1)
    samples = resample(fitted(data), data, num_samples=4)
    assert np.isfinite(samples.values).all()


def test_stability_is_the_largest_share_that_can_be_dropped():
    estimate = np.array([1.0, 2.0, 3.0])
    same, other = estimate, np.array([3.0, 1.0, 2.0])
    values = np.stack([same, same, same, other, other, same])
    dropped = np.array([0.2, 0.2, 0.4, 0.4, 0.6, 0.6])
    samples = Resamples("abc", estimate, values, dropped)
    np.testing.assert_allclose(samples.correlations(), [1, 1, 1, -0.5, -0.5, 1])
    assert samples.stability() == 0.2
    assert samples.stability(probability=0.5) == 0.6
    assert samples.stability(correlation=-1) == 0.6
    with pytest.raises(ValueError, match="scheme='drop_cases'"):
        Resamples("abc", estimate, values, 0 * dropped).stability()


def test_strong_networks_are_stable_and_empty_ones_are_not():
    coefficients = []
    for scale in (0.7, 0.0):
        data = table(scale=scale)
        samples = resample(fitted(data), data, scheme="drop_cases", num_samples=30)
        coefficients.append(samples.stability())
    assert coefficients[0] >= 0.5 >= coefficients[1] + 0.1


def test_predictability_is_what_conditional_probabilities_give():
    """Oracle: by hand, from the probabilities of one column."""
    data = table(300).mask(np.random.default_rng(0).random((300, 5)) < 0.1)
    network = fitted(data)
    found = predictability(network, data).set_index("name")
    known = data.b.notna().to_numpy()
    chance, high = network.predict_proba(data, "b")[known, 1], data.b[known] == 1
    accuracy = ((chance > 0.5) == high).mean()
    commonest = max(high.mean(), 1 - high.mean())
    assert found.accuracy["b"] == pytest.approx(accuracy)
    assert found.normalized["b"] == pytest.approx((accuracy - commonest) / (1 - commonest))
    explained = 1 - ((high - chance) ** 2).mean() / high.var(ddof=0)
    assert found.explained["b"] == pytest.approx(explained)
    weights = np.tile([1.0, 0.0], 150)
    some = predictability(network, data, sample_weight=weights)
    half = predictability(network, data[::2])
    pd.testing.assert_frame_equal(some, half)
    blank = data.copy()
    blank["b"] = np.nan
    assert predictability(network, blank).set_index("name").loc["b"].isna().all()


def test_options_out_of_range_are_refused():
    data = table(100)
    network = fitted(data)
    for options, words in (
        ({"scheme": "jackknife"}, "Expected scheme"),
        ({"shares": (0.5, 1.0)}, "shares between 0 and 1"),
        ({"level": 0}, "level between 0 and 1"),
        ({"num_samples": 1}, "num_samples"),
    ):
        with pytest.raises(ValueError, match=words):
            resample(network, data, **options)
