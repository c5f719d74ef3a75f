"""Walks on energies with pairwise interactions: a site looks at its own field only."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.energy_protocol import Energy
from pyro_rm.site_walks import Block, SiteWalk
from pyro_rm.state_space import StateSpace


class PairwiseWalk(SiteWalk):
    r"""A walk on :math:`E(x) = -\tfrac12 x^\top J x - h^\top x`.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param couplings: Symmetric, ``batch_shape + (D, D)``, or ``... + (D, K, D, K)``
        for one-hot data.
    :param fields: ``batch_shape + encoded_shape``.

    .. note:: A block of ``m`` sites costs ``m / D`` of a matrix product.
    """

    def __init__(
        self, energy: Energy, space: StateSpace, encoded: Tensor, couplings: Tensor, fields: Tensor
    ) -> None:
        super().__init__(energy, space, encoded)
        self.couplings, self.fields = couplings, fields

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites."""
        now = self.at(self.encoded, block)
        fields = self.at(self.fields, block)
        if self.space.is_binary:
            rows = self.couplings[..., block, :]
            if rows.dim() == 2:  # one matrix for all chains
                local = self.encoded @ rows.mT
            else:
                local = (self.encoded[..., None, :] @ rows.mT)[..., 0, :]
            return torch.rsub(now, sum(self.space.states), alpha=2) * (local + fields)
        rows = self.couplings[..., block, :, :, :].flatten(-2).flatten(-3, -2)  # (..., m K, D K)
        flat = self.encoded.flatten(-2)
        local = flat @ rows.mT if rows.dim() == 2 else (flat[..., None, :] @ rows.mT)[..., 0, :]
        local = local.unflatten(-1, now.shape[-2:]) + fields
        return local - (local * now).sum(-1, keepdim=True)
