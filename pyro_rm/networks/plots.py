"""Pictures of networks and of their couplings' intervals; need matplotlib."""

from __future__ import annotations

from math import isfinite
from numbers import Real
from typing import Any

import networkx as nx


def _axis(axis: Any) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Expected matplotlib for pictures; install it by pip install 'pyro-rm[examples]'."
        ) from error
    return pyplot.gca() if axis is None else axis


def plot_network(graph: nx.Graph, axis: Any = None, *, labels: bool = True) -> Any:
    """Draw a network: blue edges attract, red ones repel, wide ones are strong.

    Edges whose interval holds zero are dotted.

    :param graph: What ``to_networkx`` returns.
    :param axis: A matplotlib axis; None: the current one.
    :param labels: Whether to write the names of the nodes.
    :returns: The axis.
    :raises ValueError: If an edge has no finite weight.
    """
    largest = _largest_weight(graph)
    axis = _axis(axis)
    close = nx.Graph()
    close.add_nodes_from(graph)
    close.add_weighted_edges_from((a, b, abs(w)) for a, b, w in graph.edges(data="weight"))
    connected = [node for node, degree in graph.degree if degree]
    place = nx.circular_layout(graph)
    if connected:
        place.update(nx.kamada_kawai_layout(close.subgraph(connected), weight=None))
    alone = [node for node in graph if node not in set(connected)]
    place.update({node: (-1.3, 1 - 0.15 * row) for row, node in enumerate(alone)})
    for first, second, edge in graph.edges(data=True):
        dotted = edge.get("lower", 1.0) < 0 < edge.get("upper", 1.0)
        axis.plot(
            *zip(place[first], place[second], strict=True),
            color="tab:blue" if edge["weight"] > 0 else "tab:red",
            linewidth=0.5 + 4 * abs(edge["weight"]) / largest,
            linestyle=":" if dotted else "-",
            alpha=0.7,
            zorder=1,
        )
    if place:
        axis.scatter(*zip(*place.values(), strict=True), s=40, color="black", zorder=2)
    for node in graph if labels else ():
        axis.annotate(str(node), place[node], xytext=(4, 4), textcoords="offset points", size=7)
    axis.set_axis_off()
    axis.margins(0.2)
    return axis


EVIDENCE_COLORS = {"present": "tab:blue", "absent": "tab:red", "undecided": "lightgray"}


def plot_evidence(graph: nx.Graph, axis: Any = None, *, labels: bool = True) -> Any:
    """Draw what data say of each edge: blue ones are there, red ones are not, gray: undecided.

    :param graph: Edges have ``weight`` and ``evidence``: present, absent or undecided. Wide edges
        are strong; negative ones are dashed where they are there.
    :param axis: A matplotlib axis; None: the current one.
    :param labels: Whether to write the names of the nodes.
    :returns: The axis.
    """
    axis = _axis(axis)
    place = nx.circular_layout(graph)
    largest = max((abs(w) for *_, w in graph.edges(data="weight")), default=0.0) or 1.0
    for order, (verdict, color) in enumerate(reversed(EVIDENCE_COLORS.items())):
        chosen = [edge for edge in graph.edges(data=True) if edge[2]["evidence"] == verdict]
        for first, second, edge in chosen:
            present = verdict == "present"
            axis.plot(
                *zip(place[first], place[second], strict=True),
                color=color,
                linewidth=1 + 4 * abs(edge["weight"]) / largest if present else 1.0,
                linestyle="--" if present and edge["weight"] < 0 else "-",
                zorder=order,
            )
        axis.plot([], [], color=color, label=f"{verdict} ({len(chosen)})")
    axis.scatter(*zip(*place.values(), strict=True), s=40, color="black", zorder=3)
    for node in graph if labels else ():
        axis.annotate(str(node), place[node], xytext=(4, 4), textcoords="offset points", size=7)
    axis.legend(loc="upper left", fontsize=7, frameon=False)
    axis.set_axis_off()
    axis.margins(0.2)
    return axis


def plot_intervals(graph: nx.Graph, axis: Any = None, *, num_edges: int = 30) -> Any:
    """Draw the strongest couplings with their intervals, sorted; infinite ends are left out.

    :param graph: What :meth:`IsingNetwork.to_networkx` returns.
    :param axis: A matplotlib axis; None: the current one.
    :param num_edges: How many.
    :returns: The axis.
    :raises ValueError: If edges have no intervals, such as those of a Potts network.
    """
    if not all({"lower", "upper"} <= edge.keys() for *_, edge in graph.edges(data=True)):
        raise ValueError(
            "Expected edges with intervals, as of an IsingNetwork, but got some without lower and "
            "upper. Draw them by plot_network."
        )
    _largest_weight(graph)
    axis = _axis(axis)
    edges = sorted(graph.edges(data=True), key=lambda edge: -abs(edge[2]["weight"]))[:num_edges]
    edges.sort(key=lambda edge: edge[2]["weight"])
    for row, (_, _, edge) in enumerate(edges):
        color = "tab:blue" if edge["weight"] > 0 else "tab:red"
        ends = [end if isfinite(end) else edge["weight"] for end in (edge["lower"], edge["upper"])]
        axis.plot(ends, [row, row], color=color)
        axis.plot(edge["weight"], row, "o", color=color, markersize=4)
    axis.axvline(0, color="gray", linewidth=0.8)
    axis.set_yticks(range(len(edges)), [f"{a} - {b}" for a, b, _ in edges], size=6)
    axis.set_xlabel("coupling")
    return axis


def _largest_weight(graph: nx.Graph) -> float:
    """The size of the largest weight, 1 where all are zero; refuses edges without one."""
    largest = 0.0
    for first, second, weight in graph.edges(data="weight"):
        if not isinstance(weight, Real) or not isfinite(weight):
            raise ValueError(
                f"Expected a finite number as the weight of edge {(first, second)!r}, but got "
                f"{weight!r}. Give every edge one, as nx.set_edge_attributes does."
            )
        largest = max(largest, abs(float(weight)))
    return largest or 1.0
