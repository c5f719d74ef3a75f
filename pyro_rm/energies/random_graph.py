"""Exponential-family random graph models."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_rm.checks import check_counts
from pyro_rm.energies.node_pairs import adjacency_matrix, num_pairs, pair_ends
from pyro_rm.energies.sums import Summable
from pyro_rm.state_space import StateSpace

_STATISTICS = ("edges", "two_stars", "triangles", "degrees")


class RandomGraphEnergy(Summable, nn.Module):
    r"""An exponential-family random graph model (ERGM, p*), :math:`E(x) = -\theta^\top s(x)`.

    The statistics of an undirected graph with degrees :math:`d_v` [1, 2]:

    ``"edges"``
        the number of edges;
    ``"two_stars"``
        pairs of edges that share a node, :math:`\sum_v d_v (d_v - 1) / 2`;
    ``"triangles"``
        the number of triangles;
    ``"degrees"``
        geometrically weighted degrees,
        :math:`e^{\alpha} \sum_v \left(1 - (1 - e^{-\alpha})^{d_v}\right)`, of which each
        further edge of a node adds less.

    What a flip changes has closed forms (the *change statistics*), so that
    pseudolikelihood is logistic regression on them [3]. Coefficients start at zero.
    Graphs may be padded: nodes without edges change no statistic.

    :param max_nodes: Nodes of the graphs, at least 2.
    :param statistics: Some of the names above.
    :param decay: :math:`\alpha > 0` of the geometrically weighted degrees.
    :raises ValueError: If a name is unknown or repeated, or a number is out of range.

    Example:

        >>> energy = RandomGraphEnergy(3)
        >>> energy.statistics(torch.tensor([1.0, 1.0, 1.0]))[:3]
        tensor([3., 3., 1.])

    .. note:: All gaps cost one product of adjacency matrices, as one energy does.

    **References**

    [1] Stanley Wasserman, Philippa Pattison (1996) "Logit models and logistic regressions
        for social networks: I. An introduction to Markov graphs and p*", Psychometrika 61(3).
    [2] Tom Snijders, Philippa Pattison, Garry Robins, Mark Handcock (2006) "New
        specifications for exponential random graph models", Sociological Methodology 36.
    [3] David Strauss, Michael Ikeda (1990) "Pseudolikelihood estimation for social
        networks", Journal of the American Statistical Association 85(409).
    """

    def __init__(
        self,
        max_nodes: int,
        *,
        statistics: Sequence[str] = _STATISTICS,
        decay: float = 0.7,
    ) -> None:
        super().__init__()
        names = tuple(statistics)
        if not names or len(set(names)) < len(names) or not set(names) <= set(_STATISTICS):
            raise ValueError(
                f"Expected different statistics among {list(_STATISTICS)}, but got {list(names)}."
            )
        check_counts(2, max_nodes=max_nodes)
        if not 0 < decay < math.inf:
            raise ValueError(f"Expected a positive decay, but got {decay}.")
        self.state_space = StateSpace(num_pairs(max_nodes))
        self.names = names
        self.decay = decay
        self.coefficients = nn.Parameter(torch.zeros(len(names)))

    def resized(self, max_nodes: int) -> RandomGraphEnergy:
        """The same energy for another padding; parameters are shared."""
        check_counts(2, max_nodes=max_nodes)
        other = copy.copy(self)
        other.state_space = StateSpace(num_pairs(max_nodes))
        return other

    def forward(self, x: Tensor, num_nodes: Tensor | None = None) -> Tensor:
        """Energies, ``batch_shape``; the number of nodes is accepted, and changes nothing."""
        return -(self.statistics(x) @ self.coefficients)

    def gap_table(self, x: Tensor, num_nodes: Tensor | None = None) -> Tensor:
        """Gaps of all flips, ``batch_shape + (D,)``."""
        return (1 - 2 * x) * (self.change_statistics(x) @ self.coefficients)

    def statistics(self, x: Tensor) -> Tensor:
        """Statistics of graphs, ``batch_shape + (len(names),)``."""
        matrix = adjacency_matrix(x)
        degree = matrix.sum(-1)
        ratio, top = self._ratio(), math.exp(self.decay)
        values = {
            "edges": lambda: degree.sum(-1) / 2,
            "two_stars": lambda: (degree * (degree - 1)).sum(-1) / 2,
            "triangles": lambda: (matrix @ matrix * matrix).sum((-2, -1)) / 6,
            "degrees": lambda: (top * (1 - ratio**degree)).sum(-1),
        }
        return torch.stack([values[name]() for name in self.names], -1)

    def change_statistics(self, x: Tensor) -> Tensor:
        """What each pair's edge adds to the statistics, whether or not it is there.

        :param x: Graphs, ``batch_shape + (D,)``.
        :returns: Shape ``batch_shape + (D, len(names))``.
        """
        matrix = adjacency_matrix(x)
        degree = matrix.sum(-1)
        first, second = pair_ends(x.shape[-1], device=x.device)
        ends = degree[..., first] - x, degree[..., second] - x  # degrees without the pair
        ratio = self._ratio()
        values = {
            "edges": lambda: torch.ones_like(x),
            "two_stars": lambda: ends[0] + ends[1],
            "triangles": lambda: (matrix @ matrix)[..., first, second],
            "degrees": lambda: ratio ** ends[0] + ratio ** ends[1],
        }
        return torch.stack([values[name]() for name in self.names], -1)

    def _ratio(self) -> float:
        return -math.expm1(-self.decay)
