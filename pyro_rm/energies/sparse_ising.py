"""Ising models on a given graph: couplings on a list of edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyro_rm.energies.pairwise import PairwiseFunction
from pyro_rm.energies.pairwise_trees import log_partition_of_forest
from pyro_rm.energies.spaced_energy import SpacedEnergy
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.site_walks import SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

_LARGEST_MATRIX = 4096  # sites
_SLOWER = 20  # times that an edge of the list costs an entry of a matrix product, about
# Before 2.7, torch differentiates embedding_bag by its weights only where it also
# differentiates by its input: pytorch/pytorch#136457.
_INPUT_MUST_DIFFERENTIATE = torch.__version__ < "2.7"


class SparseIsingEnergy(SpacedEnergy):
    r"""Ising model with trainable fields, and trainable couplings on given edges only.

    .. math::

        E(x) = -\sum_{(i, j) \in \text{edges}} J_{ij} x_i x_j - \sum_i h_i x_i

    The convention of :class:`~pyro_rm.energies.IsingEnergy`, whose matrix has a column
    for every site; here nothing is larger than the data or the list of edges.

    :param num_sites: Number of sites :math:`D`.
    :param edges: Pairs of different sites, each once in either order, ``(E, 2)``.
    :param states: Values of a site, ``(0, 1)`` or ``(-1, 1)``.
    :raises ValueError: If an edge is a loop, is repeated, or leaves the sites.

    Example:

        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> energy = SparseIsingEnergy(3, edges, states=(-1, 1))
        >>> energy.gap_table(torch.tensor([1.0, -1.0, 1.0])).shape
        torch.Size([3])

    .. note:: All :math:`D` gaps cost :math:`2E` multiplications a datum, as one energy
        does; memory is that of the data and of the edges. With more than a tenth of all pairs, a
        product with the matrix of all couplings is cheaper, and is what is done.
    """

    neighbor_edges: Tensor
    neighbor_sites: Tensor
    starts: Tensor
    edges: Tensor

    def __init__(
        self, num_sites: int, edges: Tensor, *, states: tuple[float, float] = (0, 1)
    ) -> None:
        super().__init__(StateSpace(num_sites, states=states))
        edges = checked_edges(edges, num_sites)
        ends = torch.cat([edges, edges.flip(1)])
        order = ends[:, 0].argsort(stable=True)
        degrees = torch.bincount(ends[:, 0], minlength=num_sites)
        self.register_buffer("edges", edges)
        self.register_buffer("neighbor_sites", ends[order, 1])
        self.register_buffer("neighbor_edges", order % max(len(edges), 1))
        self.register_buffer("starts", degrees.cumsum(0) - degrees)
        self.is_dense = len(edges) * _SLOWER >= num_sites**2
        self.weight = nn.Parameter(torch.zeros(len(edges)))
        self.fields = nn.Parameter(torch.zeros(num_sites))

    def local_fields(self, x: Tensor) -> Tensor:
        """Fields that each site feels; ``batch_shape + (D,)``."""
        if self.is_dense:
            return self.pairwise().local_fields(x)
        return self.felt(x, self.weight) + self.fields

    def felt(self, x: Tensor, weight: Tensor) -> Tensor:
        """What each site feels from the others by given couplings, ``batch_shape + (D,)``.

        :param x: States, ``batch_shape + (D,)``.
        :param weight: Couplings, one an edge, ``(E,)``.
        """
        by_site = x.reshape(-1, x.shape[-1]).mT.contiguous()
        return self.felt_by_site(by_site, weight).mT.reshape(x.shape)

    def felt_by_site(self, by_site: Tensor, weight: Tensor) -> Tensor:
        """The same of states a row of which is a site, ``(D, R)``."""
        if _INPUT_MUST_DIFFERENTIATE and torch.is_grad_enabled() and not by_site.requires_grad:
            by_site = by_site.detach().requires_grad_()
        return functional.embedding_bag(
            self.neighbor_sites,
            by_site,
            self.starts,
            mode="sum",
            per_sample_weights=weight[self.neighbor_edges],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        return -0.5 * (x * (self.local_fields(x) + self.fields)).sum(-1)

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps of all flips, ``batch_shape + (D,)``."""
        return linear_gaps(self.state_space, x, self.local_fields(x))

    def pairwise(self) -> PairwiseFunction:
        """The function with a matrix of all couplings, ``(D, D)``."""
        first, second = self.edges.unbind(1)
        size = self.state_space.num_sites
        upper = self.weight.new_zeros(size, size).index_put((first, second), self.weight)
        return PairwiseFunction(upper + upper.mT, self.fields, self.state_space)

    def site_walk(self, x: Tensor) -> SiteWalk:
        """A walk from given chains, on the matrix of couplings where that is not large."""
        if self.state_space.num_sites > _LARGEST_MATRIX:
            return SiteWalk(Target(self, self.state_space), x)
        return self.pairwise().site_walk(x)

    def log_partition(self, max_states: int) -> Tensor | None:
        """By elimination if the edges form a forest; else None."""
        if len(self.edges) >= self.state_space.num_sites or self.weight.is_meta:
            return None
        pairs = self.edges.sort(1).values.tolist()
        number = {(i, j): n for n, (i, j) in enumerate(pairs)}
        values = self.fields.new_tensor(self.state_space.states)
        products = values[:, None] * values
        return log_partition_of_forest(
            self.fields[:, None] * values,
            pairs,
            lambda i, j: self.weight[number[min(i, j), max(i, j)]] * products,
        )


def checked_edges(edges: Tensor, num_sites: int) -> Tensor:
    """Pairs of different sites, each once, ``(E, 2)``."""
    edges = torch.as_tensor(edges)
    if edges.numel() == 0:
        return torch.zeros(0, 2, dtype=torch.long)
    if edges.dim() != 2 or edges.shape[1] != 2 or edges.is_floating_point():
        raise ValueError(
            f"Expected edges as integers of shape (E, 2), but got {edges.dtype} of shape "
            f"{tuple(edges.shape)}."
        )
    edges = edges.long()
    if edges.min() < 0 or edges.max() >= num_sites:
        bad = edges[((edges < 0) | (edges >= num_sites)).any(1)][0].tolist()
        raise ValueError(f"Expected edges between sites 0 to {num_sites - 1}, but got {bad}.")
    loops = edges[edges[:, 0] == edges[:, 1]]
    if len(loops):
        raise ValueError(
            f"Expected edges between different sites, but got {loops[0].tolist()}; a coupling of "
            "a site with itself is a field."
        )
    ordered = edges.sort(1).values
    unique, counts = (ordered[:, 0] * num_sites + ordered[:, 1]).unique(return_counts=True)
    if len(unique) < len(edges):
        repeated = int(unique[counts > 1][0])
        pair = [repeated // num_sites, repeated % num_sites]
        raise ValueError(f"Expected each edge once, but got {pair} more than once.")
    return edges
