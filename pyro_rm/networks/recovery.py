"""Ising models with known couplings: simulated data, and how well couplings were recovered."""

from __future__ import annotations

from math import inf, log
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graph
from pyro_rm.energies import PairwiseFunction
from pyro_rm.markov_steps import ColoredGibbs, MarkovSampler
from pyro_rm.state_space import StateSpace


def simulate_ising(
    graph: nx.Graph, num_samples: int, *, num_steps: int = 500, progress: bool = False
) -> Tensor:
    """Spins on a graph with couplings: independent chains from random starts.

    :param graph: With the edge attribute ``weight``, the couplings of a sum over pairs; see
        :func:`pyro_rm.datasets.lattice`.
    :param num_samples: Chains, each of which gives a row.
    :param num_steps: Gibbs sweeps of each chain. Rows are as well mixed as these make them.
    :param progress: Whether to show one.
    :returns: -1 and 1, in the order of the nodes, ``(num_samples, D)``, in double precision.
    :raises TypeError: If it is not an undirected graph.
    :raises ValueError: If it has self-loops.

    Example:

        >>> from pyro_rm.datasets import lattice
        >>> simulate_ising(lattice(3, 3, coupling=0.2), 5, num_steps=2).shape
        torch.Size([5, 9])
    """
    check_counts(0, num_samples=num_samples)
    check_graph(graph)
    couplings = torch.tensor(nx.to_numpy_array(graph), dtype=torch.float64)
    size = len(couplings)
    space = StateSpace(size, states=(-1, 1))
    energy = PairwiseFunction(couplings, couplings.new_zeros(size), space)
    sampler = MarkovSampler(num_steps, ColoredGibbs.from_graph(graph), progress=progress)
    return sampler(energy, space, torch.Size([num_samples]))


def negative_log_error(found: Any, true: Any) -> float:
    r"""Minus the log of the root mean square error of couplings, higher is better.

    In the convention of the literature [1], over all :math:`D^2` entries of :math:`J'` in
    :math:`\log p = x^\top J' x`, which is half of the couplings of a sum over pairs.

    :param found: Couplings of a sum over pairs, ``(D, D)``.
    :param true: The same.
    :returns: Larger is better; infinite without error.
    :raises ValueError: If they are not finite matrices of one shape.

    Example:

        >>> round(negative_log_error(np.zeros((2, 2)), 2 * np.ones((2, 2))), 3)
        -0.0

    **References**

    [1] Dinghuai Zhang et al. (2022) "Generative flow networks for discrete probabilistic
        modeling", ICML.
    """
    here, there = _matrices(found, true)
    error = float(np.mean((here - there) ** 2)) / 4
    return inf if error == 0 else -log(error) / 2


def support_f1(found: Any, true: Any) -> float:
    """Harmonic mean of precision and recall of the pairs whose coupling is not zero.

    :param found: Couplings, ``(D, D)``.
    :param true: The same.
    :returns: A number in [0, 1].
    :raises ValueError: If they are not finite matrices of one shape.

    Example:

        >>> support_f1(np.array([[0, 1], [1, 0]]), np.array([[0, 3], [3, 0]]))
        1.0
    """
    here, there = (matrix != 0 for matrix in _matrices(found, true))
    return float(2 * (here & there).sum() / max(1, here.sum() + there.sum()))


def _matrices(*couplings: Any) -> list[np.ndarray]:
    """Couplings as arrays of one shape."""
    arrays = [np.asarray(matrix) for matrix in couplings]
    if any(array.dtype.kind not in "biuf" for array in arrays):
        kinds = [str(array.dtype) for array in arrays]
        raise ValueError(f"Expected couplings as real numbers, but got {kinds}.")
    shapes = [array.shape for array in arrays]
    if arrays[0].ndim != 2 or len({*shapes}) > 1 or not all(np.isfinite(a).all() for a in arrays):
        raise ValueError(f"Expected finite matrices of one shape, (D, D), but got {shapes}.")
    return arrays
