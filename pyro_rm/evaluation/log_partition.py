"""Exact partition functions, each model by its cheapest way."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energy_checks import check_energy
from pyro_rm.energy_protocol import fast_path
from pyro_rm.enumeration import Enumeration, TooManyStatesError
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def log_partition(
    model: Any,
    *,
    state_space: StateSpace | None = None,
    max_states: int = 2**24,
) -> Tensor:
    r"""The exact :math:`\log \sum_x e^{-E(x)}`, differentiable in the energy.

    By the energy's own ``log_partition(max_states)`` if it has one (Ising and Potts models without
    loops by elimination, restricted Boltzmann machines over their smaller side), else over all
    states.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`.
    :param state_space: The space, where the energy does not say it.
    :param max_states: Refuse larger sums.
    :returns: A scalar.
    :raises TooManyStatesError: If the sum would run over more than ``max_states``.
    :raises EnergyError: If an energy is not finite.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> log_partition(RBMEnergy(num_sites=784, num_hidden=2)).shape
        torch.Size([])

    .. note:: One energy a state of the sum, in bounded memory; nothing for trees. With 24
        binary sites: a second for Ising models, some for RBMs, minutes for a large MLP.
    """
    check_counts(max_states=max_states)
    target = single_target(model, state_space)
    own = fast_path(target.energy, "log_partition")
    result: Tensor | None = None if own is None else own(max_states=max_states)
    return _all_states(target, max_states).log_partition() if result is None else result


def exact_samples(
    model: Any,
    num_samples: int,
    *,
    state_space: StateSpace | None = None,
    max_states: int = 2**24,
) -> Tensor:
    """Exact, independent draws, by the sums of :func:`log_partition`.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`.
    :param num_samples: How many.
    :param state_space: The space, where the energy does not say it.
    :param max_states: Refuse larger sums.
    :returns: Data, ``(num_samples, D)``.
    :raises TooManyStatesError: If the sum would run over more than ``max_states``.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> exact_samples(RBMEnergy(num_sites=784, num_hidden=2), 5).shape
        torch.Size([5, 784])

    .. note:: Costs two energies a state of the sum.
    """
    check_counts(0, num_samples=num_samples)
    check_counts(max_states=max_states)
    target = single_target(model, state_space)
    own = fast_path(target.energy, "exact_samples")
    draws: Tensor | None = None if own is None else own(num_samples, max_states=max_states)
    return _all_states(target, max_states).draw(num_samples) if draws is None else draws


def single_target(model: Any, state_space: StateSpace | None = None) -> Target:
    """The target of one model of all sites, which has one partition function.

    :raises ValueError: If the model has a batch shape, a context or inactive sites, the space
        is unknown, or the energy is one on another space.
    """
    target = Target.of(model, state_space)
    batch_shape = getattr(model, "batch_shape", ()) or target.batch_shape
    if batch_shape or target.context or target.active is not None:
        raise ValueError(
            "Expected one model of all sites, but got one with a batch shape, a context or "
            "inactive sites: their partition functions differ by datum."
        )
    check_energy(target.energy, target.space)
    return target


def _all_states(target: Target, max_states: int) -> Enumeration:
    if target.space.num_states > max_states:
        raise TooManyStatesError.of(target.space.num_states, max_states)
    return Enumeration(target)
