"""Pictures show every node and coupling; without matplotlib they say what to install."""

import sys

import networkx as nx
import pytest

from pyro_rm.networks.plots import plot_intervals, plot_network

INF, NAN = float("inf"), float("nan")


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


@pytest.mark.parametrize("num_nodes", [0, 1, 3])
@pytest.mark.parametrize("plot", [plot_network, plot_intervals])
def test_an_empty_network_can_be_drawn(axis, plot, num_nodes):
    plot(nx.empty_graph(num_nodes), axis)
    assert all(line.get_label().startswith("_") for line in axis.lines)
    axis.figure.canvas.draw()


@pytest.mark.parametrize("weights", [(0.0,), (0.0, 0.0), (0.0, -0.0, 0.0)])
def test_weights_of_zero_are_drawn(axis, weights):
    edges = [(k, k + 1, {"weight": w, "lower": -1.0, "upper": 1.0}) for k, w in enumerate(weights)]
    plot_network(nx.Graph(edges), axis)
    assert len(axis.lines) == len(weights)
    plot_intervals(nx.Graph(edges), axis)


@pytest.mark.parametrize("ends", [(0.5, INF), (-INF, 2.0), (-INF, INF), (NAN, NAN)])
def test_ends_that_are_not_finite_are_left_out(axis, ends):
    lower, upper = ends
    plot_intervals(nx.Graph([("a", "b", {"weight": 1.0, "lower": lower, "upper": upper})]), axis)
    assert all(-INF < x < INF for x in axis.lines[0].get_xdata())
    axis.figure.canvas.draw()


@pytest.mark.parametrize("weight", [None, "0.3", NAN, INF, [0.3]])
@pytest.mark.parametrize("plot", [plot_network, plot_intervals])
def test_edges_without_a_weight_are_named(axis, plot, weight):
    graph = nx.Graph([("a", "b", {"weight": weight, "lower": 0.0, "upper": 1.0})])
    with pytest.raises(ValueError, match=r"weight of edge \('a', 'b'\)"):
        plot(graph, axis)


@pytest.mark.parametrize("attributes", [{}, {"lower": 0.0}, {"upper": 0.0}])
def test_edges_without_intervals_are_drawn_otherwise(axis, graph, attributes):
    graph.add_edge("a", "c", weight=1.0, **attributes)
    with pytest.raises(ValueError, match="edges with intervals"):
        plot_intervals(graph, axis)
    plot_network(graph, axis)


def test_matplotlib_is_asked_for(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'pyro-rm\[examples\]'"):
        plot_network(graph)
