"""Partition functions of Ising and Potts models without loops, by elimination."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.energies import IsingEnergy, IsingFunction, PottsEnergy
from pyro_rm.energy_protocol import Energy, fast_path

Pairwise = IsingEnergy | IsingFunction | PottsEnergy


def coupling_graph(energy: Pairwise) -> nx.Graph:
    """The graph of the couplings that are not zero.

    :param energy: An Ising or Potts energy without batch dimensions.
    :returns: A graph on ``0 ... D - 1``.

    Example:

        >>> coupling_graph(IsingEnergy(3)).number_of_edges()
        0
    """
    strength = energy.couplings.detach().abs()
    if isinstance(energy, PottsEnergy):
        strength = strength.amax((1, 3))
    graph = nx.Graph()
    graph.add_nodes_from(range(len(strength)))
    graph.add_edges_from((strength.triu(1) != 0).nonzero().tolist())
    return graph


def is_forest(energy: Energy) -> TypeGuard[Pairwise]:
    """Whether an energy is a pairwise one whose graph has no loop."""
    if not isinstance(energy, IsingEnergy | IsingFunction | PottsEnergy):
        return False
    if fast_path(energy, "couplings") is None:
        return False
    if energy.fields.dim() != (2 if isinstance(energy, PottsEnergy) else 1):
        return False
    return nx.is_forest(coupling_graph(energy))


def log_partition_of_forest(energy: Pairwise) -> Tensor:
    r"""Logarithm of the partition function of a forest, by elimination from the leaves.

    :param energy: An Ising or Potts energy whose graph has no loop.
    :returns: A scalar, differentiable in the energy.
    :raises ValueError: If the graph has a loop.

    Example:

        >>> chain = IsingFunction(torch.zeros(3, 3), torch.zeros(3), IsingEnergy(3).state_space)
        >>> log_partition_of_forest(chain)
        tensor(2.0794)

    .. note:: Costs :math:`K^2` a site, and no energy.
    """
    if not is_forest(energy):
        raise ValueError("Expected an Ising or Potts energy without loops, but got another.")
    graph = coupling_graph(energy)
    logits, tables = _log_factors(energy)
    messages = list(logits.unbind())
    total = logits.new_zeros(())
    for component in nx.connected_components(graph):
        root = min(component)
        for parent, child in reversed(list(nx.bfs_edges(graph, root))):
            terms = messages[child][:, None] + tables(child, parent)
            messages[parent] = messages[parent] + terms.logsumexp(0)
        total = total + messages[root].logsumexp(0)
    return total


def _log_factors(energy: Pairwise) -> tuple[Tensor, Callable[[int, int], Tensor]]:
    """What each value of a site, ``(D, K)``, and each pair of values adds to ``log p``."""
    space, fields, couplings = energy.state_space, energy.fields, energy.couplings
    if isinstance(energy, PottsEnergy):
        exists = space.category_mask(fields.device)
        return fields.masked_fill(~exists, -torch.inf), lambda i, j: couplings[i, :, j, :]
    values = fields.new_tensor(space.states)
    return fields[:, None] * values, lambda i, j: couplings[i, j] * values[:, None] * values
