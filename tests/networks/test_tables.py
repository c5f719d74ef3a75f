"""Tables that are no network data are refused by the names of their columns."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm.networks.tables import read_binary

NAN = float("nan")


def frame(**columns):
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (frame(a=[0, 1, 1], b=[1, 1, 1]), ValueError, r"\['b'\] are constant"),
        (frame(a=[0, 1, 1], b=[1, NAN, 1]), ValueError, r"\['b'\] are constant"),
        (frame(a=[0, 1, 1], b=[NAN] * 3), ValueError, r"\['b'\] are constant"),
        (frame(a=[0, 1, 1], b=[-1, 1, -1]), ValueError, r"0/1 in .*'a'.* -1/1 in .*'b'.*2 \* x"),
        (frame(a=[0, 1, 1], b=[0, 1, 2]), ValueError, r"\['b'\] hold others, such as 2"),
        (frame(a=[0, 1, 1], b=[0, 1, 0.5]), ValueError, r"such as 0\.5"),
        (frame(a=[0, 1, 1], b=[0, 1, 1]), ValueError, "'b' is a copy of 'a'"),
        (frame(a=[0, 1, 1], b=[1, 0, 0]), ValueError, "'b' is the opposite of 'a'"),
        (
            frame(a=[0, 1], b=["agree", "no"]),
            TypeError,
            r"yes and no in column 'b'.*Say which answer is 1, as by table\['b'\]",
        ),
        (frame(a=[0], b=[1]), ValueError, "at least 2 rows"),
        (np.zeros(4), ValueError, "rows and columns"),
    ],
)
def test_bad_tables(table, error, message):
    with pytest.raises(error, match=message):
        read_binary(table)


def test_the_wrong_coding_is_told_with_its_fix():
    with pytest.raises(ValueError, match=r"\(-1, 1\) in columns .* Say states=\(-1, 1\)"):
        read_binary([[-1, 1], [1, -1], [1, 1]], states=(0, 1))


def test_frames_arrays_and_tensors_are_the_same_table():
    array = np.array([[0, 1], [1, NAN], [1, 0]])
    tables = [read_binary(t) for t in (array, torch.tensor(array), pd.DataFrame(array))]
    for table in tables:
        torch.testing.assert_close(table.values, torch.tensor(array), equal_nan=True)
        assert table.space.states == (0, 1)
        assert table.names == [0, 1]
    objects = pd.DataFrame({"a": [0, None, 1], "b": [True, False, True]}, dtype=object)
    assert read_binary(objects).values[1, 0].isnan()


def test_blanks_make_columns_different():
    assert read_binary(frame(a=[0, 1, NAN], b=[0, 1, 1])).names == ["a", "b"]
