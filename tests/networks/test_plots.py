"""Pictures show every node and coupling; without matplotlib they say what to install."""

import sys

import networkx as nx
import pytest

from pyro_rm.networks.plots import plot_intervals, plot_network


@pytest.fixture
def graph():
    graph = nx.Graph()
    graph.add_nodes_from(["a", "b", "c", "alone"])
    graph.add_edge("a", "b", weight=1.0, lower=0.5, upper=1.5)
    graph.add_edge("b", "c", weight=-0.2, lower=-0.6, upper=0.2)
    return graph


@pytest.fixture
def axis():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    figure, axis = pyplot.subplots()
    yield axis
    pyplot.close(figure)


def test_uncertain_edges_are_dotted(graph, axis):
    plot_network(graph, axis)
    assert [line.get_linestyle() for line in axis.lines] == ["-", ":"]
    assert {text.get_text() for text in axis.texts} == set(graph)


def test_intervals_are_sorted_and_named(graph, axis):
    plot_intervals(graph, axis)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["b - c", "a - b"]
    assert list(axis.lines[0].get_xdata()) == [-0.6, 0.2]


def test_an_empty_network_can_be_drawn(axis):
    plot_network(nx.empty_graph(3), axis)
    assert len(axis.lines) == 0


def test_matplotlib_is_asked_for(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'pyro-rm\[examples\]'"):
        plot_network(graph)
