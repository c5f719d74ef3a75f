"""What people hand over x what networks do with it: the same as of numbers, or a clear refusal.

A form is registered by one line, an entry point by another; each of their cells is tested.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from pyro_rm.datasets import CsvTable
from pyro_rm.networks import IsingNetwork, PottsNetwork

NAMES = list("abcd")
WORDS = ["never", "seldom", "often"]


def numbers(kinds, num_rows=60):
    rng = np.random.default_rng(kinds)
    x = rng.integers(0, kinds, (num_rows, 4))
    x[:, 1] = np.where(rng.random(num_rows) < 0.5, x[:, 0], x[:, 1])
    return x


HOLES = np.random.default_rng(5).random((60, 4)) < 0.1


def frame(x):
    return pd.DataFrame(x, columns=NAMES)


def words(x):
    return frame(np.array(WORDS if x.max() > 1 else ["no", "yes"])[x])


def csv_table(x):
    return CsvTable(torch.tensor(x, dtype=torch.float64), NAMES, {})


def polars(x):
    return pytest.importorskip("polars").DataFrame({n: x[:, i] for i, n in enumerate(NAMES)})


COMPLETE = {
    "integers": lambda x: x,
    "bytes": lambda x: x.astype(np.uint8),
    "half precision": lambda x: x.astype(np.float16),
    "objects": lambda x: x.astype(object),
    "numbers in text": lambda x: x.astype(str),
    "lists": lambda x: x.tolist(),
    "tensor": torch.tensor,
    "tensor of bytes": lambda x: torch.tensor(x, dtype=torch.uint8),
    "tensor with gradient": lambda x: torch.tensor(x, dtype=torch.float32, requires_grad=True),
    "sparse tensor": lambda x: torch.tensor(x).to_sparse(),
    "sparse rows": sp.csr_array,
    "sparse coordinates": lambda x: sp.coo_matrix(x.astype(float)),
    "columns first": lambda x: np.asfortranarray(x)[::1],
    "read only": lambda x: np.broadcast_to(x, x.shape),
    "frame": frame,
    "frame in another order": lambda x: frame(x)[list("cadb")],
    "frame of another index": lambda x: frame(x).set_axis(np.arange(60)[::-1] * 7),
    "frame of sparse columns": lambda x: frame(x).astype(pd.SparseDtype("int", 0)),
    "frame of categories": lambda x: frame(x).astype("category"),
    "frame of unused categories": lambda x: frame(x).astype(pd.CategoricalDtype(range(9))),
    "frame of words": words,
    "frame of word categories": lambda x: words(x).astype(
        pd.CategoricalDtype([*WORDS, "no", "yes"], ordered=True)
    ),
    "CSV table": csv_table,
    "polars": polars,
}
BINARY = {
    "booleans": lambda x: x == 1,
    "tensor of booleans": lambda x: torch.tensor(x == 1),
    "frame of booleans": lambda x: frame(x == 1),
    "frame of mixed types": lambda x: frame(x).assign(b=x[:, 1] == 1, c=words(x).c),
}
BLANK = {
    "floats with blanks": lambda x: np.where(HOLES, np.nan, x),
    "objects with None": lambda x: np.where(HOLES, None, x.astype(object)),
    "tensor with blanks": lambda x: torch.tensor(np.where(HOLES, np.nan, x)),
    "frame with blanks": lambda x: frame(x).mask(HOLES),
    "frame with blanks in another order": lambda x: frame(x).mask(HOLES)[list("dbca")],
    "nullable integers": lambda x: frame(x).astype("Int64").mask(HOLES),
    "nullable floats": lambda x: frame(x).astype("Float64").mask(HOLES),
    "categories with blanks": lambda x: frame(x).mask(HOLES).astype("category"),
    "words with blanks": lambda x: words(x).mask(HOLES),
    "words with empty cells": lambda x: words(x).mask(HOLES, ""),
    "CSV table with blanks": lambda x: csv_table(np.where(HOLES, np.nan, x)),
    "sparse with blanks": lambda x: sp.csr_array(np.where(HOLES, np.nan, x)),
}
REFUSED = {
    "fractions": lambda x: x + 0.5,
    "negative codes": lambda x: np.where(HOLES, -9, x),
    "infinite": lambda x: np.where(HOLES, np.inf, x),
    "complex": lambda x: x + 0j,
    "dates": lambda x: frame(x).astype("datetime64[ns]"),
    "durations": lambda x: frame(x).astype("timedelta64[ns]"),
    "a row": lambda x: x[0],
    "no rows": lambda x: x[:0],
    "images": lambda x: x.reshape(15, 4, 4),
    "one word in capitals": lambda x: words(x).mask(HOLES, "NEVER" if x.max() > 1 else "maybe"),
    "a column twice": lambda x: frame(x).set_axis(list("abca"), axis=1),
    "a path": lambda x: "answers.csv",
    "a dictionary": lambda x: {"a": x[:, 0], "b": x[:, 1]},
    "nothing": lambda x: None,
}
SECOND = {  # what is refused of a second table only
    "another name": lambda x: frame(x).rename(columns={"a": "z"}),
    "a column more": lambda x: frame(x).assign(z=x[:, 0]),
    "a column less": lambda x: frame(x)[list("abc")],
    "codes from 1": lambda x: x + 1,
}
ENTRIES = {
    "fit": lambda network, table: network.fit(table).weights_,
    "score": lambda network, table: network.score(table),
    "score_samples": lambda network, table: network.score_samples(table),
    "predict_proba": lambda network, table: network.predict_proba(table),
    "predict_proba of c": lambda network, table: network.predict_proba(
        table, "c" if "c" in network.feature_names_in_ else 2
    ),
    "impute": lambda network, table: network.impute(table, proba=True),
    "check_fit": lambda network, table: (
        network.check_fit(table, num_samples=20, num_steps=3).log_likelihood
    ),
}
MAKERS = {
    "Ising": (2, lambda: IsingNetwork(selection=None, ridge=0.1, num_rounds=2, random_state=0)),
    "Potts": (3, lambda: PottsNetwork(ridge=1.0, max_steps=200, num_rounds=2, random_state=0)),
}
both = pytest.mark.parametrize("kind", list(MAKERS))
entries = pytest.mark.parametrize("entry", list(ENTRIES))
pytestmark = pytest.mark.filterwarnings("ignore:Base")


@cache
def fitted(kind, form):
    """A network and the table of that form that it was fitted to."""
    kinds, make = MAKERS[kind]
    table = {**COMPLETE, **BINARY, **BLANK}[form](numbers(kinds))
    return make().fit(table), table


def in_usual_order(kind, found, network):
    """Columns and categories of probabilities in the order of the numbers."""
    names = network.feature_names_in_.tolist()
    columns = [names.index(name) for name in (NAMES if "a" in names else range(4))]
    found = np.asarray(found)[:, columns]
    for place, column in enumerate(columns):
        labels = (network.words_ or [None] * 4)[column]
        if labels is not None and kind == "Potts":
            found[:, place] = found[:, place][:, [labels.index(word) for word in WORDS]]
    return found


def check(kind, entry, form, usual):
    """That the entry says the same of a form as of numbers."""
    network, table = fitted(kind, form)
    found, expected = ENTRIES[entry](network, table), ENTRIES[entry](*fitted(kind, usual))
    if entry == "check_fit":  # by chains, whose draws depend on the order of columns
        assert np.isfinite(found).all()
        return
    if entry in ("predict_proba", "impute"):
        found = in_usual_order(kind, found, network)
    if entry == "fit":  # pairs are in the order of the columns
        found, expected = np.sort(found), np.sort(expected)
    if entry == "predict_proba of c":
        labels = network.labels_ and network.labels_[network.feature_names_in_.tolist().index("c")]
        if labels and kind == "Potts" and labels[0] in WORDS:
            found = found[:, [labels.index(word) for word in WORDS]]
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)


@both
@entries
@pytest.mark.parametrize("form", [*COMPLETE, *BINARY])
def test_forms_that_mean_the_same(kind, entry, form):
    if form in BINARY and kind == "Potts":
        pytest.skip("two values are not for Potts networks")
    check(kind, entry, form, "integers")


@both
@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "check_fit"])
@pytest.mark.parametrize("form", list(BLANK))
def test_blanks_that_mean_the_same(kind, entry, form):
    check(kind, entry, form, "floats with blanks")


@both
@entries
@pytest.mark.parametrize("form", [*REFUSED, *SECOND])
def test_forms_that_mean_nothing(kind, entry, form):
    if entry == "fit" and form in SECOND:
        pytest.skip("only a second table can differ from the first")
    x = numbers(MAKERS[kind][0])
    table = {**REFUSED, **SECOND}[form](x)
    usual = "frame" if hasattr(table, "columns") else "integers"
    network, _ = fitted(kind, "frame of words" if "word" in form else usual)
    if entry == "fit":
        network = MAKERS[kind][1]()
    with pytest.raises((TypeError, ValueError), match="Expected"):
        ENTRIES[entry](network, table)


def test_what_is_no_table_is_named_with_the_way_to_make_one():
    x = (np.random.default_rng(0).random((40, 3)) < 0.5).astype(int)
    rows = [dict(zip("abc", row, strict=True)) for row in x.tolist()]
    records = np.array([tuple(row) for row in x], dtype=[(name, int) for name in "abc"])
    for table, what in ((rows, "a list of dicts"), (records, "a ndarray"), (rows[0], "a dict")):
        with pytest.raises(TypeError, match=rf"got {what}. Pass pandas.DataFrame\(table\)"):
            IsingNetwork().fit(table)
    network = IsingNetwork(selection=None).fit(pd.DataFrame(x, columns=list("abc")))
    frame = pd.DataFrame(x, columns=list("abc"))
    with pytest.raises(ValueError, match=r"but got 2; \['b'\] are missing"):
        network.score(frame[["a", "c"]])
    with pytest.raises(ValueError, match=r"but got 4; \['d'\] were not fitted"):
        network.score(frame.assign(d=1))
    with pytest.raises(ValueError, match=r"Expected 3 columns, but got 2\."):
        network.score(x[:, :2])


def test_sparse_matrices_of_all_kinds_are_tables():
    x = (np.random.default_rng(0).random((60, 3)) < 0.5).astype(int)
    wanted = IsingNetwork(selection=None, random_state=0).fit(x).weights_
    for kind in ("csr_matrix", "csc_array", "coo_matrix", "lil_matrix", "dok_matrix"):
        found = IsingNetwork(selection=None, random_state=0).fit(getattr(sp, kind)(x)).weights_
        np.testing.assert_allclose(found, wanted)
