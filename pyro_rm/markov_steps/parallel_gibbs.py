"""Sites redrawn all at once, each as if the others stayed, and corrected."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_rm.checks import check_counts
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.gibbs import one_hot
from pyro_rm.markov_steps.metropolis import InformedStep
from pyro_rm.target import Target

_RATE = 0.3  # of the adaptation, on the logarithm of the share


@dataclass(frozen=True)
class ParallelGibbs(InformedStep):
    r"""Redraw a random share of the sites at once from their conditionals, Metropolis adjusted.

    Each site is redrawn with probability :math:`r`, from its conditional given the others as they
    are: binary ones flip with probability :math:`r \, \sigma(\delta_i)`, where the gap
    :math:`\delta_i` is exact if the energy has a gap table, and else of first order. This is the
    locally balanced proposal [1] of Barker's weights, for all sites at once; sites that do not
    interact are redrawn exactly, so that with weak interactions a proposal is nearly worth a
    sweep. In burn-in :math:`r` follows the acceptance, whose best value is 0.574 for such
    proposals [2].

    :param share: :math:`r`, above 0 and at most 1; where burn-in starts from.
    :param num_proposals: Proposals one after the other in a step.
    :param target_acceptance: What burn-in brings the mean acceptance to; None: the share stays.
    :raises ValueError: If an option is out of range.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> from pyro_rm.markov_steps import Chains
        >>> energy = MLPEnergy(num_sites=8, hidden_sizes=(16,))
        >>> chains = Chains(energy, torch.zeros(2, 8), ParallelGibbs()).run(1)
        >>> chains.acceptance.shape
        torch.Size([2])

    .. note:: A step costs ``num_proposals`` energies with their gap table or gradient.

    **References**

    [1] Giacomo Zanella (2020) "Informed proposals for local MCMC in discrete spaces",
        Journal of the American Statistical Association 115(530).

    [2] Haoran Sun, Hanjun Dai, Dale Schuurmans (2022) "Optimal scaling for locally balanced
        proposals in discrete spaces", NeurIPS.
    """

    share: float = 0.5
    _: KW_ONLY
    num_proposals: int = 5
    target_acceptance: float | None = 0.574

    def __post_init__(self) -> None:
        check_counts(num_proposals=self.num_proposals)
        if not 0 < self.share <= 1:
            raise ValueError(f"Expected share above 0 and at most 1, but got {self.share}.")
        if self.target_acceptance is not None and not 0 < self.target_acceptance < 1:
            raise ValueError(
                "Expected target_acceptance between 0 and 1, or None, but got "
                f"{self.target_acceptance}."
            )

    @property
    def is_adaptive(self) -> bool:
        """Whether burn-in changes the share."""
        return self.target_acceptance is not None

    def adapted(self, acceptance: Tensor) -> ParallelGibbs:
        """The same with a larger share where proposals are accepted too often, and conversely."""
        if self.target_acceptance is None:
            return self
        factor = math.exp(_RATE * (float(acceptance.mean()) - self.target_acceptance))
        return replace(self, share=min(1.0, self.share * factor))

    def table(self, target: Target, encoded: Tensor, gaps: Tensor) -> Tensor:
        """Log odds of each flip, or log probabilities of the categories of each site."""
        active = target.active
        if target.space.is_binary:
            return gaps if active is None else gaps.masked_fill(~active, -torch.inf)
        impossible = ~target.space.category_mask(encoded.device)
        if active is not None:
            impossible = impossible | ((encoded < 0.5) & ~active[..., None])
        return gaps.masked_fill(impossible, -torch.inf).log_softmax(-1)

    def propose(self, target: Target, encoded: Tensor, table: Tensor) -> Tensor:
        """Redraw some sites."""
        if target.space.is_binary:
            flips = randomness.flip_coins(self.share * table.sigmoid())
            return torch.where(flips, sum(target.space.states) - encoded, encoded)
        return one_hot(randomness.choose(self._log_chances(encoded, table)), encoded)

    def log_density(
        self, target: Target, encoded: Tensor, table: Tensor, proposed: Tensor
    ) -> Tensor:
        """The sum over sites."""
        if target.space.is_binary:
            flip = logsigmoid(table) + math.log(self.share)
            return torch.where(proposed != encoded, flip, torch.log1p(-flip.exp())).sum(-1)
        chances = self._log_chances(encoded, table)
        return torch.where(proposed > 0.5, chances, 0.0).sum((-2, -1))

    def _log_chances(self, encoded: Tensor, table: Tensor) -> Tensor:
        """Of the categories of each site, the current one more likely than when redrawn."""
        return ((1 - self.share) * encoded + self.share * table.exp()).log()
