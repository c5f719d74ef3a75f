"""Checks of what an energy is and of what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sized
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from pyro_rm.energy_protocol import Context, Energy, EnergyError


def is_validating() -> bool:
    """Whether validation is on: the flag of torch and Pyro distributions.

    :returns: What ``pyro.enable_validation`` or the default of torch has set.

    Example:

        >>> is_validating()
        True
    """
    return bool(torch.distributions.Distribution._validate_args)


def check_energies(
    result: Tensor, batch_shape: torch.Size, input_shape: tuple[int, ...], what: str = "energy"
) -> None:
    """Refuse energies of the wrong shape or type, and those that are not finite, if validating.

    :param result: What the energy gave.
    :param batch_shape: The shape it should have.
    :param input_shape: The shape of what it was given, for the message.
    :param what: Its name in the message.
    :raises EnergyError: If it does not fit.

    Example:

        >>> check_energies(torch.zeros(5), torch.Size([5]), (5, 3))
    """
    if not is_validating():
        return
    if not isinstance(result, Tensor) or result.shape != batch_shape:
        got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise EnergyError(
            f"Expected the {what} of an input of shape {input_shape} to have shape "
            f"{tuple(batch_shape)}, but got {got}. An energy maps batch_shape + event_shape to "
            "batch_shape for any number of leading dimensions: reduce over the last ones, and "
            "give batched parameters room on the left, e.g. (particles, 1, ...)."
            + _way_out(result, batch_shape, input_shape)
        )
    if not result.is_floating_point():
        raise EnergyError(f"Expected energies of a floating point type, but got {result.dtype}.")
    finite = result.detach().isfinite()
    if not finite.all():
        bad = result[~finite].flatten()[0].item()
        raise EnergyError(
            f"Expected finite energies, but got {bad} "
            f"({int((~finite).sum())} of {finite.numel()}). "
            "Lower the learning rate, clip gradients, or bound the parameters." + _forbidden(bad)
        )


def _forbidden(bad: float) -> str:
    """What to do instead of forbidding states by an infinite energy."""
    if bad != math.inf:
        return ""
    return (
        " If states are forbidden, leave them out of the space: code sites of which one is on as "
        "one site with many categories, fix cells that cannot change by active=, and where sums "
        "are fixed compare swaps, neighborhood='swaps'."
    )


def _way_out(result: object, batch_shape: torch.Size, input_shape: tuple[int, ...]) -> str:
    """What to write at the end of an energy that has all its numbers, in another shape."""
    if not isinstance(result, Tensor) or result.numel() != batch_shape.numel():
        return ""
    if result.shape == (*batch_shape, 1):
        return " End it with .squeeze(-1)."
    event_dim = len(input_shape) - len(batch_shape)
    return (
        " A network that takes one batch dimension only gets x.flatten(0, "
        f"-{event_dim + 1}), and ends with .view(x.shape[:-{event_dim}])."
    )


def check_layers(energy: Energy) -> None:
    """Refuse layers that give equal states different energies, and parameters of another space.

    :param energy: The energy; modules of it that have ``mark_parameters`` check their own.
    :raises EnergyError: If dropout or batch normalization is in training mode.
    :raises ValueError: If parameters were fitted on another state space.

    Example:

        >>> check_layers(nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.0)))

    .. note:: Costs no energy.
    """
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
        if hasattr(type(module), "mark_parameters"):
            module.mark_parameters()


def check_context(context: Context, batch_shape: torch.Size) -> None:
    """Refuse context whose leading dimensions do not broadcast to the batch.

    :param context: Tensors.
    :param batch_shape: Batch shape of the data.
    :raises ValueError: If a tensor has too few dimensions, or others than the batch.

    Example:

        >>> check_context((torch.zeros(5, 2),), torch.Size([5]))
    """
    rank = len(batch_shape)
    for tensor in context:
        leading = tensor.shape[:rank]
        fits = all(c in (1, b) for c, b in zip(leading, batch_shape, strict=False))
        if len(leading) < rank or not fits:
            raise ValueError(
                f"Expected context whose leading dimensions are the batch shape "
                f"{tuple(batch_shape)}, but got {tuple(tensor.shape)}."
            )


def check_levels(energy: Energy, levels: Sized) -> None:
    """Refuse levels of noise that an energy does not know.

    :param energy: The energy; its attribute ``num_levels`` says how many it knows.
    :param levels: The levels.
    :raises EnergyError: If there is another number of them.

    Example:

        >>> check_levels(lambda x: x.sum(-1), (0.0, 1.0))
        Traceback (most recent call last):
            ...
        pyro_rm.energy_protocol.EnergyError: Expected an energy that knows 2 levels of noise, but \
got one of none. Give it num_levels=2, or wrap it by with_levels(energy, 2).
    """
    known, count = getattr(energy, "num_levels", None), len(levels)
    if known != count:
        raise EnergyError(
            f"Expected an energy that knows {count} levels of noise, but got one of "
            f"{known or 'none'}. Give it num_levels={count}, or wrap it by "
            f"with_levels(energy, {count})."
        )


_REPEATED: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def check_repeats(evaluate: Callable[[Tensor], Tensor], energy: Energy, encoded: Tensor) -> None:
    """Refuse modules that give the same data different energies: layers at each call, and two
    evaluations that differ, once for each module and its mode. Half of the batch is other data the
    second time, so that a datum whose energy depends on the others is noticed, too.

    :param evaluate: Maps encoded data to energies.
    :param energy: The energy.
    :param encoded: Encoded data.
    :raises EnergyError: If two evaluations differ.

    Example:

        >>> check_repeats(
        ...     lambda x: torch.rand(len(x)), nn.Linear(2, 1), torch.zeros(5, 2)
        ... )  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        pyro_rm.energy_protocol.EnergyError: Expected an energy that gives the same data the same \
value, but two evaluations differ, of which the second had other data in half of its batch. Remove \
dropout, normalization over the batch and other noise, or call .eval() on it.

    .. note:: Costs two energies a datum at the first call, and none later.
    """
    check_layers(energy)
    if not isinstance(energy, nn.Module) or _REPEATED.get(energy) == energy.training:
        return
    with torch.no_grad():
        first = evaluate(encoded)
        other, half = encoded.clone(), (len(first) + 1) // 2 if first.dim() else 0
        if half:
            other[half:] = encoded[:1]
            first = first[:half]
        second = evaluate(other)[:half] if half else evaluate(encoded)
    if not first.is_meta and not torch.allclose(first, second, rtol=1e-3, equal_nan=True):
        raise EnergyError(
            "Expected an energy that gives the same data the same value, but two evaluations "
            "differ, of which the second had other data in half of its batch. Remove dropout, "
            "normalization over the batch and other noise, or call .eval() on it."
        )
    _REPEATED[energy] = energy.training
