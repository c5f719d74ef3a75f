"""Metropolis-Hastings steps whose proposals look at all gaps of the current state."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from pyro_rm.energy_gaps import gap_table, has_gap_table
from pyro_rm.energy_protocol import Context, Energy, evaluate_energy, is_validating
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import Transition, check_chains
from pyro_rm.state_space import StateSpace
from pyro_rm.taylor_gaps import energy_and_taylor_gaps


class LocalProposal(Protocol):
    """Where to go from a state, judged by its gaps; all tables follow ``encoded``'s shape."""

    def table(
        self, space: StateSpace, encoded: Tensor, gaps: Tensor, active: Tensor | None
    ) -> Tensor:
        """What the proposal rests on, from the gaps to all flips or categories."""
        ...

    def propose(
        self, space: StateSpace, encoded: Tensor, table: Tensor, active: Tensor | None
    ) -> Tensor:
        """Draw new states, by :mod:`~pyro_rm.markov_steps.randomness` alone."""
        ...

    def log_density(
        self, space: StateSpace, encoded: Tensor, table: Tensor, proposed: Tensor
    ) -> Tensor:
        """Log probability of proposing given states, ``batch_shape``."""
        ...


@torch.no_grad()
def metropolis(
    proposal: LocalProposal,
    num_proposals: int,
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    context: Context = (),
    active: Tensor | None = None,
) -> Transition:
    """Propose, and accept by the Metropolis-Hastings ratio, several times.

    :param proposal: Where to go.
    :param num_proposals: How many times.
    :returns: New chains, and the mean acceptance probability.
    :raises EnergyError: If the gradient is needed and does not reach ``x``.

    .. note:: Costs ``num_proposals + 1`` energies with their gap table or their gradient.
    """
    if is_validating():
        check_chains(energy, space, encoded, active)
    value, gaps = energy_and_gaps(energy, space, encoded, context)
    table = proposal.table(space, encoded, gaps, active)
    acceptance = torch.zeros_like(value)
    for _ in range(num_proposals):
        proposed = proposal.propose(space, encoded, table, active)
        new_value, gaps = energy_and_gaps(energy, space, proposed, context)
        new_table = proposal.table(space, proposed, gaps, active)
        forward = proposal.log_density(space, encoded, table, proposed)
        backward = proposal.log_density(space, proposed, new_table, encoded)
        probability = (value - new_value + backward - forward).clamp(max=0.0).exp()
        accepted = randomness.flip_coins(probability)
        acceptance += probability / num_proposals
        value = torch.where(accepted, new_value, value)
        inner = accepted.view(accepted.shape + (1,) * len(space.encoded_shape))
        encoded = torch.where(inner, proposed, encoded)
        table = torch.where(inner, new_table, table)
    return Transition(encoded, acceptance)


def energy_and_gaps(
    energy: Energy, space: StateSpace, encoded: Tensor, context: Context = ()
) -> tuple[Tensor, Tensor]:
    """Energies and the gaps to all neighbors: exact ones from a gap table, else of first order.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :returns: Shapes ``batch_shape`` and ``batch_shape + encoded_shape``.
    """
    if has_gap_table(energy):
        value = evaluate_energy(energy, space, encoded, context)
        return value, gap_table(energy, encoded, context)
    return energy_and_taylor_gaps(energy, space, encoded, context)
