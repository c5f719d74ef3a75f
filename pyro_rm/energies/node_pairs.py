"""Vectors over node pairs as adjacency matrices, differentiably."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.constants import constant


def num_pairs(num_nodes: int, *, directed: bool = False) -> int:
    """Pairs of different nodes, unordered or ordered.

    Example:

        >>> num_pairs(4), num_pairs(4, directed=True)
        (6, 12)
    """
    ordered = num_nodes * (num_nodes - 1)
    return ordered if directed else ordered // 2


def num_nodes_of(sites: int, *, directed: bool = False) -> int:
    """How many nodes have so many pairs.

    :param sites: Number of pairs.
    :param directed: Whether pairs are ordered.
    :raises ValueError: If no number of nodes does.

    Example:

        >>> num_nodes_of(6), num_nodes_of(12, directed=True)
        (4, 4)
    """
    nodes = round((1 + (1 + (4 if directed else 8) * sites) ** 0.5) / 2)
    if num_pairs(nodes, directed=directed) != sites:
        raise ValueError(
            f"Expected the {'ordered' if directed else 'unordered'} pairs of some number of "
            f"nodes, n (n - 1){'' if directed else ' / 2'}, but got {sites} sites."
        )
    return nodes


def adjacency_matrix(x: Tensor, *, directed: bool = False) -> Tensor:
    """Adjacency matrices of vectors over node pairs.

    :param x: Entries of pairs in row-major order, ``batch_shape + (D,)``: of the upper
        triangle, or of everything off the diagonal if directed.
    :param directed: Whether pairs are ordered.
    :returns: Shape ``batch_shape + (nodes, nodes)``, with zero diagonal.
    :raises ValueError: If no number of nodes has ``D`` pairs.

    Example:

        >>> adjacency_matrix(torch.tensor([1.0, 0.0, 1.0]))
        tensor([[0., 1., 0.],
                [1., 0., 1.],
                [0., 1., 0.]])
    """
    nodes, position = _positions(x.shape[-1], directed, str(x.device))
    padded = torch.nn.functional.pad(x, (0, 1))
    return padded.index_select(-1, position).unflatten(-1, (nodes, nodes))


def pair_ends(
    sites: int, *, directed: bool = False, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """The two nodes of each pair, ``(D,)`` each; the smaller one first if pairs are unordered.

    :param sites: Number of pairs.
    :param directed: Whether pairs are ordered.
    :param device: Where the result is.
    :raises ValueError: If no number of nodes has so many pairs.

    Example:

        >>> pair_ends(3)
        (tensor([0, 0, 1]), tensor([1, 2, 2]))
    """
    first, second = _ends(num_nodes_of(sites, directed=directed), directed, str(device or "cpu"))
    return first, second


@constant
def _ends(nodes: int, directed: bool, device: str) -> Tensor:
    """Rows and columns of the sites in an adjacency matrix, ``(2, D)``."""
    sites = ~torch.eye(nodes, dtype=torch.bool)
    return (sites if directed else sites.triu()).nonzero().T.to(device)


@constant
def _positions(sites: int, directed: bool, device: str) -> tuple[int, Tensor]:
    """Number of nodes, and the site that each entry of the matrix holds (D: none)."""
    nodes = num_nodes_of(sites, directed=directed)
    matrix = torch.full((nodes, nodes), sites)
    matrix[pair_ends(sites, directed=directed)] = torch.arange(sites)
    if not directed:
        matrix = torch.minimum(matrix, matrix.T)
    return nodes, matrix.flatten().to(device)
