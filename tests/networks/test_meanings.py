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


@pytest.mark.parametrize("text", [("agree", "disagree"), ("m", "f"), ("ja", "nein")])
def test_other_words_say_for_all_columns_alike_which_answer_is_1(text):
    with pytest.raises(TypeError, match=r"which answer is 1, as by \(table ==") as error:
        fitted(pd.DataFrame(np.where(answers() == 1, *text)))
    assert "factorize" not in str(error.value)


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
    assert network.score(frame.to_numpy()) == pytest.approx(network.score(frame))


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


@pytest.mark.parametrize("weights", [(0.0,), (0.0, 0.0), ()])
def test_networks_without_weights_are_drawn(weights):
    graph = nx.Graph([(k, k + 1, {"weight": w}) for k, w in enumerate(weights)])
    graph.add_node("alone")
    assert plot_network(graph) is not None


def test_edges_without_intervals_are_not_drawn_as_such():
    graph = PottsNetwork(max_steps=5).fit(CODES).to_networkx()
    with pytest.raises(ValueError, match="edges with intervals"):
        plot_intervals(graph)
