r"""What an energy is, and what it may say about itself.

An energy is a callable on encoded data, ``batch_shape + encoded_shape`` to ``batch_shape``;
its leading dimensions broadcast. That is enough. What an energy can say about itself beside its
values makes it faster, and each of these is optional, a method or an attribute of any class:

``state_space``
    its :class:`~pyro_rm.StateSpace`, so that nobody has to repeat it;
``dtype``, ``device``, ``batch_shape``
    what it computes in and where, if it has no parameters that tell; its batched parameters;
``gap_table(encoded)``
    gaps to *all* flips (``batch_shape + (D,)``) or to all categories of all sites
    (``batch_shape + (D, K_max)``), at about the cost of one energy; switched off by a false
    attribute ``has_gap_table``;
``energy_gaps(encoded, neighbors)``
    gaps to given neighbors, ``neighbors + batch_shape``;
``energy_and_gradient(encoded, differentiable=False)``
    energies, detached, and their gradient in the data;
``prepared_at(encoded)``
    an energy that has computed what it needs of these data;
``site_walk(encoded)``
    a :class:`~pyro_rm.site_walks.SiteWalk` along which Gibbs sweeps are cheap;
``outer_energies(left, right)``
    energies of all sums of partial states, ``(L, R)``, for exact sums;
``pairwise()``
    itself as a :class:`~pyro_rm.energies.PairwiseFunction`;
``linear_fields()``
    :math:`t`, like encoded data, if it is :math:`-\langle x, t \rangle` up to a constant;
``log_partition(max_states)``, ``exact_samples(num_samples, max_states)``
    a cheaper way than to sum over all states; None where there is none;
``path_from(base)``
    a function from an inverse temperature to the energies of a path that begins at ``base``;
``num_levels``, ``level_energies(encoded)``, ``at_level(position)``
    how many levels of noise it knows, the level being the last of its context and 0 without one;
    energies at all of them, ``batch_shape + (L,)``; itself at one of them, or between two;
``default_step()``
    the fastest valid Markov step;
``hidden_logits(encoded)``, ``visible_logits(hidden)``
    its hidden units, for block Gibbs;
``resized(max_nodes)``, ``directed``
    for energies of graphs.

With a context, the methods that take encoded data take it as their last arguments, and so does
``linear_fields``. A subclass
that overrides ``forward`` inherits none of them, since it is another energy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rm.state_space import StateSpace

__all__ = ["Context", "Energy", "EnergyError"]

Energy = Callable[..., Tensor]
"""A callable or module from encoded data, and maybe context, to energies."""

Context = tuple[Tensor, ...]
"""What an energy takes beside the data."""


class EnergyError(ValueError):
    """An energy that cannot be used: not finite, of the wrong shape, or not differentiable."""


def as_context(context: Any) -> tuple[Tensor, ...]:
    """What energies take beside the data, as a tuple.

    :param context: A tensor, or tensors.
    :returns: The tensors.
    :raises TypeError: If it is anything else.

    Example:

        >>> as_context(1.0)
        Traceback (most recent call last):
            ...
        TypeError: Expected context as a tensor or a tuple of tensors, but got float.
    """
    tensors = (context,) if isinstance(context, Tensor) else context
    if not isinstance(tensors, tuple | list):
        kind = type(context).__name__
        raise TypeError(f"Expected context as a tensor or a tuple of tensors, but got {kind}.")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"Expected context as a tensor or a tuple of tensors, but got one with a "
                f"{type(tensor).__name__}."
            )
    return tuple(tensors)


def known_dtype(energy: Energy) -> torch.dtype | None:
    """The floating type that an energy says it computes in.

    :param energy: Its ``dtype`` if it has one, else the type of its first parameter, else that of
        the energy that it wraps, its attribute ``energy``.
    :returns: A floating point type; None if there is none of these.

    .. note:: Costs no energy.
    """
    dtype = getattr(energy, "dtype", None)
    if isinstance(dtype, torch.dtype):
        return dtype
    if isinstance(energy, nn.Module):
        for parameter in energy.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
    wrapped = getattr(energy, "energy", None)
    return known_dtype(wrapped) if callable(wrapped) else None


def energy_dtype(energy: Energy, value: Tensor) -> torch.dtype:
    """The floating type that an energy computes in.

    :param energy: What says it, as in :func:`known_dtype`.
    :param value: Data, whose type decides where the energy does not say it.
    :returns: A floating point type.

    Example:

        >>> energy_dtype(lambda x: x.sum(-1), torch.zeros(3))
        torch.float32

    .. note:: Costs no energy.
    """
    return known_dtype(energy) or floating_type(value)


def floating_type(value: Tensor) -> torch.dtype:
    """The type of data that are floats, else torch's default."""
    return value.dtype if value.is_floating_point() else torch.get_default_dtype()


def energy_device(energy: Energy) -> torch.device | None:
    """Where an energy computes.

    :param energy: Its ``device`` if it has one, else that of its first parameter, else that of the
        energy that it wraps, its attribute ``energy``.
    :returns: A device; None, torch's default, where the energy has none of these.

    Example:

        >>> energy_device(nn.Linear(3, 1)), energy_device(lambda x: x.sum(-1))
        (device(type='cpu'), None)

    .. note:: Costs no energy.
    """
    device = getattr(energy, "device", None)
    if isinstance(device, torch.device):
        return device
    if isinstance(energy, nn.Module):
        for parameter in energy.parameters():
            return parameter.device
    wrapped = getattr(energy, "energy", None)
    return energy_device(wrapped) if callable(wrapped) else None


def wide(tensor: Tensor) -> Tensor:
    """At least single precision, so that differences of half-precision numbers are exact.

    :param tensor: Floating point.
    :returns: The same numbers in float32, or in the wider type that they have.

    Example:

        >>> wide(torch.zeros(2, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def space_of(energy: Energy, state_space: StateSpace | None = None) -> StateSpace:
    """The space of an energy: what it says, or what is given where it says none.

    :param energy: An energy, which may say its space by an attribute ``state_space``.
    :param state_space: The space, where the energy does not say it.
    :returns: The space.
    :raises TypeError: If it is not a space.
    :raises ValueError: If neither says it, or both say different ones.

    Example:

        >>> space_of(lambda x: x.sum(-1), StateSpace(3)).num_sites
        3

    .. note:: Costs no energy.
    """
    own = getattr(energy, "state_space", None)
    space = state_space or own
    if space is None:
        raise ValueError(
            "Expected an energy with a state_space, or the argument state_space, but got neither. "
            "For five binary sites say state_space=pyro_rm.StateSpace(5)."
        )
    if not isinstance(space, StateSpace):
        raise TypeError(
            f"Expected state_space as a StateSpace, but got {space!r}. For binary sites say "
            "pyro_rm.StateSpace(num_sites)."
        )
    if own is not None and own != space:
        raise EnergyError(f"Expected an energy on {space}, but got one on {own}.")
    return space


def fast_path(energy: Energy, name: str) -> Any:
    """What an energy is known by beside its values, such as its gaps, where that holds.

    A subclass that overrides ``forward`` (``__call__`` if it is not a module) is another
    energy than its base classes know.

    :param energy: The energy.
    :param name: Of a method or an attribute.
    :returns: It; None if there is none, or if a class below it overrides the energy.

    Example:

        >>> class Ring:
        ...     def __call__(self, x):
        ...         return (x * x.roll(1, -1)).sum(-1)
        ...     def gap_table(self, x):
        ...         return (2 * x - 1) * (x.roll(1, -1) + x.roll(-1, -1))
        >>> class RingInField(Ring):
        ...     def __call__(self, x):
        ...         return super().__call__(x) + x.sum(-1)
        >>> fast_path(Ring(), "gap_table") is None, fast_path(RingInField(), "gap_table") is None
        (False, True)

    .. note:: Costs no energy.
    """
    overridable = "forward" if isinstance(energy, nn.Module) else "__call__"
    for kind in type(energy).__mro__:
        if name in vars(kind):
            break
        if overridable in vars(kind) and hasattr(type(energy), name):
            return None
    return getattr(energy, name, None)


def energy_of(model: Any) -> Energy:
    """The energy of an energy, of a distribution, or of a target, whatever its space.

    :param model: One of these.
    :returns: The energy.
    :raises TypeError: If ``model`` is none of these.

    Example:

        >>> from pyro_rm import Target
        >>> from pyro_rm.energies import IsingEnergy
        >>> energy = IsingEnergy(3)
        >>> energy_of(Target.of(energy)) is energy
        True
    """
    if isinstance(model, type):
        raise TypeError(f"Expected an energy, but got the class {model.__name__}; make one first.")
    if hasattr(model, "target_at"):
        energy: Energy = model.target_at(None).energy
        return energy
    if isinstance(model, torch.distributions.Distribution) or not callable(model):
        raise TypeError(
            f"Expected an energy, an EnergyModel or a Target, but got {type(model).__name__}. "
            "An energy is a callable on encoded data; wrap it by EnergyModel(energy) in a Pyro "
            "program, and pass model.energy where a distribution is not taken."
        )
    return model
