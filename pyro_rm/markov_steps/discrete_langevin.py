"""The discrete Langevin step: all sites at once, corrected by Metropolis-Hastings."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_rm.checks import check_counts
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.gibbs import one_hot
from pyro_rm.markov_steps.metropolis import InformedStep
from pyro_rm.target import Target


@dataclass(frozen=True)
class DiscreteLangevin(InformedStep):
    r"""Discrete Langevin proposals [1], Metropolis adjusted: all sites may change at once.

    Site by site, :math:`q(x_i' \mid x) \propto \exp(\delta_i / 2 - |x_i' - x_i|^2 / 2 \alpha)`
    with the gap :math:`\delta_i` to the change of that site alone (exact where the energy has
    a gap table, else of first order) and one-hot vectors for categories.

    :param step_size: :math:`\alpha`; larger ones propose more changes and are accepted less.
        Acceptance of about a half is a good aim.
    :param num_proposals: Proposals one after the other in a step.
    :raises ValueError: If an option is not positive.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> from pyro_rm.markov_steps import Chains
        >>> energy = MLPEnergy(num_sites=8, hidden_sizes=(16,))
        >>> chains = Chains(energy, torch.zeros(2, 8), DiscreteLangevin()).run(1)
        >>> chains.acceptance.shape
        torch.Size([2])

    .. note:: A step costs ``num_proposals`` energies with their gap table or gradient.

    **References**

    [1] Ruqi Zhang, Xingchao Liu, Qiang Liu (2022) "A Langevin-like sampler for discrete
        distributions", ICML.
    """

    step_size: float = 0.2
    _: KW_ONLY
    num_proposals: int = 1

    def __post_init__(self) -> None:
        check_counts(num_proposals=self.num_proposals)
        if not self.step_size > 0:
            raise ValueError(f"Expected step_size above 0, but got {self.step_size}.")

    def table(self, target: Target, encoded: Tensor, gaps: Tensor) -> Tensor:
        """Log odds of each flip, or log probabilities of the categories of each site."""
        space, active = target.space, target.active
        if space.is_binary:
            low, high = space.states
            logits = gaps / 2 - (high - low) ** 2 / (2 * self.step_size)
            return logits if active is None else logits.masked_fill(~active, -torch.inf)
        other = encoded < 0.5
        logits = gaps / 2 - other.to(gaps.dtype) / self.step_size
        impossible = ~space.category_mask(encoded.device)
        if active is not None:
            impossible = impossible | (other & ~active[..., None])
        return logits.masked_fill(impossible, -torch.inf).log_softmax(-1)

    def propose(self, target: Target, encoded: Tensor, table: Tensor) -> Tensor:
        """Draw every site."""
        space = target.space
        if space.is_binary:
            flips = randomness.flip_coins(table.sigmoid())
            return torch.where(flips, sum(space.states) - encoded, encoded)
        return one_hot(randomness.choose(table), encoded)

    def log_density(
        self, target: Target, encoded: Tensor, table: Tensor, proposed: Tensor
    ) -> Tensor:
        """The sum over sites."""
        space = target.space
        if space.is_binary:
            return logsigmoid(torch.where(proposed != encoded, table, -table)).sum(-1)
        return torch.where(proposed > 0.5, table, 0.0).sum((-2, -1))
