"""Graphs up to the order of their nodes: uniqueness, novelty, and exact likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any, NamedTuple

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.checks import check_graphs
from pyro_rm.constants import constant
from pyro_rm.energy_protocol import energy_device, energy_dtype, energy_of
from pyro_rm.graphs.codec import encode_graphs

_LARGEST = 7  # the atlas of networkx ends here


def uniqueness(graphs: Sequence[nx.Graph]) -> float:
    """Number of isomorphism classes among graphs, divided by the number of graphs.

    :param graphs: Undirected graphs.
    :returns: A share in (0, 1]; it falls with the number of graphs.
    :raises TypeError: If it is not a list of undirected graphs.
    :raises ValueError: If there is no graph, or one has no nodes, or self-loops.

    Example:

        >>> uniqueness([nx.path_graph(3), nx.star_graph(2)])
        0.5
    """
    check_graphs(graphs)
    return len(set(_class_labels(graphs))) / len(graphs)


def novelty(graphs: Sequence[nx.Graph], train: Sequence[nx.Graph]) -> float:
    """Share of graphs that are isomorphic to no training graph.

    :param graphs: Undirected graphs.
    :param train: Training graphs.
    :returns: A share in [0, 1].
    :raises TypeError: If they are not lists of undirected graphs.
    :raises ValueError: If there is no graph, or one has no nodes, or self-loops.

    Example:

        >>> novelty([nx.path_graph(3), nx.complete_graph(3)], [nx.star_graph(2)])
        0.5
    """
    check_graphs(graphs)
    check_graphs(train)
    labels = _class_labels([*train, *graphs])
    seen = set(labels[: len(train)])
    return sum(label not in seen for label in labels[len(train) :]) / len(graphs)


@torch.no_grad()
def class_log_likelihoods(
    model: Any, graphs: Sequence[nx.Graph], *, max_nodes: int | None = None
) -> Tensor:
    r"""Exact log-likelihoods of the isomorphism classes of small graphs, given their sizes.

    With all graphs :math:`g` on :math:`n` nodes up to isomorphism (the atlas [1]), of which
    each has :math:`m(g) = n! / |\text{Aut}(g)|` labelings,

    .. math::

        \log p([g] \mid n) = \log m(g) - E(g) - \log \sum_{g'} m(g') e^{-E(g')} .

    :param model: An energy of vectors over node pairs that does not depend on the order of
        nodes, or a model or :class:`~pyro_rm.Target` of one; the energy is called with the vectors
        and the numbers of nodes.
    :param graphs: Undirected graphs of at most 7 nodes.
    :param max_nodes: Nodes of the padding that the energy needs; no padding by default.
    :returns: Shape ``(len(graphs),)``.
    :raises TypeError: If it is not a list of undirected graphs.
    :raises ValueError: If there is no graph, or one has no nodes, self-loops, or more than 7
        nodes.

    Example:

        >>> class_log_likelihoods(lambda x, n: 0 * x.sum(-1), [nx.path_graph(3)]).exp()
        tensor([0.3750])

    .. note:: Costs one energy for each of the 1252 graphs in the atlas, instead of the
        :math:`2^{21}` labeled graphs on 7 nodes.

    **References**

    [1] Ronald Read, Robin Wilson (1998) "An atlas of graphs", Oxford University Press.
    """
    check_graphs(graphs)
    energy = energy_of(model)
    device = energy_device(energy)
    largest = max(len(graph) for graph in graphs)
    if largest > _LARGEST:
        raise ValueError(f"Expected graphs of at most {_LARGEST} nodes, but got {largest}.")
    result = torch.zeros(len(graphs))  # a single node has one graph
    for size in {len(graph) for graph in graphs} - {1}:
        atlas = _atlas(size)
        batch = encode_graphs(atlas.graphs, max_nodes=max_nodes)
        pairs = batch.pairs.to(device, energy_dtype(energy, batch.pairs))
        energies = energy(pairs, batch.num_nodes.to(device)).double().to("cpu")
        log_class = torch.log(atlas.num_labelings) - energies
        log_class = log_class.log_softmax(0)
        rows = [row for row, graph in enumerate(graphs) if len(graph) == size]
        pairs = encode_graphs([graphs[row] for row in rows]).pairs.double()
        codes = (pairs @ _place_values(size)).amin(-1)
        result[rows] = log_class[torch.searchsorted(atlas.codes, codes)].to(result.dtype)
    return result


class _Atlas(NamedTuple):
    """All graphs of a size up to isomorphism, by increasing code: their least number."""

    graphs: list[nx.Graph]
    codes: Tensor
    num_labelings: Tensor


@constant
def _atlas(size: int) -> _Atlas:
    graphs = [graph for graph in nx.graph_atlas_g() if len(graph) == size]
    codes = encode_graphs(graphs).pairs.double() @ _place_values(size)
    least, order = codes.amin(-1).sort()
    fixed = (codes == codes[:, :1]).sum(-1).double()  # the identity comes first
    return _Atlas([graphs[i] for i in order], least, math.factorial(size) / fixed[order])


@constant
def _place_values(size: int) -> Tensor:
    """What a pair adds to the binary number of a graph, by permutation: ``(D, size!)``."""
    orders = torch.tensor(list(permutations(range(size))))
    first, second = torch.triu_indices(size, size, 1)
    place = torch.zeros(size, size, dtype=torch.float64)
    place[first, second] = 2.0 ** torch.arange(len(first), dtype=torch.float64)
    place = place + place.T
    return place[orders[:, first], orders[:, second]].T.contiguous()


def _class_labels(graphs: Sequence[nx.Graph]) -> list[int]:
    """A number for each graph, equal for isomorphic ones."""
    classes: dict[Any, list[tuple[int, nx.Graph]]] = {}
    labels = []
    total = 0
    for graph in graphs:
        similar = classes.setdefault(_invariant(graph), [])
        label = next((k for k, other in similar if nx.vf2pp_is_isomorphic(graph, other)), None)
        if label is None:
            label, total = total, total + 1
            similar.append((label, graph))
        labels.append(label)
    return labels


def _invariant(graph: nx.Graph) -> tuple[Any, ...]:
    degree, triangles = dict(graph.degree), nx.triangles(graph)
    return tuple(sorted(
        (degree[v], triangles[v], *sorted((degree[u], triangles[u]) for u in graph[v]))
        for v in graph
    ))  # fmt: skip
