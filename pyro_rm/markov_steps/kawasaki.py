"""Kawasaki dynamics: exchanges of two sites' values, which keep all counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.swaps import exchanged, num_partners, partners
from pyro_rm.target import Target


@dataclass(frozen=True)
class Kawasaki(MarkovStep):
    r"""Exchange the values of two sites [1], by Metropolis' rule.

    Chains keep the number of sites at each value that they start with, and follow the model given
    these numbers. Start them at data: ``MarkovSampler(step=Kawasaki(), initial=x)``.

    :param num_swaps: Exchanges proposed one after the other in a step; None: as many as there are
        sites.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> from pyro_rm.markov_steps import Chains
        >>> start = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]])
        >>> Chains(IsingEnergy(5), start, Kawasaki()).run(10).encoded.sum()
        tensor(2.)

    .. note:: A step costs an energy an exchange, and one before the first step.

    **References**

    [1] Kyozi Kawasaki (1966) "Diffusion constants near the critical point for time-dependent Ising
        models", Physical Review 145(1).
    """

    num_swaps: int | None = None

    def __post_init__(self) -> None:
        if self.num_swaps is not None:
            check_counts(num_swaps=self.num_swaps)

    @torch.no_grad()
    def init(self, target: Target, encoded: Tensor) -> ChainState:
        """Energies of the chains."""
        return ChainState(encoded, None, target(encoded))

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """Propose, and accept where it lowers the energy or by its ratio of probabilities."""
        encoded, _, energy = state
        acceptance = torch.zeros_like(energy)
        count = target.space.num_sites if self.num_swaps is None else self.num_swaps
        for _ in range(count):
            free = num_partners(target, encoded).to(energy)
            nothing = free.sum(-1, keepdim=True) == 0
            first = randomness.choose((free + nothing).log())
            second = randomness.choose(partners(target, encoded, first).to(energy).log())
            proposed = exchanged(target, encoded, torch.stack([first, second])[:, None])[0]
            new = target(proposed)
            probability = (energy - new).clamp(max=0.0).exp()
            accepted = randomness.flip_coins(probability)
            acceptance += probability / count
            energy = torch.where(accepted, new, energy)
            inner = accepted.view(accepted.shape + (1,) * len(target.space.encoded_shape))
            encoded = torch.where(inner, proposed, encoded)
        return ChainState(encoded, acceptance, energy)
