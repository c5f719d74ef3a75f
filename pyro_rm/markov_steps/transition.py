"""What every Markov step is: a callable from chains to chains, with its acceptance."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pyro_rm.checks import check_active
from pyro_rm.energies import TemperedEnergy
from pyro_rm.energy_protocol import Context, Energy, check_energy
from pyro_rm.state_space import StateSpace


class Transition(NamedTuple):
    """Chains after a step, and how readily they moved.

    ``encoded`` has the shape of the chains before; ``acceptance`` is the mean acceptance
    probability of the step's proposals in [0, 1], of shape ``batch_shape`` (1 for Gibbs).

    :param encoded: The chains.
    :param acceptance: Mean acceptance probability.

    Example:

        >>> Transition(torch.zeros(4, 3), torch.ones(4)).acceptance.mean()
        tensor(1.)
    """

    encoded: Tensor
    acceptance: Tensor


class MarkovStep(Protocol):
    """A step that leaves :math:`p(x) \\propto e^{-E(x)}` invariant.

    Implementations are frozen configurations without state. Parallel chains live in the
    batch shape, each with its own randomness. No gradient is recorded. A step that moves
    several replicas of each chain says how many by an attribute ``num_replicas``; chains
    then have that dimension in front, and replica 0 follows the model.
    """

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        encoded: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Transition:
        """Move chains once.

        :param energy: The energy.
        :param space: Its state space.
        :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
        :param context: Tensors of full batch rank.
        :param active: Booleans that broadcast to ``batch_shape + (D,)``; sites that are
            False are clamped.
        :returns: New chains and their acceptance.
        """
        ...


def num_replicas(step: MarkovStep) -> int | None:
    """How many replicas of each chain a step moves; None if it moves the chains themselves.

    :param step: A step.
    :returns: A number, or None.
    """
    return getattr(step, "num_replicas", None)


def add_replicas(step: MarkovStep, encoded: Tensor) -> Tensor:
    """Chains as a step takes them: with replicas in front, all equal, if it moves several.

    :param step: A step.
    :param encoded: Chains, ``batch_shape + encoded_shape``.
    :returns: The same, or ``replicas + batch_shape + encoded_shape``.
    """
    count = num_replicas(step)
    return encoded if count is None else encoded.expand((count, *encoded.shape)).clone()


def first_replica(step: MarkovStep, encoded: Tensor) -> Tensor:
    """The chains that follow the model: replica 0 if the step moves several.

    :param step: A step.
    :param encoded: Chains as the step takes them.
    :returns: Shape ``batch_shape + encoded_shape``.
    """
    return encoded if num_replicas(step) is None else encoded[0]


def tempered(
    step: MarkovStep, energy: Energy, space: StateSpace, inverse_temperature: Tensor
) -> Energy:
    """An energy times a number, in the step's own way if it has one (``step.tempered``)."""
    own = getattr(step, "tempered", None)
    if own is not None:
        return own(energy, inverse_temperature)
    return TemperedEnergy(energy, inverse_temperature, state_space=space)


def batch_shape_of(space: StateSpace, encoded: Tensor) -> torch.Size:
    """The batch shape of encoded chains."""
    return encoded.shape[: encoded.dim() - len(space.encoded_shape)]


def check_chains(
    energy: Energy, space: StateSpace, encoded: Tensor, active: Tensor | None = None
) -> None:
    """Refuse what no step can move.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``.
    :raises EnergyError: If the energy has dropout or batch normalization in training mode.
    :raises ValueError: If the chains are not encoded states of the space, or the clamp mask
        does not fit.

    Example:

        >>> check_chains(lambda x: x.sum(-1), StateSpace(2), torch.zeros(5, 2))
        >>> check_chains(lambda x: x.sum(-1), StateSpace(2), torch.zeros(5, 3))
        Traceback (most recent call last):
            ...
        ValueError: Expected encoded chains of shape batch_shape + (2,), but got (5, 3).

    .. note:: Costs no energy; reads the chains from the device.
    """
    check_energy(energy, space)
    rank, shape = len(space.encoded_shape), tuple(encoded.shape)
    if encoded.shape[encoded.dim() - rank :] != space.encoded_shape or encoded.dim() < rank:
        expected = tuple(space.encoded_shape)
        hint = "" if space.is_binary else " Encode categories by StateSpace.encode."
        raise ValueError(
            f"Expected encoded chains of shape batch_shape + {expected}, but got {shape}.{hint}"
        )
    if not _in_space(space, encoded):
        kind = f"states {space.states}" if space.is_binary else "one-hot rows of categories"
        raise ValueError(
            f"Expected chains of {kind}, but got other values. Clamped sites need a value "
            "too; encode data by StateSpace.encode."
        )
    if active is not None:
        check_active(active, torch.Size((*batch_shape_of(space, encoded), space.num_sites)))


def _in_space(space: StateSpace, encoded: Tensor) -> bool:
    low, high = space.states
    if not bool(((encoded == low) | (encoded == high)).all()):
        return False
    if space.is_binary:
        return True
    exists = space.category_mask(encoded.device)
    return bool(((encoded.sum(-1) == 1) & ((encoded * ~exists).sum(-1) == 0)).all())
