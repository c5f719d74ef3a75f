"""Block Gibbs for models with hidden units: all hidden ones, then all visible ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_rm.energy_protocol import EnergyError, fast_path
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.gibbs import one_hot
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.target import Target


@runtime_checkable
class HasHiddenUnits(Protocol):
    """An energy with binary hidden units summed out, both layers independent given the other.

    :class:`~pyro_rm.energies.RBMEnergy` is one.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> isinstance(RBMEnergy(5, 2), HasHiddenUnits)
        True
    """

    def __call__(self, encoded: Tensor, *context: Tensor) -> Tensor:
        """Energies with the hidden units summed out, ``batch_shape``."""
        ...

    def hidden_logits(self, encoded: Tensor, *context: Tensor) -> Tensor:
        """Log odds of the hidden units being 1, ``batch_shape + (H,)``."""
        ...

    def visible_logits(self, hidden: Tensor, *context: Tensor) -> Tensor:
        """Log odds of the second state, or logits of the categories; ``batch_shape + encoded``."""
        ...


@dataclass(frozen=True)
class BlockGibbs(MarkovStep):
    """Draw all hidden units given the visible ones, then all visible ones given the hidden [1].

    For energies with hidden units (``HasHiddenUnits``). A free energy times a number is
    not a free energy of such a machine; tempering therefore tempers both layers together, see
    ``TemperedLayers``.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> energy = RBMEnergy(num_sites=6, num_hidden=3)
        >>> from pyro_rm.markov_steps import Chains
        >>> Chains(energy, torch.zeros(2, 6), BlockGibbs()).run(3).encoded.shape
        torch.Size([2, 6])

    .. note:: Costs two matrix products, whatever the number of sites.

    **References**

    [1] Geoffrey Hinton (2002) "Training products of experts by minimizing contrastive
        divergence", Neural Computation 14(8).
    """

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """One step over all hidden units and all active sites."""
        layers, space, encoded = _with_hidden_units(target.energy), target.space, state.encoded
        hidden = randomness.flip_coins(layers.hidden_logits(encoded, *target.context).sigmoid())
        logits = layers.visible_logits(hidden.to(encoded.dtype), *target.context)
        if space.is_binary:
            low, high = space.states
            moved = low + (high - low) * randomness.flip_coins(logits.sigmoid()).to(encoded.dtype)
        else:
            missing = ~space.category_mask(encoded.device)
            moved = one_hot(randomness.choose(logits.masked_fill(missing, -torch.inf)), encoded)
        if target.active is not None:
            active = target.active if space.is_binary else target.active[..., None]
            moved = torch.where(active, moved, encoded)
        return ChainState(moved, moved.new_ones(target.batch_shape_of(moved)))

    def tempered(self, target: Target, inverse_temperature: Tensor) -> Target:
        """Both layers tempered together, in place of multiplying the free energy."""
        layers = TemperedLayers(_with_hidden_units(target.energy), inverse_temperature)
        return replace(target, energy=layers)


class TemperedLayers:
    r"""An energy with hidden units whose two layers are tempered together.

    The model is :math:`p(x, h) \propto e^{-\beta E(x, h)}` with the hidden units :math:`h`
    summed out, which has hidden units again: all parameters are :math:`\beta` times as large.

    :param energy: The energy at :math:`\beta = 1`.
    :param inverse_temperature: :math:`\beta`, of batch rank.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> energy = RBMEnergy(num_sites=6, num_hidden=3)
        >>> flat = TemperedLayers(energy, torch.zeros(()))  # minus log 2^3, of the hidden units
        >>> round(flat(torch.ones(6)).item(), 4)
        -2.0794

    .. note:: Costs what the energy costs.
    """

    def __init__(self, energy: HasHiddenUnits, inverse_temperature: Tensor) -> None:
        self.energy, self.inverse_temperature = energy, inverse_temperature

    def __call__(self, encoded: Tensor, *context: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        logits = self.energy.hidden_logits(encoded, *context)
        visible = self.energy(encoded, *context) + softplus(logits).sum(-1)
        hidden = softplus(self._heat(logits, 1)).sum(-1)
        return self.inverse_temperature * visible - hidden

    def hidden_logits(self, encoded: Tensor, *context: Tensor) -> Tensor:
        """Log odds of the hidden units being 1, ``batch_shape + (H,)``."""
        return self._heat(self.energy.hidden_logits(encoded, *context), 1)

    def visible_logits(self, hidden: Tensor, *context: Tensor) -> Tensor:
        """Log odds of the second state, or logits of the categories."""
        logits = self.energy.visible_logits(hidden, *context)
        return self._heat(logits, logits.dim() - hidden.dim() + 1)

    def _heat(self, table: Tensor, event_dim: int) -> Tensor:
        beta = self.inverse_temperature
        return beta.view(beta.shape + (1,) * event_dim) * table


def has_hidden_units(energy: Any) -> TypeGuard[HasHiddenUnits]:
    """Whether an energy is one of ``HasHiddenUnits``, unless a subclass overrides it.

    :param energy: Any energy.
    :returns: Whether :class:`BlockGibbs` can move it.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> class Bounded(RBMEnergy):
        ...     def forward(self, x):
        ...         return super().forward(x).tanh()
        >>> has_hidden_units(RBMEnergy(5, 2)), has_hidden_units(Bounded(5, 2))
        (True, False)

    .. note:: Costs no energy.
    """
    known = isinstance(energy, HasHiddenUnits)
    return known and fast_path(energy, "hidden_logits") is not None


def _with_hidden_units(energy: Any) -> HasHiddenUnits:
    if not has_hidden_units(energy):
        name = getattr(energy, "__name__", type(energy).__name__)
        raise EnergyError(
            f"Expected an energy with hidden_logits and visible_logits, as RBMEnergy, but "
            f"got {name}. Use GibbsSweep()."
        )
    return energy
