r"""The one protocol on energies: the gaps :math:`E(x) - E(x')` of given neighbors.

An energy is a callable on encoded data, ``batch_shape + encoded_shape`` to
``batch_shape``; its leading dimensions broadcast. Two optional methods make it fast:

- ``energy_gaps(encoded, neighbors)``: gaps of given neighbors, ``neighbors + batch_shape``;
- ``gap_table(encoded)``: gaps of *all* flips (``batch_shape + (D,)``) or of all categories
  of all sites (``batch_shape + (D, K_max)``), at about the cost of one energy.

With a context both take it as their last argument. Everything else falls back to one
batched evaluation of the neighbors, and so does a subclass that overrides ``forward`` but not
these methods.

A third, ``prepared_at(encoded)``, may return the energy with what it needs of given data computed
once, for guidance and neighbors alike; see :class:`~pyro_rm.energies.LinearFirstEnergy`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_rm.energy_protocol import (
    Context,
    Energy,
    check_energies,
    evaluate_energy,
    fast_path,
    is_validating,
    wide,
)
from pyro_rm.neighborhoods import Neighbors, all_neighbors, neighbor_states
from pyro_rm.state_space import StateSpace

__all__ = ["energy_gaps", "exact_gap_table", "generic_energy_gaps", "has_gap_table", "prepared_at"]


def has_gap_table(energy: Energy) -> bool:
    """Whether the energy gives all its gaps at about the cost of one evaluation.

    :param energy: An energy.
    :returns: Whether it has a ``gap_table``.

    Example:

        >>> has_gap_table(lambda x: x.sum(-1))
        False

    .. note:: Costs no energy.
    """
    exists = fast_path(energy, "gap_table") is not None
    return exists and getattr(energy, "has_gap_table", True)


def prepared_at(energy: Energy, encoded: Tensor, context: Context = ()) -> Energy:
    """The energy with what it needs of given data computed once, where it offers that.

    :param energy: The energy.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :returns: What its ``prepared_at`` gives, else the energy.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> energy, x = MLPEnergy(3, (4,)), torch.zeros(2, 3)
        >>> near = prepared_at(energy, x)  # one product with the first layer for both
        >>> neighbors, _ = all_neighbors(energy.state_space, x)
        >>> torch.equal(near.energy_gaps(x, neighbors), energy.energy_gaps(x, neighbors))
        True

    .. note:: Costs a part of one energy, which gaps at these data then do not cost.
    """
    own = fast_path(energy, "prepared_at")
    kept: Energy = energy if own is None else own(encoded, *context)
    return kept


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
    :raises EnergyError: As :func:`~pyro_rm.energy_protocol.evaluate_energy`.

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
    own = fast_path(energy, "energy_gaps")
    if own is not None:
        gaps = own(encoded, neighbors, *context)
        if is_validating():
            check_energies(gaps, neighbors.sites.shape, tuple(encoded.shape))
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
        check_energies(table, encoded.shape, tuple(encoded.shape), "gap table")
    return table


def exact_gap_table(
    energy: Energy, space: StateSpace, encoded: Tensor, context: Context = ()
) -> Tensor:
    """Gaps to all flips or categories; 0 at current and missing categories.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :returns: Shape of ``encoded``.

    .. note:: Costs one evaluation where gaps are in closed form, else one for each neighbor.
    """
    if has_gap_table(energy):
        return gap_table(energy, encoded, context)
    neighbors, exists = all_neighbors(space, encoded)
    gaps = energy_gaps(energy, space, encoded, neighbors, context).movedim(0, -1)
    if neighbors.categories is None:
        return gaps
    gaps = gaps * exists.movedim(0, -1)
    index = neighbors.sites * space.max_categories + neighbors.categories
    table = gaps.new_zeros((*gaps.shape[:-1], space.encoded_shape.numel()))
    return table.scatter_add(-1, index.movedim(0, -1), gaps).view(encoded.shape)
