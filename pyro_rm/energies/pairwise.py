"""Pairwise interactions between sites: Ising and Potts models are one function."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pyro_rm.energies.pairwise_trees import log_partition_of_forest
from pyro_rm.energies.spaced_energy import SpacedEnergy
from pyro_rm.energies.sums import Summable
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.site_walks import Block, SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


@dataclass(frozen=True, eq=False)
class PairwiseFunction(Summable):
    r"""The energy :math:`-\tfrac12 x^\top J x - h^\top x` of given tensors, on encoded data.

    Of an Ising model, :math:`\sum_{i<j} J_{ij} x_i x_j + \sum_i h_i x_i` with the sign changed;
    of a Potts model, :math:`\sum_{i<j} J_{ij}(x_i, x_j) + \sum_i h_i(x_i)`, with
    :math:`J_{ij}(k, l)` at ``couplings[i, k, j, l]``.

    :param couplings: Symmetric and zero within a site: ``batch_shape + (D, D)`` if binary, else
        ``batch_shape + (D, K, D, K)``.
    :param fields: ``batch_shape + encoded_shape``.
    :param state_space: The space.
    :param constant: What is added to the energy.

    Example:

        >>> energy = PairwiseFunction(torch.zeros(2, 2), torch.ones(2), StateSpace(2))
        >>> energy(torch.tensor([0.0, 1.0]))
        tensor(-1.)
        >>> energy.log_partition(max_states=1)  # a forest: 2 log(1 + e), without a sum
        tensor(2.6265)

    .. note:: One energy and all gaps cost one matrix product each.
    """

    couplings: Tensor
    fields: Tensor
    state_space: StateSpace
    constant: Tensor | float = 0.0

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
        rank = self._rank
        leading = self.couplings.shape[: self.couplings.dim() - 2 * rank]
        return torch.broadcast_shapes(leading, self.fields.shape[: self.fields.dim() - rank])

    @property
    def _rank(self) -> int:
        return len(self.state_space.encoded_shape)

    def local_fields(self, x: Tensor) -> Tensor:
        """Fields that each site, or each category of each site, feels, like ``x``."""
        return self._coupled(x) + self.fields

    def _coupled(self, x: Tensor) -> Tensor:
        """What the other sites add to the fields."""
        matrix, flat = self.couplings, x
        if not self.state_space.is_binary:
            matrix, flat = matrix.flatten(-2).flatten(-3, -2), x.flatten(-2)
        if matrix.dim() == 2:
            local = flat @ matrix
        elif matrix.shape[-3] == 1 and flat.dim() > 1:  # one matrix for the last batch dimension
            local = flat @ matrix.squeeze(-3)
        else:
            local = torch.einsum("...i,...ij->...j", flat, matrix)
        if not self.state_space.is_binary:
            local = local.unflatten(-1, x.shape[-2:])
        return local

    def __call__(self, x: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``: one matrix product."""
        sites = (-1,) if self.state_space.is_binary else (-2, -1)
        energies = -0.5 * (x * (self.local_fields(x) + self.fields)).sum(sites)
        return energies + self.constant if self._is_shifted else energies

    @property
    def _is_shifted(self) -> bool:
        return isinstance(self.constant, Tensor) or self.constant != 0

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps to all flips or categories, like ``x``: one matrix product."""
        return linear_gaps(self.state_space, x, self.local_fields(x))

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``: one matrix product."""
        pairs = self._coupled(left).flatten(1) @ right.flatten(1).mT
        return self(left)[:, None] + (self(right) - self.constant) - pairs

    def site_walk(self, x: Tensor) -> PairwiseWalk:
        """A walk from given encoded chains."""
        return PairwiseWalk(self, x)

    def pairwise(self) -> PairwiseFunction:
        """This function."""
        return self

    def log_partition(self, max_states: int) -> Tensor | None:
        """By elimination if the couplings form a forest, at :math:`K^2` a site; else None."""
        couplings, fields, space = self.couplings, self.fields, self.state_space
        if self.batch_shape or couplings.is_meta:
            return None
        strength = couplings.detach().abs()
        strength = strength if space.is_binary else strength.amax((1, 3))
        edges = (strength.triu(1) != 0).nonzero()
        if len(edges) >= space.num_sites:
            return None
        if space.is_binary:
            values = fields.new_tensor(space.states)
            logits, products = fields[:, None] * values, values[:, None] * values
        else:
            logits = fields.masked_fill(~space.category_mask(fields.device), -torch.inf)

        def pair(i: int, j: int) -> Tensor:
            return couplings[i, j] * products if space.is_binary else couplings[i, :, j, :]

        result = log_partition_of_forest(logits, edges.tolist(), pair)
        return result if result is None else result - self.constant


class FieldWalk(SiteWalk):
    """A walk whose gaps are those of couplings, times a weight, and of fields."""

    fields: Tensor
    weight: float | Tensor | None = None

    def adding(self, weight: float | Tensor, fields: Tensor | None) -> SiteWalk:
        """The walk at another temperature and in further fields."""
        self.weight = weight if self.weight is None else weight * self.weight
        self.fields = weight * self.fields
        if fields is not None:
            self.fields = self.fields + fields
        return self


class PairwiseWalk(FieldWalk):
    """A walk on which a site looks at its own field only.

    :param function: The energy.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.

    .. note:: A block of ``m`` sites costs ``m / D`` of a matrix product; of categorical sites,
        whose chains are zero but for one category a site, ``1 / K`` of that, as a sum of rows.
    """

    def __init__(self, function: PairwiseFunction, encoded: Tensor) -> None:
        super().__init__(Target(function, function.state_space), encoded)
        self.couplings, self.fields = function.couplings, function.fields
        self.rows: Tensor | None = None  # of the couplings that each chain adds up, (..., D)
        if not self.space.is_binary and self.couplings.dim() == 4:
            self.rows = self._rows_of(slice(None), self.encoded)

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites."""
        now = self.at(self.encoded, block)
        local = self._coupled(block)
        if not self.space.is_binary:
            local = local.unflatten(-1, now.shape[-2:])
        if self.weight is not None:
            local = self.weight * local
        return linear_gaps(self.space, now, local + self.at(self.fields, block))

    def move(self, block: Block, values: Tensor) -> None:
        """Give some sites new encoded values."""
        super().move(block, values)
        if self.rows is not None:
            self.rows[..., block] = self._rows_of(block, values)

    def _coupled(self, block: Block) -> Tensor:
        """What the other sites add to the fields of some, ``batch_shape + (m or m K,)``."""
        flat, matrix = self.encoded, self.couplings
        if self.rows is not None:
            table = matrix[:, :, block].flatten(2).flatten(0, 1)  # (D K, m K)
            felt = functional.embedding_bag(self.rows.flatten(0, -2), table, mode="sum")
            return felt.view(*self.rows.shape[:-1], -1)
        if self.space.is_binary:
            matrix = matrix[..., block, :]
        else:
            flat = flat.flatten(-2)
            matrix = matrix[..., block, :, :, :].flatten(-2).flatten(-3, -2)  # (..., m K, D K)
        # one matrix for all chains, or one for each
        return (
            flat @ matrix.mT if matrix.dim() == 2 else (flat[..., None, :] @ matrix.mT)[..., 0, :]
        )

    def _rows_of(self, block: Block, values: Tensor) -> Tensor:
        """Numbers of the rows of the couplings that given values of some sites stand for."""
        sites = torch.arange(self.space.num_sites, device=values.device)[block]
        return values.argmax(-1) + self.space.max_categories * sites


class PairwiseEnergy(SpacedEnergy):
    """A trainable energy whose parameters make a :class:`PairwiseFunction`; a subclass's."""

    def pairwise(self) -> PairwiseFunction:
        """The function of the parameters as they are now."""
        raise NotImplementedError(f"Expected {type(self).__name__} to define pairwise().")

    def forward(self, x: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``."""
        return self.pairwise()(x)

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps to all flips or categories, like ``x``."""
        return self.pairwise().gap_table(x)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``."""
        return self.pairwise().outer_energies(left, right)

    def site_walk(self, x: Tensor) -> SiteWalk:
        """A walk from given encoded chains."""
        return self.pairwise().site_walk(x)

    def log_partition(self, max_states: int) -> Tensor | None:
        """By elimination if the couplings form a forest; else None."""
        return self.pairwise().log_partition(max_states)
