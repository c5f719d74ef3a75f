"""Ising models: pairwise interactions between binary sites."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rm.energies.pairwise import PairwiseEnergy, PairwiseFunction
from pyro_rm.state_space import StateSpace


class IsingEnergy(PairwiseEnergy):
    r"""Ising model with trainable couplings and fields.

    .. math::

        E(x) = -\sum_{i<j} J_{ij} x_i x_j - \sum_i h_i x_i

    The literature's :math:`\log p = x^\top J' x` over all pairs has :math:`J = 2 J'`.
    Parameters start at zero; only the upper triangle of ``weight`` is used.

    :param num_sites: Number of sites :math:`D`.
    :param states: Values of a site, ``(0, 1)`` or ``(-1, 1)``.

    Example:

        >>> energy = IsingEnergy(num_sites=3, states=(-1, 1))
        >>> energy(torch.tensor([[1.0, -1.0, 1.0]])).shape
        torch.Size([1])

    .. note:: All :math:`D` gaps cost one matrix product, as one energy does.

    **References**

    [1] Ernst Ising (1925) "Beitrag zur Theorie des Ferromagnetismus",
        Zeitschrift für Physik 31.
    """

    def __init__(self, num_sites: int, *, states: tuple[float, float] = (0, 1)) -> None:
        super().__init__()
        self.state_space = StateSpace(num_sites, states=states)
        self.weight = nn.Parameter(torch.zeros(num_sites, num_sites))
        self.fields = nn.Parameter(torch.zeros(num_sites))

    @property
    def couplings(self) -> Tensor:
        """The symmetric couplings with zero diagonal, ``(D, D)``."""
        upper = self.weight.triu(1)
        return upper + upper.mT

    def pairwise(self) -> PairwiseFunction:
        """The function of the parameters as they are now."""
        return PairwiseFunction(self.couplings, self.fields, self.state_space)
