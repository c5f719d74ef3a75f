"""Partition functions of pairwise models without loops, by elimination."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import networkx as nx
from torch import Tensor

from pyro_rm.energy_protocol import EnergyError


def log_partition_of_forest(
    logits: Tensor, edges: Sequence[Sequence[int]], pair: Callable[[int, int], Tensor]
) -> Tensor | None:
    r"""Logarithm of the partition function of a forest, by elimination from the leaves.

    :param logits: What each value of a site adds to ``log p``, ``(D, K)``.
    :param edges: Pairs of sites that interact.
    :param pair: What each pair of values of two sites adds to ``log p``, ``(K, K)``.
    :returns: A scalar, differentiable in what is given; None if the edges have a loop.
    :raises EnergyError: If a parameter is not finite.

    Example:

        >>> import torch
        >>> log_partition_of_forest(torch.zeros(3, 2), [(0, 1)], lambda i, j: torch.eye(2))
        tensor(2.6996)

    .. note:: Costs :math:`K^2` a site, and no energy.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(len(logits)))
    graph.add_edges_from(edges)
    if not nx.is_forest(graph):
        return None
    messages = list(logits.unbind())
    total = logits.new_zeros(())
    for component in nx.connected_components(graph):
        root = min(component)
        for parent, child in reversed(list(nx.bfs_edges(graph, root))):
            terms = messages[child][:, None] + pair(child, parent)
            messages[parent] = messages[parent] + terms.logsumexp(0)
        total = total + messages[root].logsumexp(0)
    if not total.detach().isfinite():
        raise EnergyError(f"Expected finite parameters, but log Z is {total.item()}.")
    return total
