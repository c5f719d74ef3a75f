"""The energy of a marginal: sites summed out, in each row others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.energy_protocol import Context, Energy
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def most_missing(missing: Tensor, limit: int) -> int:
    """The largest number of missing cells of a row.

    :param missing: Booleans, ``batch_shape + (D,)``.
    :param limit: How many are allowed.
    :raises ValueError: If a row has more.
    """
    count = int(missing.sum(-1).max())
    if count > limit:
        raise ValueError(
            f"Expected at most {limit} missing cells in a row, but got {count}: summing them out "
            "doubles the cost with each. Use GibbsFill() and SVI, or raise max_missing."
        )
    return count


@dataclass(frozen=True, eq=False)
class MarginalEnergy:
    r""":math:`-\log \sum_{x_m} e^{-E(x_o, x_m)}`, up to a constant of each row.

    :param energy: The energy of all sites.
    :param state_space: Its state space.
    :param missing: Which sites are summed out, ``batch_shape + (D,)``.
    :param num_missing: At least as many as any row has.

    Example:

        >>> missing = torch.tensor([False, True])
        >>> marginal = MarginalEnergy(lambda x: x.sum(-1), StateSpace(2), missing, 1)
        >>> marginal(torch.tensor([1.0, 0.0]))
        tensor(0.6867)

    .. note:: Costs ``K ** num_missing`` energies, or gap tables where the energy has them.
    """

    energy: Energy
    state_space: StateSpace
    missing: Tensor
    num_missing: int

    @property
    def has_gap_table(self) -> bool:
        """Whether the energy has one."""
        return Target(self.energy, self.state_space).has_gap_table

    def __call__(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies of the observed sites, ``batch_shape``; missing ones may be anything."""
        target, states, log_exists = self._completions(x, context)
        return -(log_exists - target(states)).logsumexp(0)

    def gap_table(self, x: Tensor, *context: Tensor) -> Tensor:
        """Gaps of the marginal, in the shape of ``x``."""
        target, states, log_exists = self._completions(x, context)
        log_weights = log_exists - target(states)
        log_shares = log_weights - log_weights.logsumexp(0)
        shares = log_shares.view(*log_shares.shape, *(1,) * self._rank)
        return (shares + target.gap_table(states)).logsumexp(0)

    @property
    def _rank(self) -> int:
        return len(self.state_space.encoded_shape)

    def _completions(self, x: Tensor, context: Context) -> tuple[Target, Tensor, Tensor]:
        """All completions in front, encoded, and 0, or -inf where a category does not exist.

        Rows with fewer missing cells meet each of theirs equally often: a constant.
        """
        space, size = self.state_space, self.state_space.max_categories
        batch_shape = x.shape[: x.dim() - self._rank]
        missing = self.missing.expand(*batch_shape, space.num_sites)
        slots = (missing.cumsum(-1) - 1).clamp(min=0)
        digits = torch.arange(size**self.num_missing, device=x.device)[:, None]
        digits = digits // size ** torch.arange(self.num_missing, device=x.device) % size
        codes = digits[:, slots]  # (completions,) + batch_shape + (D,)
        sizes = torch.tensor(space.categories, device=x.device)
        absent = ((codes >= sizes) & missing).any(-1)
        codes = codes.minimum(sizes - 1)  # energies never see a category that does not exist
        low, high = space.states
        values = low + (high - low) * codes.to(x.dtype) if space.is_binary else codes
        filled = space.encode(values, x.dtype)
        there = missing if space.is_binary else missing[..., None]
        log_exists = torch.zeros_like(absent, dtype=x.dtype).masked_fill(absent, -torch.inf)
        wide = tuple(c.expand(len(codes), *c.shape) for c in context)
        return Target(self.energy, space, wide), torch.where(there, filled, x), log_exists
