r"""The one protocol on energies: the gaps :math:`E(x) - E(x')` of given neighbors.

An energy is a callable on encoded data, ``batch_shape + encoded_shape`` to
``batch_shape``; its leading dimensions broadcast. Two optional methods make it fast:

- ``energy_gaps(encoded, neighbors)``: gaps of given neighbors, ``neighbors + batch_shape``;
- ``gap_table(encoded)``: gaps of *all* flips (``batch_shape + (D,)``) or of all categories
  of all sites (``batch_shape + (D, K_max)``), at about the cost of one energy.

With a context both take it as their last argument. Everything else falls back to one
batched evaluation of the neighbors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rm.neighborhoods import Neighbors, neighbor_states
from pyro_rm.state_space import StateSpace

Energy = Callable[..., Tensor]
"""A callable or module from encoded data, and maybe context, to energies."""

Context = tuple[Tensor, ...]
"""What an energy takes beside the data."""


class EnergyError(ValueError):
    """An energy that cannot be used: not finite, of the wrong shape, or not differentiable."""


def is_validating() -> bool:
    """Whether validation is on: the flag of torch and Pyro distributions.

    :returns: What ``pyro.enable_validation`` or the default of torch has set.

    Example:

        >>> is_validating()
        True
    """
    return bool(torch.distributions.Distribution._validate_args)


def has_gap_table(energy: Energy) -> bool:
    """Whether the energy gives all its gaps at about the cost of one evaluation.

    :param energy: An energy.
    :returns: Whether :func:`gap_table` may be called.

    Example:

        >>> has_gap_table(lambda x: x.sum(-1))
        False

    .. note:: Costs no energy.
    """
    return hasattr(energy, "gap_table") and getattr(energy, "has_gap_table", True)


def energy_dtype(energy: Energy, value: Tensor) -> torch.dtype:
    """The floating type that an energy computes in.

    :param energy: Its ``dtype`` if it has one, else the type of its first parameter.
    :param value: Data, whose type decides where the energy has neither.
    :returns: A floating point type.

    Example:

        >>> energy_dtype(lambda x: x.sum(-1), torch.zeros(3))
        torch.float32

    .. note:: Costs no energy.
    """
    dtype = getattr(energy, "dtype", None)
    if isinstance(dtype, torch.dtype):
        return dtype
    if isinstance(energy, torch.nn.Module):
        for parameter in energy.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
    return value.dtype if value.is_floating_point() else torch.get_default_dtype()


def wide(tensor: Tensor) -> Tensor:
    """At least single precision, so that differences of half-precision numbers are exact.

    :param tensor: Floating point.
    :returns: The same numbers in float32, or in the wider type that they have.

    Example:

        >>> wide(torch.zeros(2, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def evaluate_energy(
    energy: Energy, space: StateSpace, encoded: Tensor, context: Context = ()
) -> Tensor:
    """Energies of encoded data, checked where validation is on.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors whose leading dimensions broadcast to ``batch_shape``.
    :returns: Shape ``batch_shape``.
    :raises EnergyError: If the shape is wrong or a value is NaN or infinite.

    .. note:: Costs one energy a datum; the check of its values reads from the device.
    """
    result = energy(encoded, *context)
    if is_validating():
        batch_shape = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
        _check_energies(result, batch_shape, tuple(encoded.shape))
    return result


def _check_energies(
    result: Tensor, batch_shape: torch.Size, input_shape: tuple[int, ...], what: str = "energy"
) -> None:
    if not isinstance(result, Tensor) or result.shape != batch_shape:
        got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise EnergyError(
            f"Expected the {what} of an input of shape {input_shape} to have shape "
            f"{tuple(batch_shape)}, but got {got}. An energy maps batch_shape + event_shape to "
            "batch_shape for any number of leading dimensions: reduce over the last ones, and "
            "give batched parameters room on the left, e.g. (particles, 1, ...)."
            + (" End it with .squeeze(-1)." if got == (*batch_shape, 1) else "")
        )
    if not result.is_floating_point():
        raise EnergyError(f"Expected energies of a floating point type, but got {result.dtype}.")
    finite = result.detach().isfinite()
    if not finite.all():
        bad = result[~finite].flatten()[0].item()
        raise EnergyError(
            f"Expected finite energies, but got {bad} "
            f"({int((~finite).sum())} of {finite.numel()}). "
            "Lower the learning rate, clip gradients, or bound the parameters."
        )


def space_of(energy: Energy, state_space: StateSpace | None = None) -> StateSpace:
    """The space of an energy: what it says, or what is given where it says none.

    :param energy: An energy, which may say its space by an attribute ``state_space``.
    :param state_space: The space, where the energy does not say it.
    :returns: The space.
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
    if own is not None and own != space:
        raise EnergyError(f"Expected an energy on {space}, but got one on {own}.")
    return space


def check_energy(energy: Energy, space: StateSpace) -> None:
    """Refuse energies of another space, and layers that give equal states different energies.

    :param energy: The energy.
    :param space: The space that it is used on.
    :raises EnergyError: If it says another space, or dropout or batch normalization is in
        training mode.

    Example:

        >>> check_energy(nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.0)), StateSpace(3))

    .. note:: Costs no energy.
    """
    space_of(energy, space)
    if not isinstance(energy, nn.Module):
        return
    for name, module in energy.named_modules():
        random = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
        if module.training and (random or isinstance(module, nn.modules.batchnorm._BatchNorm)):
            raise EnergyError(
                f"Expected an energy without dropout or batch normalization in training mode, "
                f"but got {type(module).__name__} at {name!r}: a datum and its neighbors would "
                "see different energies. Remove it, or call .eval() on it."
            )


def energy_gaps(
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    neighbors: Neighbors,
    context: Context = (),
    max_neighbors_per_chunk: int | None = None,
) -> Tensor:
    r"""Gaps :math:`E(x) - E(x')` of given neighbors, by the energy's own way or the generic one.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param neighbors: Which neighbors, ``neighbors + batch_shape``.
    :param context: Tensors of full batch rank, ``batch_shape + ...``.
    :param max_neighbors_per_chunk: Neighbor states (summed over the batch) to evaluate at
        once, forward and backward; at least one neighbor a datum. None: all.
    :returns: Shape ``neighbors + batch_shape``.
    :raises EnergyError: As :func:`evaluate_energy`.

    .. note:: Costs ``len(neighbors)`` energies a datum, and one more for the datum; in
        chunks the neighbors' energies are computed again in the backward pass.
    """
    if len(neighbors) == 0:
        raise ValueError("Expected at least one neighbor, but got none.")
    if max_neighbors_per_chunk is None:
        return _gaps(energy, space, encoded, neighbors, context)
    step = max(1, max_neighbors_per_chunk // max(1, neighbors.sites[0].numel()))
    pieces = []
    for start in range(0, len(neighbors), step):
        chunk = neighbors.slice(start, start + step)
        if torch.is_grad_enabled():
            piece = recomputed(_gaps, energy, space, encoded, chunk, context)
        else:
            piece = _gaps(energy, space, encoded, chunk, context)
        pieces.append(piece)
    return torch.cat(pieces)


def recomputed(function: Callable[..., Tensor], *args: Any) -> Tensor:
    """The result of a call that the backward pass repeats, rather than keep what it needs.

    :param function: A deterministic function.
    :param args: What to call it with.
    :returns: Its result, differentiable.

    Example:

        >>> recomputed(torch.exp, torch.zeros(2, requires_grad=True)).sum().item()
        2.0

    .. note:: Costs a second call in the backward pass; in between it holds ``args`` only.
    """
    from torch.utils.checkpoint import checkpoint  # which imports sympy in torch 2.4

    result: Tensor = checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
    return result


def _gaps(
    energy: Energy, space: StateSpace, encoded: Tensor, neighbors: Neighbors, context: Context
) -> Tensor:
    own = getattr(energy, "energy_gaps", None)
    if own is not None:
        gaps = own(encoded, neighbors, *context)
        if is_validating():
            _check_energies(gaps, neighbors.sites.shape, tuple(encoded.shape))
        return gaps
    return generic_energy_gaps(energy, space, encoded, neighbors, context)


def generic_energy_gaps(
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    neighbors: Neighbors,
    context: Context = (),
) -> Tensor:
    """Gaps by one batched evaluation of a datum and its neighbors.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param neighbors: Which neighbors, of shape ``neighbors + batch_shape``.
    :param context: Tensors of full batch rank.
    :returns: Shape ``neighbors + batch_shape``.

    .. note:: Costs one energy for each datum and each neighbor.
    """
    states = neighbor_states(space, encoded, neighbors)
    batch_shape = neighbors.sites.shape[1:]
    datum = encoded.expand(states.shape[1:])[None]
    count = len(neighbors) + 1
    contexts = tuple(_along_neighbors(c, count, len(batch_shape), batch_shape) for c in context)
    energies = wide(evaluate_energy(energy, space, torch.cat([datum, states]), contexts))
    return energies[:1] - energies[1:]


def _along_neighbors(context: Tensor, count: int, rank: int, batch: torch.Size) -> Tensor:
    return context.expand((count, *batch, *context.shape[rank:]))


def gap_table(energy: Energy, encoded: Tensor, context: Context = ()) -> Tensor:
    """All gaps of an energy that has :func:`has_gap_table`, in the shape of ``encoded``.

    :param energy: The energy.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :returns: :math:`E(x) - E(x')`, of the shape of ``encoded``.
    :raises EnergyError: If the shape is wrong or a value is NaN or infinite.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> gap_table(IsingEnergy(3), torch.ones(2, 3)).shape
        torch.Size([2, 3])

    .. note:: Costs what the energy says, about one evaluation.
    """
    table: Tensor = energy.gap_table(encoded, *context)  # type: ignore[attr-defined]
    if is_validating():
        _check_energies(table, encoded.shape, tuple(encoded.shape), "gap table")
    return table
