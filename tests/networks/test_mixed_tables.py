"""Columns of their own kinds: what is read from a table, what is said, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm.networks.mixed_tables import read_mixed, read_mixed_like

ORDER = ["never", "rarely", "often", "always"]


def table():
    return pd.DataFrame({
        "mood": pd.Categorical(["often", "never", None, "always", "never"], ORDER, ordered=True),
        "step": [1, 2, 5, np.nan, 1],
        "ill": [True, False, None, True, False],
        "word": ["b", "a", "c", None, "a"],
        "sort": pd.Categorical(["x", "z", "y", "y", None]),
        "two": ["yes", "no", "no", None, "yes"],
        "level": [-1.5, 0.0, 3.0, 0.0, None],
    })  # fmt: skip


def test_kinds_categories_and_scores_are_those_of_the_columns():
    found, columns = read_mixed(table())
    kinds = ["ordinal", "ordinal", "binary", "nominal", "nominal", "binary", "ordinal"]
    assert [column.kind for column in columns] == kinds
    assert found.categories == [
        ["never", "often", "always"], [1, 2, 5], [False, True], ["a", "b", "c"], ["x", "y", "z"],
        ["no", "yes"], [-1.5, 0.0, 3.0],
    ]  # fmt: skip
    half = [column.site for column in columns]
    assert half[0] == pytest.approx((-0.5, 1 / 6, 0.5))  # "rarely" is never said, and has a place
    assert half[1] == (-0.5, -0.25, 0.5)
    assert half[2] == half[5] == (-0.5, 0.5)
    assert half[3] == half[4] == 3
    assert half[6] == pytest.approx((-0.5, -1 / 6, 0.5))
    assert found.space.categories == (3, 3, 2, 3, 3, 2, 3)
    assert found.num_blank == 7
    expected = [[1, 0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 2, 0, 1]]
    assert found.values[:2].tolist() == expected
    assert found.values[2].isnan().tolist() == [True, False, True, *4 * [False]]
    assert found.label(0, 2.0) == "always"


def test_what_is_said_of_a_column_goes_before_what_it_looks_like():
    _, columns = read_mixed(table(), {"step": "nominal", "sort": "nominal", "ill": "ordinal"})
    assert [column.kind for column in columns[1:3]] == ["nominal", "ordinal"]
    assert columns[1].site == 3
    _, columns = read_mixed(torch.tensor([[0, 1], [1, 2], [2, 0]]), "nominal")
    assert [column.site for column in columns] == [3, 3]


def test_rows_without_a_weight_or_an_answer_are_left_out():
    x = [[0, 0], [1, 1], [2, 0], [9, 1], [np.nan, np.nan]]
    found, columns = read_mixed(x, sample_weight=[1, 1, 2, 0, 1])
    assert columns[0].categories == [0, 1, 2]
    assert len(found.values) == 3
    assert found.weights.tolist() == [1, 1, 2]
    assert found.num_blank == 2


def test_new_rows_are_read_by_name_or_by_place():
    found, _ = read_mixed(table())
    names = list(table().columns)
    like = read_mixed_like(table()[names[::-1]].iloc[:2], found.categories, names)
    torch.testing.assert_close(like, found.values[:2])
    array = table().to_numpy(dtype=object)[:2]
    with pytest.warns(UserWarning, match=f"in the order of {re.escape(str(names[:5]))}"):
        by_place = read_mixed_like(array, found.categories, names)
    torch.testing.assert_close(by_place, found.values[:2])
    new = table().iloc[:1].assign(step=3)
    with pytest.raises(ValueError, match=r"one of \[1, 2, 5\] in column 'step', .* but got 3"):
        read_mixed_like(new, found.categories, names)
    with pytest.raises(ValueError, match="Expected 7 columns, but got 6"):
        read_mixed_like(table()[names[1:]], found.categories, names)


@pytest.mark.parametrize(("columns", "options", "words"), [
    ({"a": [1, 1, None], "b": [0, 1, 2]}, {}, "'a' is constant"),
    ({"a": range(30), "b": 30 * [0]}, {}, "up to 20 categories, but column 'a' has 30"),
    ({"a": [0, 1, 0], "b": [0, 1, 1]}, {}, "use IsingNetwork"),
    ({"a": [0, 1, 2], "b": [0, 1, 1]}, {"kinds": {"a": "binary"}}, "two values in the binary"),
    ({"a": ["x", "y", "z"], "b": [0, 1, 1]}, {"kinds": {"a": "ordinal"}}, "Expected an order of"),
    ({"a": [0, 1, 2], "b": [0, 1, 1]}, {"kinds": {"a": "count"}}, "Expected a kind among"),
    ({"a": [0, 1, 2], "b": [0, 1, 1]}, {"kinds": {"c": "ordinal"}}, "'c' is none of them"),
    ({"a": [0, 1, np.inf], "b": [0, 1, 1]}, {}, "Expected finite numbers in column 'a'"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused(columns, options, words):
    with pytest.raises(ValueError, match=words):
        read_mixed(pd.DataFrame(columns), **options)


@pytest.mark.parametrize("word", ["NA", "n/a", "NaN", "NULL", "?"])
def test_words_that_stand_for_blanks_are_not_taken_for_answers(word):
    columns = {"a": ["x", "y", "z", word], "b": [0, 1, 2, 1]}
    with pytest.raises(TypeError, match=r"column 'a', .*table.replace"):
        read_mixed(pd.DataFrame(columns))


def test_blanks_are_those_of_other_networks():
    columns = {"a": ["x", "y ", " ", "z", "", None, "y"], "b": [0, 1, 2, 1, 2, 0, 1]}
    found, (first, _) = read_mixed(pd.DataFrame(columns))
    assert first.categories == ["x", "y", "z"]
    assert found.num_blank == 3
    new = pd.DataFrame({"a": ["y", " y"], "b": [2, 0]})
    like = read_mixed_like(new, found.categories, found.names)
    assert like[:, 0].tolist() == [1, 1]
