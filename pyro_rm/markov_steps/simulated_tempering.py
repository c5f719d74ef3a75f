"""Simulated tempering: the level of noise is redrawn with the state."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.target import Target


@dataclass(frozen=True)
class SimulatedTempering(MarkovStep):
    r"""Draw the level of noise given the state, then move the state at that level [1].

    The levels' energies were fitted with their constants, so that the weights of simulated
    tempering, which are hard to tune elsewhere, are known: each level is visited by its share.
    Chains leave a mode through the noise and enter others by their mass. Since the level is drawn
    anew from :math:`p(l \mid x) \propto s_l e^{-E(x, l)}` it is no part of the state: what a step
    leaves invariant is the mixture :math:`\sum_l s_l\, p_l(x)` over the levels of the target.

    :param step: What moves the state at its level.
    :raises ValueError: If the step has replicas, or at a call, if the target has no levels.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> from pyro_rm.infer import NoiseLevels
        >>> from pyro_rm.markov_steps import Chains, GibbsSweep
        >>> energy, levels = MLPEnergy(4, (8,), num_levels=2), NoiseLevels((0.0, 1.0))
        >>> target = Target.of(energy, levels=levels)
        >>> chains = Chains(target, torch.zeros(6, 4), SimulatedTempering(GibbsSweep()))
        >>> chains.run(3).state.known.shape  # the levels at which they moved last
        torch.Size([6])

    .. note:: Costs the step and one evaluation at all levels. Exact.

    **References**

    [1] Enzo Marinari, Giorgio Parisi (1992) "Simulated tempering: a new Monte Carlo scheme",
        Europhysics Letters 19(6).
    """

    step: MarkovStep
    redraws_levels = True

    def __post_init__(self) -> None:
        if self.step.num_replicas is not None:
            raise ValueError(
                f"Expected a step that moves single chains, but got {self.step!r} with replicas."
            )

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """Draw levels, then move."""
        if target.levels is None:
            raise ValueError("Expected a target with levels of noise, but got one without.")
        energies = target.level_energies(state.encoded, len(target.levels))
        level = randomness.choose(target.levels.log_shares(energies) - energies)
        at_level = target.on(level)
        moved = self.step(at_level, self.step.init(at_level, state.encoded))
        return ChainState(moved.encoded, moved.acceptance, level)
