"""Block Gibbs for models with hidden units: all hidden ones, then all visible ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pyro_rm.energy_gaps import Context, Energy, EnergyError, is_validating
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.gibbs import one_hot
from pyro_rm.markov_steps.transition import Transition, batch_shape_of, check_chains
from pyro_rm.state_space import StateSpace


@runtime_checkable
class HasHiddenUnits(Protocol):
    """An energy with binary hidden units summed out, both layers independent given the other.

    :class:`~pyro_rm.energies.RBMEnergy` is one.
    """

    def hidden_logits(self, encoded: Tensor, *context: Tensor) -> Tensor:
        """Log odds of the hidden units being 1, ``batch_shape + (H,)``."""
        ...

    def visible_logits(self, hidden: Tensor, *context: Tensor) -> Tensor:
        """Log odds of the second state, or logits of the categories; ``batch_shape + encoded``."""
        ...


@dataclass(frozen=True)
class BlockGibbs:
    """Draw all hidden units given the visible ones, then all visible ones given the hidden [1].

    For energies with hidden units (:class:`HasHiddenUnits`). A
    :class:`~pyro_rm.energies.TemperedEnergy` has none: a free energy times a number is no
    free energy of such a machine, so that tempering needs another step.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> energy = RBMEnergy(num_sites=6, num_hidden=3)
        >>> BlockGibbs()(energy, energy.state_space, torch.zeros(2, 6)).encoded.shape
        torch.Size([2, 6])

    .. note:: Costs two matrix products, whatever the number of sites.

    **References**

    [1] Geoffrey Hinton (2002) "Training products of experts by minimizing contrastive
        divergence", Neural Computation 14(8).
    """

    @torch.no_grad()
    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        encoded: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Transition:
        """One step over all hidden units and all active sites."""
        if not isinstance(energy, HasHiddenUnits):
            raise EnergyError(
                f"Expected an energy with hidden_logits and visible_logits, as RBMEnergy, but "
                f"got {_name(energy)}. Use GibbsSweep()."
            )
        if is_validating():
            check_chains(energy, space, encoded, active)
        hidden = randomness.flip_coins(energy.hidden_logits(encoded, *context).sigmoid())
        logits = energy.visible_logits(hidden.to(encoded.dtype), *context)
        if space.is_binary:
            low, high = space.states
            moved = low + (high - low) * randomness.flip_coins(logits.sigmoid()).to(encoded.dtype)
        else:
            missing = ~space.category_mask(encoded.device)
            moved = one_hot(randomness.choose(logits.masked_fill(missing, -torch.inf)), encoded)
        if active is not None:
            moved = torch.where(active if space.is_binary else active[..., None], moved, encoded)
        return Transition(moved, moved.new_ones(batch_shape_of(space, moved)))


def _name(energy: Any) -> str:
    return getattr(energy, "__name__", type(energy).__name__)
