"""What both networks do alike: scores, probabilities, fills, draws, tables, files, seeds."""

from collections import Counter

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.datasets import Alignment
from pyro_rm.enumeration import states_at
from pyro_rm.networks import IsingNetwork, PottsNetwork, Selection

NAMES = ["ann", "ben", "cem", "dan"]


def table(kinds, num_rows=300, blanks=0.1, seed=0):
    """Two pairs of columns agree mostly; blanks at random."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, kinds, (num_rows, 4)).astype(float)
    for first, second in ((0, 1), (2, 3)):
        x[:, second] = np.where(rng.random(num_rows) < 0.6, x[:, first], x[:, second])
    x[rng.random(x.shape) < blanks] = np.nan
    return pd.DataFrame(x, columns=NAMES)


MAKERS = {
    "Ising": (2, lambda **o: IsingNetwork(**{"ridge": 0.1, "num_rounds": 2} | o)),
    "Potts": (3, lambda **o: PottsNetwork(**{"ridge": 0.5, "num_rounds": 2} | o)),
}
both = pytest.mark.parametrize("kind", list(MAKERS))


def fitted(kind, blanks=0.1, **options):
    kinds, make = MAKERS[kind]
    data = table(kinds, blanks=blanks)
    return make(**{"random_state": 0} | options).fit(data), data


def joint(network):
    """All states of the model and their probabilities."""
    space = network.energy_.state_space
    states = states_at(space, torch.arange(space.num_states))
    energies = network.energy_(space.encode(states, network.energy_.fields.dtype))
    return states.numpy().astype(int), (-energies).softmax(0).double().numpy()


@both
def test_scores_are_means_of_rows_and_say_the_same_twice(kind):
    network, data = fitted(kind, random_state=None)
    scores = network.score_samples(data)
    assert network.score(data) == network.score(data) == pytest.approx(scores.mean())
    assert np.array_equal(scores, network.score_samples(data))
    blank = pd.concat([data, pd.DataFrame(np.nan, index=[999], columns=NAMES)])
    assert network.score_samples(blank)[-1] == 0
    assert network.score(blank) == pytest.approx(network.score(data))
    weights = np.arange(300.0)
    expected = np.average(scores, weights=weights)
    assert network.score(data, sample_weight=weights) == pytest.approx(expected)
    for nothing in ({"X": data * np.nan}, {"X": blank, "sample_weight": [0] * 300 + [1]}):
        with pytest.raises(ValueError, match="all cells that count are blank"):
            network.score(**nothing)


@both
def test_a_row_scores_alone_as_among_others(kind):
    network, data = fitted(kind)
    scores = network.score_samples(data)
    alone = [network.score_samples(data.iloc[[row]])[0] for row in range(20)]
    np.testing.assert_allclose(scores[:20], alone, rtol=1e-5)


@both
def test_probabilities_are_those_of_the_joint_distribution(kind):
    """Oracle: enumeration; the other columns that are blank are summed out."""
    network, data = fitted(kind)
    states, chances = joint(network)
    some = data.iloc[:40].to_numpy()
    found = network.predict_proba(data.iloc[:40], "cem")
    for row, given in zip(some, found, strict=True):
        fits = np.ones(len(states), dtype=bool)
        for site in (0, 1, 3):
            if not np.isnan(row[site]):
                fits &= states[:, site] == row[site]
        expected = np.bincount(states[fits, 2], chances[fits], found.shape[1])
        np.testing.assert_allclose(given, expected / expected.sum(), rtol=1e-4)
    np.testing.assert_allclose(network.predict_proba(data.iloc[:40])[:, 2], found, rtol=1e-5)
    with pytest.raises(ValueError, match="one of the columns"):
        network.predict_proba(data, "eve")


@both
def test_blanks_are_filled_by_their_most_probable_values(kind):
    network, data = fitted(kind, selection=None)
    states, chances = joint(network)
    proba, whole = network.impute(data, proba=True), network.impute(data)
    assert list(whole) == NAMES
    assert (whole.dtypes == data.dtypes).all()
    blank = data.isna().to_numpy()
    pd.testing.assert_frame_equal(whole.mask(blank), data)
    np.testing.assert_allclose(proba.sum(-1), 1, rtol=1e-5)
    for row, site in list(zip(*np.nonzero(blank), strict=True))[:20]:
        fits = np.ones(len(states), dtype=bool)
        for other in np.nonzero(~blank[row])[0]:
            fits &= states[:, other] == data.iloc[row, other]
        expected = np.bincount(states[fits, site], chances[fits], proba.shape[-1])
        np.testing.assert_allclose(proba[row, site], expected / expected.sum(), rtol=1e-4)
        assert whole.iloc[row, site] == expected.argmax()
    with pytest.warns(UserWarning, match="valid feature names"):
        numbers = network.impute(data.to_numpy())
    np.testing.assert_array_equal(numbers, whole.to_numpy())
    with pytest.warns(UserWarning, match="valid feature names"):
        assert isinstance(network.impute(torch.tensor(data.to_numpy())), torch.Tensor)


def test_selected_networks_fill_from_all_pairs():
    """Every column depends on a hidden one: all pairs predict better than few."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 1))
    x = (rng.random((400, 10)) < 1 / (1 + np.exp(-3 * hidden))).astype(float)
    holes = rng.random(x.shape) < 0.1
    network = IsingNetwork(random_state=0, num_rounds=2).fit(np.where(holes, np.nan, x))
    right = (network.impute(np.where(holes, np.nan, x)) == x)[holes].mean()
    sparse = IsingNetwork(
        graph=nx.path_graph(10), random_state=0, num_rounds=2
    ).fit(np.where(holes, np.nan, x))  # fmt: skip
    assert right > 0.75
    assert right >= (sparse.impute(np.where(holes, np.nan, x)) == x)[holes].mean()


FORMS = {
    "words": lambda x: x.replace({0.0: "no", 1.0: "yes"}),
    "categoricals": lambda x: x.replace({0.0: "n", 1.0: "y"}).astype("category"),
    "nullable integers": lambda x: x.astype("Int64"),
    "nullable booleans": lambda x: x.astype("Int64").astype("boolean"),
    "spins": lambda x: 2 * x - 1,
}


@pytest.mark.filterwarnings("ignore:Downcasting")
@pytest.mark.parametrize("form", list(FORMS))
def test_labels_come_back(form):
    data = FORMS[form](table(2))
    network = IsingNetwork(selection=None, ridge=0.1, num_rounds=2, random_state=0).fit(data)
    shown = set(data.ann.dropna().unique())
    for result in (network.sample(50, num_steps=3), network.impute(data)):
        assert list(result) == NAMES
        assert not result.isna().any(axis=None)
        assert set(result.ann.unique()) == shown
    assert (network.impute(data).dtypes == data.dtypes).all()
    assert network.sample(3, num_steps=2).shape == (3, 4)


@both
def test_arrays_come_back_as_arrays(kind):
    kinds, make = MAKERS[kind]
    network = make(random_state=0).fit(table(kinds).to_numpy())
    draws = network.sample(20, num_steps=3)
    assert isinstance(draws, np.ndarray)
    assert set(np.unique(draws)) <= set(range(kinds))


def everything(network, data):
    return (
        network.edges_.tolist(), network.weights_.tolist(), network.fields_.tolist(),
        network.score(data), network.sample(5, num_steps=3).to_numpy().tolist(),
        network.predict_proba(data, "ben").tolist(), network.impute(data, proba=True).tolist(),
    )  # fmt: skip


@both
@pytest.mark.parametrize("options", [{}, {"selection": "held_out", "num_fills": 1}])
def test_a_seed_gives_the_same_answers_and_leaves_the_generator_alone(kind, options):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = everything(*fitted(kind, **options))
    assert everything(*fitted(kind, **options)) == first
    assert torch.equal(torch.get_rng_state(), before)


@both
@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_numpy_generators_seed(kind, make):
    first, second = (fitted(kind)[0].set_params(random_state=make(3)) for _ in range(2))
    draws = [first.sample(9, num_steps=3) for _ in range(2)]
    assert not draws[0].equals(draws[1])
    assert draws[0].equals(second.sample(9, num_steps=3))


@pytest.mark.parametrize(
    ("state", "error"), [("x", TypeError), (True, TypeError), (-1, ValueError)]
)
def test_other_seeds_are_refused(state, error):
    with pytest.raises(error, match="Expected random_state"):
        IsingNetwork(random_state=state).fit(table(2))


@pytest.mark.parametrize("name", ["scotus_rehnquist_1994_2004", "house_votes_84"])
def test_edges_do_not_depend_on_the_draw_of_fills(real_data, name):
    data = pd.read_csv(real_data / "ising" / f"{name}.csv")
    data = data.drop(columns=[c for c in ("party", "term") if c in data])
    seeds = range(6 if len(data.columns) < 10 else 2)
    edges = [IsingNetwork(random_state=seed).fit(data).edges_.tolist() for seed in seeds]
    assert all(found == edges[0] for found in edges)
    assert len(edges[0]) > 8


@both
def test_a_summary_has_the_couplings_with_intervals(kind):
    network, _ = fitted(kind, selection=None)
    summary = network.summary(level=0.5)
    assert list(summary)[:6] == [
        "source", "target", "coupling", "standard_error", "lower", "upper",
    ]  # fmt: skip
    np.testing.assert_array_equal(summary.coupling, network.weights_)
    np.testing.assert_allclose(
        summary.upper - summary.lower, 2 * 0.6744898 * network.standard_errors_, rtol=1e-5
    )
    assert (summary.standard_error > 0).all()
    pairs = [(NAMES[a], NAMES[b]) for a, b in network.edges_]
    assert list(zip(summary.source, summary.target, strict=True)) == pairs
    assert not summary.separated.any()
    with pytest.raises(ValueError, match="level between 0 and 1"):
        network.summary(level=90)


@both
def test_what_is_fitted_is_said(kind):
    network, data = fitted(kind)
    blanks = int(data.isna().sum().sum())
    expected = f"fitted: 300 rows, 4 columns, {blanks} blanks, {len(network.edges_)} edges"
    assert repr(network).endswith(expected)
    assert "fitted" not in repr(MAKERS[kind][1]())


@both
def test_networks_are_drawn(kind):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    network, _ = fitted(kind)
    figure, (left, right) = pyplot.subplots(1, 2)
    network.plot(left, num_edges=2)
    assert len(left.lines) == 2
    network.plot_edges(right, num_edges=1)
    assert len(right.get_yticklabels()) == 1
    network.set_params(graph=nx.empty_graph(NAMES)).fit(table(MAKERS[kind][0]))
    network.plot(left)
    network.plot_edges(right)
    pyplot.close(figure)


@both
@pytest.mark.parametrize("selection", [None, "ebic", Selection("held_out", num_penalties=5)])
def test_both_select_by_the_same_code(kind, selection):
    network, _ = fitted(kind, blanks=0.02, selection=selection)
    edges = {tuple(edge) for edge in network.edges_.tolist()}
    assert edges >= {(0, 1), (2, 3)}
    assert (network.penalty_ is None) == (selection is None)
    if selection == "ebic":
        assert len(edges) == 2


@both
def test_weights_of_both_mean_the_same(kind):
    kinds, make = MAKERS[kind]
    data = table(kinds, blanks=0)
    rows, counts = np.unique(data.to_numpy(), axis=0, return_counts=True)
    counted = make(selection=None).fit(rows, sample_weight=counts)
    repeated = make(selection=None).fit(np.repeat(rows, counts, axis=0))
    np.testing.assert_allclose(counted.weights_, repeated.weights_, rtol=1e-2)
    np.testing.assert_allclose(counted.standard_errors_, repeated.standard_errors_, rtol=1e-2)
    sampling = make(selection=None, weighting="sampling", ridge=0.0)
    once = sampling.fit(rows, sample_weight=counts).fields_
    np.testing.assert_allclose(
        sampling.fit(rows, sample_weight=9 * counts).fields_, once, atol=1e-3
    )


def test_standard_errors_of_norms_are_those_of_repeated_data():
    """40 sets: the spread of a norm is known to 11 %; three of these."""
    rng, norms, errors = np.random.default_rng(0), [], []
    for _ in range(40):
        x = rng.integers(0, 3, (400, 3))
        x[:, 1] = np.where(rng.random(400) < 0.5, x[:, 0], x[:, 1])
        network = PottsNetwork(ridge=0.1, dtype=torch.float64).fit(x)
        norms.append(network.weights_[0])
        errors.append(network.standard_errors_[0])
    assert np.mean(errors) == pytest.approx(np.std(norms), rel=0.35)


@both
@pytest.mark.parametrize("options", [
    {"selection": None}, {"selection": "held_out"}, {"num_fills": 1},
])  # fmt: skip
def test_data_are_checked_and_encoded_once_a_fit(kind, options, monkeypatch):
    calls, originals = Counter(), {n: getattr(StateSpace, n) for n in ("validate", "encode")}

    def counting(name):
        def counted(self, *args):
            calls[name] += 1
            return originals[name](self, *args)

        return counted

    for name in originals:
        monkeypatch.setattr(StateSpace, name, counting(name))
    fitted(kind, **options)
    assert calls == {"validate": 1, "encode": 1}


def test_alignments_are_fitted_with_their_letters():
    rng = np.random.default_rng(0)
    codes = torch.as_tensor(rng.integers(0, 4, (200, 5)))
    codes[:, 1] = torch.where(torch.as_tensor(rng.random(200) < 0.7), codes[:, 0], codes[:, 1])
    codes[:, 4] = 2  # conserved
    alignment = Alignment(codes, alphabet="-ACGT"[:4])
    network = PottsNetwork(random_state=0, identity=0.9).fit(alignment)
    assert network.categories_.tolist() == list("-ACG")
    assert {*network.strengths_.argsort(axis=None)[-1:]} <= {1, 5}
    letters = network.sample(50, num_steps=5)
    assert set(letters.ravel()) <= set("-ACG")
    assert (letters[:, 4] == "C").mean() > 0.9
    assert network.score(alignment) == network.score(codes)
    assert np.isfinite(network.score(letters))
    with pytest.raises(ValueError, match="alphabet '-ACG' of the fit"):
        network.score(alignment._replace(alphabet="ACG-"))
    with pytest.raises(ValueError, match=r"codes .* of the fit"):
        network.score(np.full((3, 5), "Z"))


def test_what_does_not_fit_in_the_memory_is_refused_before_it_starts(monkeypatch):
    """Of a machine with 10 MB, on which 150 binary columns fit, and 300 do not."""
    monkeypatch.setattr("pyro_rm.networks.network.physical_memory", lambda: 1e7)
    x = (np.random.default_rng(0).random((40, 300)) < 0.4).astype(float)
    with pytest.raises(ValueError, match=r"about 158 columns .* fit in 0\.01 GB, but got 300"):
        IsingNetwork().fit(x)
    with pytest.raises(ValueError, match="by graph="):
        PottsNetwork().fit(np.random.default_rng(0).integers(0, 4, (40, 100)))
    graph = nx.path_graph(300)
    assert len(IsingNetwork(graph=graph, ridge=1.0).fit(x).edges_) == 299


def test_an_interrupted_fit_leaves_the_network_as_it_was(monkeypatch):
    x = torch.bernoulli(torch.full((200, 3), 0.4))
    network = IsingNetwork(selection=None).fit(x)
    before = dict(vars(network))

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    for step in ("profiles_of", "refill", "with_fills"):
        monkeypatch.setattr(f"pyro_rm.networks.network.{step}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            network.fit(1 - x)
        assert all(vars(network)[name] is value for name, value in before.items())
