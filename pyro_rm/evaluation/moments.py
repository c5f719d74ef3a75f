"""How far the first and second moments of two samples are apart."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.evaluation.hamming_mmd import one_hot_pair


def first_moment_distance(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square difference of the frequencies of each value at each site.

    :param x: Data, ``(N, D)``, in any coding.
    :param y: Data in the same coding, ``(M, D)``.
    :returns: A scalar; for binary data, of the sites' means.

    Example:

        >>> first_moment_distance(torch.zeros(2, 3), torch.ones(5, 3))
        tensor(1.)
    """
    hot_x, hot_y = one_hot_pair(x, y)
    return (hot_x.mean(0) - hot_y.mean(0)).square().mean().sqrt()


def second_moment_distance(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square difference of the frequencies of each pair of values at two sites.

    :param x: Data, ``(N, D)``, in any coding, ``D`` at least 2.
    :param y: Data in the same coding, ``(M, D)``.
    :returns: A scalar; for binary data, over the four cells of each pair of sites.
    :raises ValueError: If there is one site only.

    Example:

        >>> alike, opposite = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.eye(2)
        >>> second_moment_distance(alike, opposite)
        tensor(0.5000)

    .. note:: Costs a matrix product of each sample with itself.
    """
    hot_x, hot_y = one_hot_pair(x, y)
    if x.shape[1] < 2:
        raise ValueError(f"Expected two sites or more, but got {x.shape[1]}.")
    difference = hot_x.mT @ hot_x / len(x) - hot_y.mT @ hot_y / len(y)
    num_sites = x.shape[1]
    pairs = difference.view(num_sites, -1, num_sites, hot_x.shape[1] // num_sites)
    first, second = torch.triu_indices(num_sites, num_sites, 1)
    return pairs[first, :, second, :].square().mean().sqrt()
