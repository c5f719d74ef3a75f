"""What serves energies that know nothing of themselves: batched neighbors, a backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pyro_rm.energy_protocol import Context, Energy, EnergyError, wide
from pyro_rm.neighborhoods import Neighbors, neighbor_states
from pyro_rm.state_space import StateSpace

Evaluate = Callable[[Tensor, Context], Tensor]


def evaluated_gaps(
    evaluate: Evaluate, space: StateSpace, encoded: Tensor, neighbors: Neighbors, context: Context
) -> Tensor:
    """Gaps by one batched evaluation of the data and of their neighbors.

    :param evaluate: Maps encoded states and their context to energies.
    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param neighbors: Which neighbors, ``neighbors + batch_shape``.
    :param context: Tensors of full batch rank.
    :returns: Shape ``neighbors + batch_shape``.

    .. note:: Costs one energy for each datum and each neighbor.
    """
    states = neighbor_states(space, encoded, neighbors)
    batch = neighbors.sites.shape[1:]
    datum = encoded.expand(states.shape[1:])[None]
    count = len(neighbors) + 1
    contexts = tuple(c.expand((count, *batch, *c.shape[len(batch) :])) for c in context)
    energies = wide(evaluate(torch.cat([datum, states]), contexts))
    return energies[:1] - energies[1:]


def backward_gradient(
    evaluate: Evaluate, encoded: Tensor, context: Context, *, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """Energies, detached, and their gradient in the data, by one backward pass.

    :param evaluate: Maps encoded states and their context to energies.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :param differentiable: Whether the gradient may be differentiated in the parameters.
    :returns: Shapes ``batch_shape`` and ``batch_shape + encoded_shape``.
    :raises EnergyError: If the gradient does not reach the data.

    .. note:: Costs one energy and its gradient in the data.
    """
    with recording():
        point = encoded.detach().clone().requires_grad_()
        values = evaluate(point, tuple(recordable(c) for c in context))
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(
                values.sum(), point, allow_unused=True, create_graph=differentiable
            )
    if gradient is None:
        raise EnergyError(
            "Expected an energy that is differentiable in x, but its gradient does not reach x "
            "(rounding, indexing or .detach() cut it). Use what needs no gradient, "
            "proposal='uniform' or GibbsSweep(), or compute the energy from x by "
            "differentiable operations."
        )
    return values.detach(), gradient


def evaluated_levels(
    evaluate: Evaluate, space: StateSpace, encoded: Tensor, num_levels: int, context: Context
) -> Tensor:
    """Energies at all levels of noise by one batched evaluation.

    :param evaluate: Maps encoded states and their context, a level last, to energies.
    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param num_levels: How many levels.
    :param context: Tensors of full batch rank, without the level.
    :returns: Shape ``batch_shape + (num_levels,)``.

    .. note:: Costs one energy for each datum and each level.
    """
    batch = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
    level = torch.arange(num_levels, device=encoded.device).view(-1, *(1 for _ in batch))
    copies = tuple(c.expand(num_levels, *c.shape) for c in context)
    wide = encoded.expand(num_levels, *encoded.shape)
    return evaluate(wide, (*copies, level.expand(num_levels, *batch))).movedim(0, -1)


class LeveledAt:
    """A leveled energy at a level, or between two of them by interpolation of their energies.

    :param energy: Takes a level as the last of its context.
    :param space: Its state space.
    :param position: From 0 to the number of levels less one.
    """

    def __init__(self, energy: Energy, space: StateSpace, position: float) -> None:
        self.energy, self.state_space, self.below = energy, space, int(position)
        self.share = position - self.below

    def __call__(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``."""
        rank = len(self.state_space.encoded_shape)
        level = torch.full(x.shape[: x.dim() - rank], self.below, device=x.device)
        value = self.energy(x, *context, level)
        if self.share == 0:
            return value
        above = self.energy(x, *context, level + 1)
        return (1 - self.share) * value + self.share * above


def recomputed(function: Callable[..., Tensor], *args: Any) -> Tensor:
    """The result of a call that the backward pass repeats, rather than keep what it needs.

    :param function: A deterministic function.
    :param args: Its arguments.
    :returns: Its result, differentiable.

    Example:

        >>> recomputed(torch.exp, torch.zeros(2, requires_grad=True)).sum().item()
        2.0

    .. note:: Costs a second call in the backward pass; in between it holds ``args`` only.
    """
    from torch.utils.checkpoint import checkpoint  # which imports sympy in torch 2.4

    result: Tensor = checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
    return result


@contextmanager
def recording() -> Iterator[None]:
    """Record operations for a gradient in the data, even where no other gradient is wanted.

    Example:

        >>> with torch.inference_mode(), recording():
        ...     torch.ones(2, requires_grad=True).sum().requires_grad
        True
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def recordable(tensor: Tensor) -> Tensor:
    """The same numbers, even if they were made under :func:`torch.inference_mode`.

    :param tensor: Any tensor.
    :returns: It, or a copy that may enter a gradient.

    Example:

        >>> with torch.inference_mode():
        ...     made = torch.ones(2)
        >>> made.is_inference(), recordable(made).is_inference()
        (True, False)
    """
    return tensor.clone() if tensor.is_inference() else tensor
