"""What is asked for without a package that it needs: which one, and how to install it."""

import sys

import networkx as nx
import numpy as np
import pytest

import pyro_rm.__main__
from pyro_rm.graphs import RandomGraphModel, goodness_of_fit
from pyro_rm.networks import IsingNetwork
from pyro_rm.networks.table_kinds import frame

GRAPH = nx.path_graph(6)
CASES = {
    "matplotlib": lambda: goodness_of_fit.plot({"degree": np.ones((4, 3))}),
    "pandas": lambda: RandomGraphModel(["edges"]).fit(GRAPH).summary(),
    "polars": lambda: frame("polars", ["a"], [[1, 2]]),
}


@pytest.mark.parametrize("package", CASES)
def test_packages_are_named_where_they_are_missing(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"Expected {package} for .* by pip install"):
        CASES[package]()


def test_commands_go_without(monkeypatch, tmp_path, capsys):
    path, out = tmp_path / "answers.csv", ["--out", str(tmp_path)]
    path.write_text("a,b,mood\n" + 20 * "0,1,low\n1,0,high\n1,1,low\n0,0,high\n")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert pyro_rm.__main__.main(["ising", str(path), "--drop", "mood", *out]) == 0
    assert "no figure, as matplotlib is not installed" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert pyro_rm.__main__.main(["potts", str(path), "--words", "mood", *out]) == 2
    assert "Expected pandas for --words: pip install pandas" in capsys.readouterr().err


def test_without_scikit_learn_an_unfitted_network_raises_a_value_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    with pytest.raises(ValueError, match="fit") as error:
        IsingNetwork().sample(3)
    assert error.type is ValueError
