"""Parallel tempering: replicas at several temperatures that swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pyro_rm.energy_checks import is_validating
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.target import Target


@dataclass(frozen=True)
class ParallelTempering(MarkovStep):
    r"""Parallel tempering [1] on top of any step.

    Chains have the temperatures as their first dimension, ``(T,) + batch_shape +
    encoded_shape``; replica :math:`t` follows :math:`e^{-\beta_t E(x)}` (under
    :class:`~pyro_rm.markov_steps.BlockGibbs` with both layers tempered), and replica 0 the
    model. A step moves all replicas by ``step``, then proposes to swap the states of
    neighboring temperatures: the even pairs, then the odd ones. Contexts have that dimension
    too, or 1. Clamped sites must be the same in all replicas, and hold the same values.

    The acceptance is that of the swaps, the mean over the pairs that a replica is in: it is
    what the temperatures should be tuned by.

    :param step: What moves each replica.
    :param inverse_temperatures: :math:`1 = \beta_0 > \beta_1 > \dots \ge 0`, two or more.
    :raises ValueError: If they are not.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> from pyro_rm.markov_steps import Chains, GibbsSweep
        >>> step = ParallelTempering(GibbsSweep(), (1.0, 0.5, 0.0))
        >>> chains = Chains(IsingEnergy(4), torch.zeros(7, 4), step).run(2)
        >>> chains.encoded.shape, chains.acceptance.shape
        (torch.Size([7, 4]), torch.Size([3, 7]))

    .. note:: Costs ``T`` times the step and three energies a replica.

    **References**

    [1] Charles Geyer (1991) "Markov chain Monte Carlo maximum likelihood", in Computing
        Science and Statistics, Proceedings of the 23rd Symposium on the Interface.
    """

    step: MarkovStep
    inverse_temperatures: Sequence[float]

    def __post_init__(self) -> None:
        betas = tuple(float(beta) for beta in self.inverse_temperatures)
        object.__setattr__(self, "inverse_temperatures", betas)
        decreasing = all(a > b for a, b in pairwise(betas))
        if len(betas) < 2 or betas[0] != 1 or betas[-1] < 0 or not decreasing:
            raise ValueError(
                f"Expected inverse temperatures from 1 strictly down to 0 or more, at least two, "
                f"but got {betas}."
            )

    @property
    def num_replicas(self) -> int:
        """The number of temperatures."""
        return len(self.inverse_temperatures)

    def init(self, target: Target, encoded: Tensor) -> ChainState:
        """Refuse chains that are not replicas of the same clamped sites.

        :raises ValueError: If there are other numbers of them, or swaps would exchange values
            of clamped sites.
        """
        if is_validating():
            self._check_replicas(target, encoded)
        return ChainState(encoded)

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """Move all replicas, then swap."""
        rank = len(target.batch_shape_of(state.encoded))
        betas = state.encoded.new_tensor(self.inverse_temperatures).view((-1,) + (1,) * (rank - 1))
        replicas = self.step.tempered(target, betas)
        encoded = self.step(replicas, self.step.init(replicas, state.encoded)).encoded
        values = replicas(encoded)
        acceptance, pairs = torch.zeros_like(values), torch.zeros_like(betas)
        for first in (0, 1):
            low = torch.arange(first, self.num_replicas - 1, 2, device=encoded.device)
            if len(low) == 0:
                continue
            probability, encoded, values = _swap(replicas, encoded, values, low)
            for side in (low, low + 1):
                acceptance[side] += probability
                pairs[side] += 1
        return ChainState(encoded, acceptance / pairs)

    def _check_replicas(self, target: Target, encoded: Tensor) -> None:
        batch_shape, space, active = target.batch_shape_of(encoded), target.space, target.active
        if not batch_shape or batch_shape[0] != self.num_replicas:
            raise ValueError(
                f"Expected chains with {self.num_replicas} temperatures as their first dimension, "
                f"but got shape {tuple(encoded.shape)}. Run them by Chains, which adds it."
            )
        if active is None:
            return
        active = active.expand((*batch_shape, space.num_sites))
        values = space.decode(encoded)
        if not ((active == active[:1]) & (active | (values == values[:1]))).all():
            raise ValueError(
                "Expected the same clamped sites and values in all replicas, but got different "
                "ones: swaps would exchange them."
            )


def _swap(
    replicas: Target, encoded: Tensor, values: Tensor, low: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Propose to swap each replica of ``low`` with the next one.

    :returns: The acceptance probabilities, and the replicas and their energies afterwards.
    """
    high = low + 1
    order = torch.arange(len(encoded), device=encoded.device)
    order[low], order[high] = high, low
    proposed = encoded[order]
    new = replicas(proposed)
    drop = values - new
    probability = (drop[low] + drop[high]).clamp(max=0.0).exp()
    swapped = torch.zeros_like(values, dtype=torch.bool)
    swapped[low] = swapped[high] = randomness.flip_coins(probability)
    inner = swapped.view(swapped.shape + (1,) * len(replicas.space.encoded_shape))
    return probability, torch.where(inner, proposed, encoded), torch.where(swapped, new, values)
