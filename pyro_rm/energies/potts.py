"""Potts models: pairwise interactions between categorical sites."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_rm.energies.pairwise_energy import PairwiseEnergy
from pyro_rm.energies.pairwise_walk import PairwiseWalk
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class PottsFunction:
    r"""The Potts energy of given tensors, on one-hot data, as in :class:`PottsEnergy`.

    :param couplings: Symmetric, zero within a site, ``batch_shape + (D, K, D, K)``.
    :param fields: ``batch_shape + (D, K)``.
    :param state_space: A categorical space.

    Example:

        >>> space = StateSpace(2, num_categories=3)
        >>> energy = PottsFunction(torch.zeros(2, 3, 2, 3), torch.ones(2, 3), space)
        >>> energy(space.encode(torch.tensor([0, 2]), torch.float32))
        tensor(-2.)
    """

    couplings: Tensor
    fields: Tensor
    state_space: StateSpace

    @property
    def dtype(self) -> torch.dtype:
        """The type of the couplings."""
        return self.couplings.dtype

    @property
    def device(self) -> torch.device:
        """Where the couplings are."""
        return self.couplings.device

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the parameters."""
        return torch.broadcast_shapes(self.couplings.shape[:-4], self.fields.shape[:-2])

    def local_fields(self, x: Tensor) -> Tensor:
        """Fields that each category of each site feels, ``batch_shape + (D, K)``."""
        matrix, flat = self.couplings.flatten(-2).flatten(-3, -2), x.flatten(-2)
        if matrix.dim() == 2:
            local = flat @ matrix
        elif matrix.shape[-3] == 1 and flat.dim() > 1:  # one matrix for the last batch dimension
            local = flat @ matrix.squeeze(-3)
        else:
            local = torch.einsum("...i,...ij->...j", flat, matrix)
        return local.unflatten(-1, x.shape[-2:]) + self.fields

    def __call__(self, x: Tensor) -> Tensor:
        """Energies of one-hot data, ``batch_shape``: one matrix product."""
        return -0.5 * (x * (self.local_fields(x) + self.fields)).sum((-2, -1))

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps to all categories of all sites, ``batch_shape + (D, K)``: one product."""
        local = self.local_fields(x)
        return local - (local * x).sum(-1, keepdim=True)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``: one matrix product."""
        pairs = (self.local_fields(left) - self.fields).flatten(-2) @ right.flatten(-2).mT
        return self(left)[:, None] + self(right) - pairs

    def site_walk(self, x: Tensor) -> PairwiseWalk:
        """A walk from given chains, ``batch_shape + (D, K)``."""
        return PairwiseWalk(self, self.state_space, x, self.couplings, self.fields)


class PottsEnergy(PairwiseEnergy):
    r"""Potts model with trainable couplings and fields.

    .. math::

        E(x) = -\sum_{i<j} J_{ij}(x_i, x_j) - \sum_i h_i(x_i)

    Parameters start at zero and are redundant (a gauge can be fixed afterwards);
    categories that a site does not have take no part.

    :param num_sites: Number of sites :math:`D`.
    :param num_categories: Categories a site: one number, or one for each site.
    :raises ValueError: If all sites are binary.

    Example:

        >>> energy = PottsEnergy(num_sites=4, num_categories=3)
        >>> x = energy.state_space.encode(torch.tensor([0, 2, 1, 1]), torch.float32)
        >>> energy(x).shape
        torch.Size([])

    .. note:: All :math:`D (K - 1)` gaps cost one matrix product, as one energy does.

    **References**

    [1] Renfrey Potts (1952) "Some generalized order-disorder transformations",
        Mathematical Proceedings of the Cambridge Philosophical Society 48(1).
    """

    def __init__(self, num_sites: int, num_categories: int | tuple[int, ...]) -> None:
        super().__init__()
        self.state_space = StateSpace(num_sites, num_categories)
        if self.state_space.is_binary:
            raise ValueError("Expected more than two categories at some site; use IsingEnergy.")
        size = num_sites * self.state_space.max_categories
        self.weight = nn.Parameter(torch.zeros(size, size))
        self.fields = nn.Parameter(torch.zeros(num_sites, self.state_space.max_categories))

    @property
    def couplings(self) -> Tensor:
        """The symmetric couplings, ``(D, K, D, K)``, zero within a site."""
        k = self.state_space.max_categories
        pairs = torch.ones(self.fields.shape[0], self.fields.shape[0], device=self.weight.device)
        allowed = pairs.triu(1).repeat_interleave(k, 0).repeat_interleave(k, 1)
        upper = self.weight * allowed.to(self.weight.dtype)
        return (upper + upper.mT).view(*self.fields.shape, *self.fields.shape)

    def _function(self) -> PottsFunction:
        return PottsFunction(self.couplings, self.fields, self.state_space)
