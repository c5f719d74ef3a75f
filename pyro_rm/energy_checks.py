"""Checks of what an energy is and of what it returns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rm.energy_protocol import Context, Energy, EnergyError, space_of
from pyro_rm.state_space import StateSpace


def check_energies(
    result: Tensor, batch_shape: torch.Size, input_shape: tuple[int, ...], what: str = "energy"
) -> None:
    """Refuse energies of the wrong shape or type, and those that are not finite.

    :param result: What the energy gave.
    :param batch_shape: The shape it should have.
    :param input_shape: The shape of what it was given, for the message.
    :param what: Its name in the message.
    :raises EnergyError: If it does not fit.

    Example:

        >>> check_energies(torch.zeros(5), torch.Size([5]), (5, 3))
    """
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
            "Lower the learning rate, clip gradients, or bound the parameters."
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
