"""Parameters that have a row for each level of noise."""

from __future__ import annotations

from torch import Tensor

from pyro_rm.energy_protocol import EnergyError


def level_rows(table: Tensor, level: Tensor | None = None) -> Tensor:
    """The rows of given levels.

    :param table: One row a level, ``(L, ...)``.
    :param level: Integers, ``batch_shape``; None: level 0, the data's.
    :returns: Shape ``batch_shape + ...``, without the batch if the level is None.
    :raises EnergyError: If the levels are not integers.

    Example:

        >>> import torch
        >>> level_rows(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 0]))
        tensor([[2.],
                [1.]])
    """
    if level is None:
        return table[0]
    if level.is_floating_point():
        raise EnergyError(
            f"Expected levels of noise as integers, but got {level.dtype}. In a sum with other "
            "context say what comes before the level: SumEnergy((1.0, energy, slice(1, None)))."
        )
    return table[level]


def between_rows(table: Tensor, position: float) -> Tensor:
    """The row of a level, or between two of them, detached.

    :param table: One row a level, ``(L, ...)``.
    :param position: From 0 to ``L - 1``.
    :returns: Shape ``...``.
    """
    below = min(int(position), len(table) - 1)
    share = position - below
    low = table[below].detach()
    return low if share == 0 else low.lerp(table[below + 1].detach(), share)
