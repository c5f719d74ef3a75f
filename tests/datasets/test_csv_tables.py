"""CSV files: blanks, text columns, and what is wrong in them."""

import pytest
import torch

from pyro_rm.datasets import read_csv_table
from pyro_rm.networks.tables import read_columns


def write(folder, text):
    path = folder / "x.csv"
    path.write_text(text)
    return path


def test_blanks_are_nan_and_text_is_set_aside(tmp_path):
    table = read_csv_table(write(tmp_path, "a,party,b\n1,left,\n0,right,1\nNA,left,?\n"))
    nan = float("nan")
    expected = torch.tensor([[1, nan], [0, 1], [nan, nan]], dtype=torch.float64)
    torch.testing.assert_close(table.values, expected, equal_nan=True)
    assert table.columns == ["a", "b"]
    assert read_columns(table)[1] == table.columns
    assert table.labels == {"party": ["left", "right", "left"]}


def test_columns_can_be_dropped(tmp_path):
    table = read_csv_table(write(tmp_path, "id,a,party,b\n7,1,left,0\n8,0,right,1\n"))
    kept = table.drop(columns=["id"])
    assert kept.columns == ["a", "b"]
    assert kept.labels == table.labels
    torch.testing.assert_close(kept.values, table.values[:, 1:])
    for wrong in (["c"], "id"):
        with pytest.raises(ValueError, match="Expected some of the columns"):
            table.drop(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "but got 1 lines"),
        ("0,1\n1,0\n", "Add a header line"),
        ("a,b\n0,1\n1\n", "Expected 2 cells .* but got 1 in row 3"),
        ("a,a\n0,1\n", "but got 'a' twice"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_csv_table(write(tmp_path, text))


def test_house_votes(real_data):
    table = read_csv_table(real_data / "ising" / "house_votes_84.csv")
    assert table.values.shape == (435, 16)
    assert int(table.values.isnan().sum()) == 392
    assert set(table.labels) == {"party"}
