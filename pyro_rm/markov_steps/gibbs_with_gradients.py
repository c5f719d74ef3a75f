"""Gibbs with gradients: single changes where the gaps say that they pay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.metropolis import InformedStep
from pyro_rm.neighborhoods import Neighbors, candidates, neighbor_states
from pyro_rm.target import Target


@dataclass(frozen=True)
class GibbsWithGradients(InformedStep):
    r"""Gibbs with gradients [1]: propose one change with probability :math:`\propto e^{\delta/2}`.

    The gap :math:`\delta` to every neighbor is the exact one where the energy has a gap
    table (the locally informed proposal of [2]), else of first order, from one gradient in
    :math:`x`. Both are corrected by Metropolis-Hastings, so that the model is invariant.

    :param num_proposals: Changes proposed one after the other in a step.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> from pyro_rm.markov_steps import Chains
        >>> energy = MLPEnergy(num_sites=8, hidden_sizes=(16,))
        >>> chains = Chains(energy, torch.zeros(2, 8), GibbsWithGradients()).run(1)
        >>> (chains.encoded != 0).sum(-1).max() <= 1
        tensor(True)

    .. note:: A step costs ``num_proposals`` energies with their gap table or gradient. Where all
        proposals are accepted (a flat energy) the number of changes has a fixed parity: the
        model is invariant, but a chain does not forget its start.

    **References**

    [1] Will Grathwohl, Kevin Swersky, Milad Hashemi, David Duvenaud, Chris Maddison (2021)
        "Oops I took a gradient: scalable sampling for discrete distributions", ICML.

    [2] Giacomo Zanella (2020) "Informed proposals for local MCMC in discrete spaces",
        Journal of the American Statistical Association 115(530).
    """

    num_proposals: int = 1

    def __post_init__(self) -> None:
        check_counts(num_proposals=self.num_proposals)

    def table(self, target: Target, encoded: Tensor, gaps: Tensor) -> Tensor:
        """Log probabilities of all changes; uniform where no site is active."""
        rank = len(target.batch_shape_of(encoded))
        logits = (gaps / 2).flatten(rank)
        possible = candidates(target.space, encoded, target.active)
        if possible is not None:
            possible = possible.flatten(rank)
            logits = logits.masked_fill(~possible, -torch.inf)
            logits = logits.masked_fill(~possible.any(-1, keepdim=True), 0.0)
        return logits.log_softmax(-1).view(encoded.shape)

    def propose(self, target: Target, encoded: Tensor, table: Tensor) -> Tensor:
        """Change one site."""
        space, active = target.space, target.active
        index = randomness.choose(table.flatten(len(target.batch_shape_of(table))))[None]
        if space.is_binary:
            neighbors = Neighbors(index)
        else:
            k = space.max_categories
            neighbors = Neighbors(index // k, index % k)
        proposed = neighbor_states(space, encoded, neighbors)[0]
        if active is None:
            return proposed
        return torch.where(active if space.is_binary else active[..., None], proposed, encoded)

    def log_density(
        self, target: Target, encoded: Tensor, table: Tensor, proposed: Tensor
    ) -> Tensor:
        """The entry of the one change; 0 where nothing could change."""
        space = target.space
        entered = proposed != encoded if space.is_binary else proposed > encoded
        sites = tuple(range(-len(space.encoded_shape), 0))
        return torch.where(entered, table, 0.0).sum(sites)
