"""A diagonal of the table of everything with everything: no cell wrong, none an error of others."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "cross_table.py"
SPEC = importlib.util.spec_from_file_location("cross_table", PATH)
MODULE = sys.modules["cross_table"] = importlib.util.module_from_spec(SPEC)  # pickles look there
SPEC.loader.exec_module(MODULE)
TABLE = vars(MODULE)


def test_no_cell_is_wrong_or_fails_in_words_that_are_not_ours():
    found = TABLE["table"](quick=True)
    assert {axis for cell in found for axis in cell} == {
        *TABLE["ENERGIES"], *TABLE["SETTINGS"], *TABLE["USES"]
    }  # fmt: skip
    fine = ("right", "nothing to do")
    assert {cell: result for cell, result in found.items() if result not in fine} == {}
    assert sum(result == "right" for result in found.values()) > 50


@pytest.mark.parametrize("setting", TABLE["SETTINGS"])
def test_a_wrong_loss_is_noticed(setting):
    cell = TABLE["Cell"](TABLE["ENERGIES"]["Potts"], setting)
    assert cell.scored(cell.program)
    cell.right = [loss + 0.01 for loss in cell.right]
    assert not cell.scored(cell.program)
