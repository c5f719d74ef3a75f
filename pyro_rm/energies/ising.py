"""Ising models: pairwise interactions between binary sites."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_rm.energies.pairwise_energy import PairwiseEnergy
from pyro_rm.energies.pairwise_walk import PairwiseWalk
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class IsingFunction:
    r"""The Ising energy of given tensors, :math:`E(x) = -\tfrac12 x^\top J x - h^\top x`.

    The function of :class:`IsingEnergy`, for parameters from elsewhere.

    :param couplings: Symmetric :math:`J` with zero diagonal, ``batch_shape + (D, D)``.
    :param fields: :math:`h`, ``batch_shape + (D,)``.
    :param state_space: A binary space.
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
        return torch.broadcast_shapes(self.couplings.shape[:-2], self.fields.shape[:-1])

    def local_fields(self, x: Tensor) -> Tensor:
        """Fields that each site feels, ``J x + h``; ``batch_shape + (D,)``."""
        if self.couplings.dim() == 2:
            return x @ self.couplings + self.fields
        if self.couplings.shape[-3] == 1 and x.dim() > 1:  # one matrix for the last batch dimension
            return x @ self.couplings.squeeze(-3) + self.fields
        return torch.einsum("...i,...ij->...j", x, self.couplings) + self.fields

    def __call__(self, x: Tensor) -> Tensor:
        """Energies of ``batch_shape + (D,)``: one matrix product."""
        return -0.5 * (x * (self.local_fields(x) + self.fields)).sum(-1)

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps of all flips, ``batch_shape + (D,)``: one matrix product."""
        return (sum(self.state_space.states) - 2 * x) * self.local_fields(x)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``: one matrix product."""
        return self(left)[:, None] + self(right) - left @ self.couplings @ right.mT

    def site_walk(self, x: Tensor) -> PairwiseWalk:
        """A walk from given chains, ``batch_shape + (D,)``."""
        return PairwiseWalk(self, self.state_space, x, self.couplings, self.fields)


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

    def _function(self) -> IsingFunction:
        return IsingFunction(self.couplings, self.fields, self.state_space)
