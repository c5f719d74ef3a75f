"""Exact sums over all states of a small support, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pyro_rm.state_space import StateSpace


def states_at(space: StateSpace, index: Tensor) -> Tensor:
    """The states with given numbers, in mixed radix with the first site leading.

    :param space: The state space, of less than 2 ** 62 states.
    :param index: Integers below ``num_states``, any shape.
    :returns: Data of shape ``index.shape + (D,)``: floats if binary, else long codes.

    Example:

        >>> states_at(StateSpace(2), torch.arange(4))
        tensor([[0., 0.],
                [0., 1.],
                [1., 0.],
                [1., 1.]])
    """
    if space.num_states >= 2**62:
        raise ValueError(f"Expected less than 2 ** 62 states, but got {space.num_states}.")
    sizes = torch.tensor((*space.categories[1:], 1), device=index.device)
    place = sizes.flip(0).cumprod(0).flip(0)
    codes = index[..., None] // place % torch.tensor(space.categories, device=index.device)
    if not space.is_binary:
        return codes
    low, high = space.states
    return low + (high - low) * codes.to(torch.get_default_dtype())


def index_of(space: StateSpace, value: Tensor) -> Tensor:
    """The numbers of given states, the inverse of :func:`states_at`.

    :param space: The state space, of less than 2 ** 62 states.
    :param value: Data, ``batch_shape + (D,)``.
    :returns: Integers, ``batch_shape``.

    Example:

        >>> index_of(StateSpace(2), torch.tensor([1.0, 0.0]))
        tensor(2)
    """
    codes = (value == space.states[1]).long() if space.is_binary else value.long()
    sizes = torch.tensor((*space.categories[1:], 1), device=value.device)
    return (codes * sizes.flip(0).cumprod(0).flip(0)).sum(-1)


def state_chunks(
    space: StateSpace, chunk_size: int = 2**16, device: torch.device | None = None
) -> Iterator[Tensor]:
    """All states, in chunks.

    :param space: The state space.
    :param chunk_size: States a chunk.
    :param device: Where to put them.
    :returns: An iterator over tensors of shape ``(chunk_size, D)``, the last one shorter.

    Example:

        >>> sum(len(states) for states in state_chunks(StateSpace(5), chunk_size=10))
        32
    """
    for start in range(0, space.num_states, chunk_size):
        stop = min(start + chunk_size, space.num_states)
        yield states_at(space, torch.arange(start, stop, device=device))
