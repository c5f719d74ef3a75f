"""Tensors that are handed over."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def check_real(value: Any, what: str = "data") -> None:
    """Refuse what is no tensor, or holds complex numbers.

    :param value: What was given.
    :param what: What it should be.
    :raises TypeError: If it is no tensor of real numbers.

    Example:

        >>> check_real([0.0, 1.0])
        Traceback (most recent call last):
            ...
        TypeError: Expected data as a tensor of real numbers, but got list.
    """
    if not isinstance(value, Tensor) or value.dtype.is_complex:
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"Expected {what} as a tensor of real numbers, but got {kind}.")


def check_sizes(num_nodes: Any, most: int | None = None) -> None:
    """Refuse what are no numbers of nodes.

    :param num_nodes: What was given.
    :param most: The largest that fits.
    :raises TypeError: If it is no tensor of integers.
    :raises ValueError: If one is negative or too large.

    Example:

        >>> import torch
        >>> check_sizes(torch.tensor([2, 5]), 4)
        Traceback (most recent call last):
            ...
        ValueError: Expected at most 4 nodes, but got 5.
    """
    check_real(num_nodes, "numbers of nodes")
    if num_nodes.is_floating_point() or num_nodes.dtype == torch.bool:
        raise TypeError(f"Expected numbers of nodes as integers, but got {num_nodes.dtype}.")
    if num_nodes.numel() > 0 and num_nodes.min() < 0:
        raise ValueError(f"Expected positive numbers of nodes, but got {int(num_nodes.min())}.")
    if most is not None and num_nodes.numel() > 0 and num_nodes.max() > most:
        raise ValueError(f"Expected at most {most} nodes, but got {int(num_nodes.max())}.")


def check_active(active: Any, shape: torch.Size) -> None:
    """Refuse masks of sites that do not fit.

    :param active: What was given.
    :param shape: Shape of the data, ``batch_shape + (D,)``.
    :raises TypeError: If it is no tensor of booleans.
    :raises ValueError: If it does not broadcast with the data.

    Example:

        >>> check_active(torch.ones(3), torch.Size([3]))
        Traceback (most recent call last):
            ...
        TypeError: Expected active as a tensor of booleans, but got torch.float32.
    """
    if not isinstance(active, Tensor) or active.dtype != torch.bool:
        kind = active.dtype if isinstance(active, Tensor) else type(active).__name__
        raise TypeError(f"Expected active as a tensor of booleans, but got {kind}.")
    try:
        fits = torch.broadcast_shapes(shape, active.shape)[-1:] == shape[-1:]
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"Expected active to broadcast to batch_shape + (D,) = {tuple(shape)}, but got "
            f"{tuple(active.shape)}: True where a site may change."
        )


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
