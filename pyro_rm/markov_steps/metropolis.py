"""Metropolis-Hastings steps whose proposals look at all gaps of the current state."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.target import Target


class InformedStep(MarkovStep):
    """Where to go from a state is judged by its gaps; all tables follow ``encoded``'s shape.

    Exact gaps where the energy has a gap table, else those of first order. Energies and tables of
    the state that a step ends in are kept for the next one.
    """

    num_proposals: int

    @abstractmethod
    def table(self, target: Target, encoded: Tensor, gaps: Tensor) -> Tensor:
        """What the proposal rests on, from the gaps to all flips or categories."""

    @abstractmethod
    def propose(self, target: Target, encoded: Tensor, table: Tensor) -> Tensor:
        """Draw new states, by :mod:`~pyro_rm.markov_steps.randomness` alone."""

    @abstractmethod
    def log_density(
        self, target: Target, encoded: Tensor, table: Tensor, proposed: Tensor
    ) -> Tensor:
        """Log probability of proposing given states, ``batch_shape``."""

    @torch.no_grad()
    def init(self, target: Target, encoded: Tensor) -> ChainState:
        """Energies and tables of the chains.

        :raises EnergyError: If the gradient is needed and does not reach the data.
        """
        value, gaps = target.energy_and_gaps(encoded)
        return ChainState(encoded, None, (value, self.table(target, encoded, gaps)))

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """Propose, and accept by the Metropolis-Hastings ratio, ``num_proposals`` times."""
        encoded, _, (value, table) = state
        acceptance = torch.zeros_like(value)
        for _ in range(self.num_proposals):
            proposed = self.propose(target, encoded, table)
            new_value, gaps = target.energy_and_gaps(proposed)
            new_table = self.table(target, proposed, gaps)
            forward = self.log_density(target, encoded, table, proposed)
            backward = self.log_density(target, proposed, new_table, encoded)
            probability = (value - new_value + backward - forward).clamp(max=0.0).exp()
            accepted = randomness.flip_coins(probability)
            acceptance += probability / self.num_proposals
            value = torch.where(accepted, new_value, value)
            inner = accepted.view(accepted.shape + (1,) * len(target.space.encoded_shape))
            encoded = torch.where(inner, proposed, encoded)
            table = torch.where(inner, new_table, table)
        return ChainState(encoded, acceptance, (value, table))
