"""Every random decision of the Markov steps, so that a test can enumerate them all."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(logits: Tensor) -> Tensor:
    """Draw one of the entries along the last dimension, by inverting their sums.

    :param logits: Log probabilities up to a constant, ``shape + (n,)``; may be ``-inf``.
    :returns: Indices, ``shape``.

    Example:

        >>> choose(torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]]))
        tensor([0, 1])
    """
    sums = _at_least_single(logits).softmax(-1).cumsum(-1)
    total = sums[..., -1:]
    chosen = torch.searchsorted(sums, torch.rand_like(total) * total, right=True)[..., 0]
    return chosen.clamp(max=logits.shape[-1] - 1)  # not a number where the logits are none


def flip_coins(probabilities: Tensor) -> Tensor:
    """Draw independent booleans.

    :param probabilities: Of True, any shape.
    :returns: Booleans of the same shape.

    Example:

        >>> flip_coins(torch.tensor([0.0, 1.0]))
        tensor([False,  True])
    """
    probabilities = _at_least_single(probabilities)
    return torch.rand_like(probabilities) < probabilities


def shuffle(count: int) -> list[int]:
    """Draw a random order, the same for all chains.

    :param count: How many there are to order.
    :returns: The numbers from 0 to ``count - 1``.

    Example:

        >>> sorted(shuffle(3))
        [0, 1, 2]
    """
    return torch.randperm(count).tolist()


def _at_least_single(table: Tensor) -> Tensor:
    """Uniform draws in half precision are too coarse for small probabilities."""
    return table if table.element_size() >= 4 else table.float()
