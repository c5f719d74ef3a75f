"""How well a graph model fits what it was not fitted to: degrees, partners, distances."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import torch

from pyro_rm.graphs.edge_sets import EdgeSets
from pyro_rm.graphs.nodes import Array, Nodes

_MOST_SOURCES = 1000  # nodes from which distances are measured


def summary_of(graph: EdgeSets, copy: int) -> dict[str, Array]:
    """Distributions by which networks are compared [1], of one copy.

    :param graph: The networks.
    :param copy: Which.
    :returns: Shares of nodes by ``"degree"`` (in directed graphs ``"out degree"`` and
        ``"in degree"``), of edges by number of ``"edgewise shared partners"``, and of pairs by
        ``"geodesic distance"``, of which entry 0 are pairs that are not connected.

    **References**

    [1] David Hunter, Steven Goodreau, Mark Handcock (2008) "Goodness of fit of social network
        models", Journal of the American Statistical Association 103(481).
    """
    size = graph.num_nodes
    nodes = slice(copy * size, (copy + 1) * size)
    found = {"degree": graph.out.degree[nodes]}
    if graph.directed:
        found = {"out degree": graph.out.degree[nodes], "in degree": graph.into.degree[nodes]}
    i, j = graph.out.pairs(np.arange(nodes.start, nodes.stop))
    inside = slice(None) if graph.directed else i < j
    i, j = i[inside], j[inside]
    result = {name: _shares(values) for name, values in found.items()}
    if graph.nodes.kind != "bipartite":
        result["edgewise shared partners"] = _shares(graph.num_between(i, j))
    result["geodesic distance"] = _shares(_distances(graph.connected[nodes]))
    return result


def _shares(values: Array) -> Array:
    return np.bincount(values) / max(1, len(values))


def _distances(connected: Array) -> Array:
    """Distances of all pairs, from some of the nodes if there are many; 0: no path."""
    size = len(connected)
    sources = np.unique(np.linspace(0, size - 1, min(size, _MOST_SOURCES)).astype(int))
    step = torch.from_numpy(connected).float()
    reached = torch.eye(size)[sources]
    distance = torch.zeros(len(sources), size, dtype=torch.int)
    front, length = reached, 0
    while front.any():
        length += 1
        front = ((front @ step) > 0).float() * (1 - reached)
        reached = reached + front
        distance += length * front.int()
    others = torch.eye(size)[sources] == 0
    return distance[others].numpy()


def table(observed: dict[str, Array], simulated: list[dict[str, Array]]) -> dict[str, Array]:
    """Observed shares above quantiles of simulated ones.

    :param observed: As of :func:`summary_of`.
    :param simulated: The same of simulated networks.
    :returns: For each distribution rows: observed, and the 2.5, 50 and 97.5 % quantiles.
    """
    result = {}
    for name, shares in observed.items():
        width = max(len(each[name]) for each in [observed, *simulated])
        padded = [np.pad(each[name], (0, width - len(each[name]))) for each in simulated]
        quantiles = np.quantile(np.stack(padded), (0.025, 0.5, 0.975), axis=0)
        result[name] = np.vstack((np.pad(shares, (0, width - len(shares))), quantiles))
    return result


def plot(tables: dict[str, Array], axes: Any = None) -> Any:
    """Draw observed shares over bands of simulated ones.

    :param tables: As of :func:`table`.
    :param axes: Matplotlib axes, one for each distribution; None: new ones.
    :returns: The axes.
    :raises ImportError: If there is no matplotlib.
    """
    if axes is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError(
                "Expected matplotlib for pictures; install it by pip install 'pyro-rm[examples]'."
            ) from error
        _, axes = pyplot.subplots(1, len(tables), figsize=(4 * len(tables), 3), layout="tight")
    for axis, (name, rows) in zip(np.ravel(axes), tables.items(), strict=True):
        place, ticks = np.arange(rows.shape[1]), None
        if name == "geodesic distance":  # pairs without a path come last
            rows = np.roll(rows, -1, axis=1)
            ticks = [*map(str, place[1:]), "\N{INFINITY}"]
        axis.fill_between(place, rows[1], rows[3], alpha=0.3, label="95 % of simulated")
        axis.plot(place, rows[2], linewidth=0.8)
        axis.plot(place, rows[0], "o-", color="black", markersize=3, label="observed")
        axis.set(xlabel=name, ylabel="share")
        if ticks is not None and len(ticks) <= 15:
            axis.set_xticks(place, ticks)
        else:
            axis.xaxis.get_major_locator().set_params(integer=True)
    np.ravel(axes)[0].legend()
    return axes


def to_networkx(graph: EdgeSets, copy: int) -> nx.Graph:
    """One copy as a graph with the names and attributes of its nodes."""
    nodes: Nodes = graph.nodes
    start = copy * graph.num_nodes
    result = nx.DiGraph() if graph.directed else nx.Graph()
    for row, name in enumerate(nodes.names):
        own = {key: column[row] for key, column in nodes.columns.items()}
        result.add_node(name, **{key: value for key, value in own.items() if value is not None})
    i, j = graph.out.pairs(np.arange(start, start + graph.num_nodes))
    result.add_edges_from(
        (nodes.names[a], nodes.names[b])
        for a, b in zip((i - start).tolist(), (j - start).tolist(), strict=True)
    )
    return result
