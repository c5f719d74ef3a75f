"""Coordinates of pairwise models without redundancy: one of a binary site, K - 1 of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.state_space import StateSpace


def contrasts(space: StateSpace, like: Tensor) -> Tensor:
    r"""An orthonormal basis of what differs between categories (Helmert's), ``(K, m)``.

    Its first :math:`K_i - 1` columns are that of a site with :math:`K_i` categories. In this basis
    couplings in the zero-sum gauge keep their norm, and there is no other gauge.

    :param space: The state space; of a binary one the basis is a single 1.
    :param like: For type and device.
    :returns: The basis.

    Example:

        >>> contrasts(StateSpace(1, 3), torch.ones(1))
        tensor([[ 0.7071,  0.4082],
                [-0.7071,  0.4082],
                [ 0.0000, -0.8165]])
    """
    if space.is_binary:
        return like.new_ones(1, 1)
    size = space.max_categories
    steps = torch.arange(1, size, dtype=torch.float64)
    basis = torch.ones(size, size - 1, dtype=torch.float64).triu()
    basis[torch.arange(1, size), torch.arange(size - 1)] = -steps
    return (basis / (steps * (steps + 1)).sqrt()).to(like)


def existing(space: StateSpace, device: torch.device) -> Tensor:
    """Which coordinates a site has, ``(D, m)``."""
    if space.is_binary:
        return torch.ones(space.num_sites, 1, dtype=torch.bool, device=device)
    return space.category_mask(device)[:, 1:]


def orthogonal(first: Tensor, second: Tensor, rows: int, columns: int) -> Tensor:
    """What turns a matrix of couplings, flat, into numbers whose squares sum up to its norm's.

    :param first: Products of the first site's coordinates, ``(m, m)``, zero where there is none.
    :param second: The same of the second site.
    :param rows: How many coordinates the first site has.
    :param columns: The same of the second site.
    :returns: Shape ``(rows * columns, m * m)``.

    Example:

        >>> orthogonal(torch.diag(torch.tensor([4.0, 0.0])), torch.eye(2), 1, 2).abs()
        tensor([[2., 0., 0., 0.],
                [0., 2., 0., 0.]])
    """
    roots = []
    for products, count in ((first, rows), (second, columns)):
        values, vectors = torch.linalg.eigh(products.detach())
        roots.append((vectors * values.clamp(min=0).sqrt())[:, -count:].mT)
    return torch.kron(*roots)


def of_numbers(values: Any, owners: Any, num_edges: int) -> Any:
    """Values of the edges that have a single coordinate; NaN of the others.

    :param values: Of coordinates, ``(P,)``.
    :param owners: The edge of each coordinate, ``(P,)``.
    :param num_edges: The number of edges.
    :returns: An array, ``(E,)``.

    Example:

        >>> of_numbers(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 1]), 3)
        array([ 1., nan, nan])
    """
    result = np.full(num_edges, np.nan)
    alone = np.bincount(owners, minlength=num_edges)[owners] == 1
    result[owners[alone]] = values[alone]
    return result
