"""What a table carries beside its numbers is kept or refused: names, masks, codes, weights."""

import matplotlib as mpl
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from pyro_rm.networks import IsingNetwork, PottsNetwork
from pyro_rm.networks.plots import plot_intervals, plot_network

mpl.use("Agg")
NAMES = list("abcd")
QUICK = {"num_fills": 2, "num_rounds": 2, "selection": None}


def answers(num_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.random((num_rows, 4)) < 0.5).astype(float)
    x[:, 1] = np.where(rng.random(num_rows) < 0.7, x[:, 0], x[:, 1])
    return x


def fitted(table, **options):
    torch.manual_seed(0)
    return IsingNetwork(**{**QUICK, **options}).fit(table)


HOLES = np.random.default_rng(1).random((300, 4)) < 0.1
BLANK = np.where(HOLES, np.nan, answers())
FORMS = {
    "masked array": np.ma.array(np.where(HOLES, 0.0, answers()), mask=HOLES),
    "masked integers": np.ma.array(answers().astype(int), mask=HOLES),
    "nullable integers": pd.DataFrame(BLANK).astype("Int64"),
    "nullable floats": pd.DataFrame(BLANK).astype("Float64"),
    "nullable booleans": pd.DataFrame(BLANK).astype("Int64").astype("boolean"),
    "objects with None": pd.DataFrame(BLANK).astype(object).where(~HOLES, None),
    "objects with NA": pd.DataFrame(BLANK).astype("Int64").astype(object),
    "yes and no": pd.DataFrame(np.where(answers() == 1, "yes", "no")).mask(HOLES),
    "True and False in text": pd.DataFrame(np.where(answers() == 1, "TRUE", "FALSE")).mask(HOLES),
    "categoricals": pd.DataFrame(np.where(answers() == 1, "Y", "N")).mask(HOLES).astype("category"),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_blanks_stay_blank_in_every_form(form):
    network, plain = fitted(FORMS[form]), fitted(BLANK)
    assert network.num_missing_ == HOLES.sum()
    np.testing.assert_allclose(network.weights_, plain.weights_)


@pytest.mark.parametrize("form", [sp.csr_array, sp.coo_matrix, sp.csc_array])
def test_sparse_matrices_are_tables(form):
    np.testing.assert_allclose(fitted(form(answers())).weights_, fitted(answers()).weights_)


WORDS = [("agree", "disagree"), ("f", "m"), ("ja", "nein"), ("left", "right")]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("kind", [pd.DataFrame, np.array])
def test_two_words_have_a_stated_order_that_rows_do_not_change(words, swapped, kind):
    """The first in the alphabet is 0; couplings are the same whichever is."""
    x = answers()[::-1] if swapped else answers()
    low, high = words[::-1] if swapped else words
    network, plain = fitted(kind(np.where(x == 1, high, low))), fitted(answers())
    np.testing.assert_allclose(network.weights_, plain.weights_, rtol=1e-5)
    assert network.labels_ == [list(words)] * 4
    draws = network.sample(50, num_steps=3)
    assert set(np.unique(np.asarray(draws))) == set(words)
    other = network.score(kind([[words[1]] * 4]))  # a row that shows one of them only
    assert other == pytest.approx(plain.score(np.full((1, 4), float(not swapped))), rel=1e-5)
    with pytest.raises(ValueError, match=rf"answers \['{words[0]}', '{words[1]}'\] in column"):
        network.score(kind([[words[0], "other", words[0], words[0]]]))


def test_two_words_are_the_states_that_are_asked_for():
    words = np.where(answers() == 1, "high", "low")
    network = fitted(words, states=(-1, 1))
    assert network.states_ == (-1, 1)
    np.testing.assert_allclose(network.weights_, fitted(2 * answers() - 1).weights_)


@pytest.mark.parametrize("order", [("low", "high"), ("high", "low"), ("yes, often", "no, seldom")])
def test_ordered_categories_say_which_answer_is_1(order):
    kinds = pd.CategoricalDtype([*order, "unused"], ordered=True)
    table = pd.DataFrame(np.where(answers() == 1, order[1], order[0]), columns=NAMES).astype(kinds)
    network = fitted(table)
    np.testing.assert_allclose(network.weights_, fitted(answers()).weights_)
    assert network.labels_ == [list(order)] * 4
    assert set(network.sample(50, num_steps=3).a) == set(order)
    mixed = table.assign(d=answers()[:, 3])  # numbers, beside words whose order is said
    np.testing.assert_allclose(fitted(mixed).weights_, network.weights_)


@pytest.mark.parametrize(("columns", "message"), [
    ({"a": ("m", "f")}, r"Say which answer is 1, as by table\['a'\].map\({'f': 0, 'm': 1}\)"),
    ({"a": ("m", "f"), "b": ("up", "down"), "c": ("m", "f"), "d": ("m", "f")}, "which answer is 1"),
    ({"a": ("m", "f", "x")}, r"make it blank: table\.replace\(.m.*fit a PottsNetwork"),
    ({"a": ("m", "M")}, "differ in more than case"),
])  # fmt: skip
def test_words_without_a_stated_order_are_refused(columns, message):
    table = pd.DataFrame(answers(), columns=NAMES)
    for name, words in columns.items():
        table[name] = [words[row % len(words)] for row in range(300)]
    with pytest.raises(TypeError, match=message) as error:
        fitted(table)
    assert "factorize" not in str(error.value)


@pytest.mark.parametrize("spelling", ["", " ", "NA", "n/a", ".", ".a", "#NULL!", "?"])
@pytest.mark.parametrize("words", [("no", "yes"), ("agree", "disagree")])
def test_blank_spellings_among_words_are_blanks(spelling, words):
    table = np.where(HOLES, spelling, np.where(answers() == 1, words[1], words[0]))
    network, plain = fitted(pd.DataFrame(table)), fitted(BLANK)
    assert network.num_missing_ == HOLES.sum()
    np.testing.assert_allclose(network.weights_, plain.weights_, rtol=1e-5)
    assert set(np.unique(network.impute(pd.DataFrame(table)))) == set(words)


@pytest.mark.parametrize("table", [
    pd.DataFrame(answers()).astype("datetime64[ns]"), pd.DataFrame(answers()).astype("m8[ns]"),
    answers().astype("datetime64[D]"), answers() + 0j,
], ids=["dates", "durations", "array of dates", "complex"])  # fmt: skip
def test_dates_are_no_numbers(table):
    with pytest.raises(TypeError, match="complex numbers, dates or times"):
        fitted(table)


@pytest.mark.parametrize(("table", "way_out"), [
    ({"a": [0, 1], "b": [1, 0]}, r"pandas\.DataFrame\(table\)"), ("votes.csv", "read_csv_table"),
    (answers()[0], "rows and columns"),
])  # fmt: skip
def test_what_is_no_table_is_told_the_way(table, way_out):
    with pytest.raises((TypeError, ValueError), match=way_out):
        fitted(table)


FRAME = pd.DataFrame(answers(), columns=NAMES)
CODES = pd.DataFrame(np.random.default_rng(0).integers(0, 3, (200, 4)), columns=NAMES)
NETWORKS = {
    "Ising": lambda: (fitted(FRAME), FRAME),
    "Potts": lambda: (PottsNetwork(max_steps=10).fit(CODES), CODES),
}


@pytest.mark.parametrize("kind", list(NETWORKS))
@pytest.mark.parametrize("order", ["dcba", "badc", "abcd"])
def test_columns_are_found_by_name(kind, order):
    network, frame = NETWORKS[kind]()
    assert network.score(frame[list(order)]) == pytest.approx(network.score(frame))
    with pytest.warns(UserWarning, match=r"valid feature names, .* in the order of \['a', 'b'"):
        by_place = network.score(frame.to_numpy())
    assert by_place == pytest.approx(network.score(frame))
    network.fit(frame.to_numpy())
    with pytest.warns(UserWarning, match="has feature names, but the network was fitted without"):
        by_place = network.score(frame)
    assert by_place == pytest.approx(network.score(frame.to_numpy()))


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_arrays_go_by_place_even_where_names_are_numbers(kind):
    network, frame = NETWORKS[kind]()
    numbered = frame.set_axis([3, 0, 2, 1], axis=1)
    network.fit(numbered)
    with pytest.warns(UserWarning, match="valid feature names"):
        by_place = network.score_samples(numbered.to_numpy())
    np.testing.assert_array_equal(by_place, network.score_samples(numbered))


@pytest.mark.parametrize("kind", list(NETWORKS))
@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 0, 2, 3], [2, 3, 0, 1]])
@pytest.mark.parametrize("use", ["score_samples", "predict_proba", "impute"])
def test_numbers_are_names_too(kind, order, use):
    """A frame without names of its own, whose columns were put in another order since."""
    network, frame = NETWORKS[kind]()
    numbered = frame.set_axis(range(4), axis=1)
    network.fit(numbered)
    found = np.asarray(getattr(network, use)(numbered[order]))
    expected = np.asarray(getattr(network, use)(numbered))
    np.testing.assert_array_equal(found[:, order] if use == "impute" else found, expected)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_weights_are_not_of_rows_in_another_order(kind):
    network, frame = NETWORKS[kind]()
    weights = pd.Series(np.arange(len(frame)) % 3, index=frame.index)
    moved = weights.sort_values()
    for call in (network.fit, network.score):
        with pytest.raises(ValueError, match=r"order of the rows.*sample_weight\.reindex"):
            call(frame, sample_weight=moved)
    expected = network.score(frame, sample_weight=weights.to_numpy())
    for same in (
        weights, moved.reindex(frame.index), weights.set_axis(weights.index + 1000),
        torch.tensor(weights.to_numpy(), dtype=torch.float64, requires_grad=True),
    ):  # fmt: skip
        assert network.score(frame, sample_weight=same) == expected


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_numbers_are_no_answers_where_words_were_fitted(kind):
    network, frame = NETWORKS[kind]()
    words = pd.DataFrame(np.array(["left", "right", "up"])[frame.astype(int)], columns=NAMES)
    network.fit(words)
    with pytest.raises(ValueError, match=r"the answers \['left', 'right'.*'a', but got"):
        network.score(frame)
    words["a"] = None
    assert np.isfinite(network.score(words))


@pytest.mark.parametrize("kind", list(NETWORKS))
@pytest.mark.parametrize("names", ["abcz", "ABCD", "wxyz"])
def test_other_names_are_refused(kind, names):
    network, frame = NETWORKS[kind]()
    with pytest.raises(ValueError, match="that the network was fitted to"):
        network.score(frame.set_axis(list(names), axis=1))


@pytest.mark.parametrize("kind", list(NETWORKS))
@pytest.mark.parametrize("names", ["aacd", "abca", "bbbb"])
def test_names_that_come_twice_are_refused(kind, names):
    network, frame = NETWORKS[kind]()
    for use in (network.fit, network.score):
        with pytest.raises(ValueError, match="more than once"):
            use(frame.set_axis(list(names), axis=1))


@pytest.mark.parametrize("selection", [None, "ebic"])
@pytest.mark.parametrize("where", ["above", "below", "between"])
def test_blank_rows_count_nowhere(selection, where):
    x, blank = answers(), np.full((900, 4), np.nan)
    parts = {"above": [blank, x], "below": [x, blank], "between": [x[:100], blank, x[100:]]}
    with_them = np.vstack(parts[where])
    network, plain = fitted(with_them, selection=selection), fitted(x, selection=selection)
    np.testing.assert_allclose(network.weights_, plain.weights_)
    np.testing.assert_allclose(network.standard_errors_, plain.standard_errors_)
    assert plain.score(with_them) == pytest.approx(plain.score(x))


@pytest.mark.parametrize("selection", [None, "ebic"])
@pytest.mark.parametrize("seed", [0, 1])
def test_frequencies_are_repeated_rows(selection, seed):
    rows, counts = np.unique(answers(seed=seed), axis=0, return_counts=True)
    a = fitted(np.repeat(rows, counts, axis=0), selection=selection)
    b = IsingNetwork(selection=selection).fit(rows, sample_weight=counts)
    assert a.edges_.tolist() == b.edges_.tolist()
    np.testing.assert_allclose(a.weights_, b.weights_, atol=1e-5)
    np.testing.assert_allclose(a.standard_errors_, b.standard_errors_, rtol=1e-4)


def test_sampling_weights_have_no_scale_and_frequencies_have():
    x, weights = answers(), np.random.default_rng(0).random(300) + 0.5

    def errors(factor, weighting):
        network = IsingNetwork(selection=None, weighting=weighting)
        return network.fit(x, sample_weight=factor * weights).standard_errors_

    np.testing.assert_allclose(errors(1, "sampling"), errors(4, "sampling"), rtol=1e-5)
    np.testing.assert_allclose(errors(1, "frequency"), 2 * errors(4, "frequency"), rtol=1e-5)
    with pytest.raises(ValueError, match="weighting 'frequency' or 'sampling'"):
        errors(1, "reliability")


@pytest.mark.parametrize("weights", [
    -np.ones(300), np.full(300, np.nan), np.zeros(300), np.ones(299), np.ones((300, 1)),
    ["many"] * 300, np.ma.array(np.ones(300), mask=np.arange(300) < 5), np.full(300, np.inf),
], ids=["negative", "blank", "zero", "short", "matrix", "text", "masked", "infinite"])  # fmt: skip
@pytest.mark.parametrize("use", ["fit", "score"])
def test_other_weights_are_refused(weights, use):
    network = fitted(answers())
    with pytest.raises(ValueError, match="Expected sample_weight"):
        getattr(network, use)(answers(), sample_weight=weights)


@pytest.mark.parametrize("zero", [0, 1])
def test_columns_that_are_constant_among_weighted_rows_are_refused(zero):
    x = answers()
    weights = (x[:, 2] != zero).astype(float)
    with pytest.raises(ValueError, match=r"\[2\] are constant"):
        IsingNetwork().fit(x, sample_weight=weights)


@pytest.mark.parametrize(("change", "hint"), [
    (lambda x: x + 1, "pass table - 1"),
    (lambda x: np.where(HOLES, -9, x), "make it blank"),
    (lambda x: np.where(HOLES, 99, x), "make it blank"),
    (lambda x: np.where(HOLES, 999, x), r"table\.replace\(999"),
    (lambda x: np.where(HOLES, 0.5, np.where(HOLES[::-1], 7, x)), "Threshold"),
])  # fmt: skip
def test_codings_of_other_packages_have_a_hint(change, hint):
    with pytest.raises(ValueError, match=hint):
        fitted(change(answers()))


@pytest.mark.parametrize("skip_first", [False, True])
@pytest.mark.parametrize("shift", [1, 2, 10])
def test_codes_need_not_begin_at_zero(skip_first, shift):
    codes = CODES.to_numpy()
    network = PottsNetwork(skip_first=skip_first, max_steps=20)
    plain = network.fit(codes).strengths_
    shifted = network.fit(codes + shift)
    np.testing.assert_allclose(shifted.strengths_, plain)
    assert shifted.categories_.tolist() == [shift, shift + 1, shift + 2]
    assert set(np.unique(shifted.sample(50, num_steps=2))) <= set(shifted.categories_)
    assert np.isfinite(shifted.score(codes + shift))
    with pytest.raises(ValueError, match=r"codes .* of the fit"):
        shifted.score(codes + shift + 1)


def test_codes_that_no_row_has_are_no_categories():
    codes = np.array([1, 4, 7])[CODES.to_numpy()]
    network = PottsNetwork(max_steps=5).fit(codes)
    assert network.couplings_.shape[1] == 3
    assert set(np.unique(network.sample(50, num_steps=2))) <= {1, 4, 7}


LIKERT = ["never", "seldom", "often"]
TEXTS = {
    "words": lambda x: pd.DataFrame(np.array(LIKERT)[x], columns=NAMES),
    "ordered": lambda x: TEXTS["words"](x).astype(
        pd.CategoricalDtype([*LIKERT, "always"], ordered=True)
    ),
    "words beside codes": lambda x: TEXTS["words"](x).assign(c=x[:, 2] + 1),
    "words beside booleans": lambda x: TEXTS["words"](x).assign(d=x[:, 3] > 0),
    "words of their own": lambda x: TEXTS["words"](x).assign(d=np.array(["m", "f", "d"])[x[:, 3]]),
}


@pytest.mark.parametrize("form", list(TEXTS))
def test_categories_may_be_words(form):
    """The same model as of codes, whatever numbers the words have; each column has its own."""
    codes = CODES.to_numpy()
    table = TEXTS[form](codes)
    network = PottsNetwork(max_steps=200, random_state=0).fit(table)
    plain = codes.copy()
    if form == "words beside booleans":
        plain[:, 3] = codes[:, 3] > 0
    expected = PottsNetwork(max_steps=200, random_state=0).fit(plain)
    np.testing.assert_allclose(network.weights_, expected.weights_, rtol=0.02, atol=1e-4)
    for name, labels in zip(NAMES, network.labels_, strict=True):
        assert set(labels) == set(table[name])
        assert form != "ordered" or labels == LIKERT
    draws = network.sample(200, num_steps=3)
    assert all(set(draws[name]) <= set(table[name]) for name in NAMES)
    assert network.score(table[list("dcba")]) == pytest.approx(network.score(table))
    holes = table.astype(object).mask(HOLES[:200])
    filled = network.impute(holes)
    assert (filled == table).to_numpy()[~HOLES[:200]].all()
    assert all(set(filled[name]) <= set(table[name]) for name in NAMES)
    proba = network.predict_proba(table, "a")
    assert proba.argmax(1).shape == (200,)


def test_arrays_of_words_come_back_as_words():
    words = np.array(LIKERT)[CODES.to_numpy()]
    network = PottsNetwork(max_steps=10, random_state=0).fit(words)
    assert set(np.unique(network.sample(50, num_steps=3))) == set(LIKERT)
    assert network.labels_[0] == sorted(LIKERT)


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t.assign(a=t.a.replace("often", "Never")), "more than case"),
    (lambda t: t.assign(a=t.a.replace("often", "N/A")), r"table\.replace\('N/A'"),
    (lambda t: t.assign(a=t.a.replace("often", ".")), r"stands for a blank"),
])  # fmt: skip
def test_words_that_may_be_blanks_or_slips_are_refused(change, message):
    with pytest.raises(TypeError, match=message):
        PottsNetwork().fit(change(TEXTS["words"](CODES.to_numpy())))


@pytest.mark.parametrize("word", ["always", "NEVER", "seldom.", 2])
def test_words_that_the_fit_has_not_seen_are_refused(word):
    table = TEXTS["words"](CODES.to_numpy())
    network = PottsNetwork(max_steps=5).fit(table)
    with pytest.raises(ValueError, match="Expected the answers"):
        network.score(table.astype(object).assign(b=word))


@pytest.mark.parametrize("code", [99, 77, 9, 999])
def test_codes_that_surveys_give_to_blanks_are_mentioned(code):
    with pytest.warns(UserWarning, match=rf"holds {code} beside codes from 0 to 2, as a category"):
        network = PottsNetwork(max_steps=5).fit(CODES.mask(HOLES[:200], code))
    assert network.categories_.tolist() == [0, 1, 2, code]
    with pytest.raises(ValueError, match=r"stands for a blank, say table\.replace\(-9"):
        network.fit(CODES.mask(HOLES[:200], -9))


def test_a_second_table_is_filled_in_its_own_words():
    network = fitted(pd.DataFrame(BLANK, columns=NAMES))
    words = pd.DataFrame(np.where(answers() == 1, "yes", "no"), columns=NAMES).mask(HOLES)
    filled = network.impute(words)
    assert set(np.unique(filled)) == {"no", "yes"}
    numbers = network.impute(pd.DataFrame(BLANK, columns=NAMES)).to_numpy()
    np.testing.assert_array_equal((filled == "yes").to_numpy(), numbers == 1)


@pytest.mark.parametrize("weights", [(0.0,), (0.0, 0.0), ()])
def test_networks_without_weights_are_drawn(weights):
    graph = nx.Graph([(k, k + 1, {"weight": w}) for k, w in enumerate(weights)])
    graph.add_node("alone")
    assert plot_network(graph) is not None


def test_edges_without_intervals_are_not_drawn_as_such():
    graph = PottsNetwork(max_steps=5).fit(CODES).to_networkx()
    with pytest.raises(ValueError, match="edges with intervals"):
        plot_intervals(graph)
