"""Potts models: pairwise interactions between categorical sites."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rm.energies.pairwise import PairwiseEnergy, PairwiseFunction
from pyro_rm.state_space import StateSpace


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

    def pairwise(self) -> PairwiseFunction:
        """The function of the parameters as they are now."""
        return PairwiseFunction(self.couplings, self.fields, self.state_space)
