"""What a neighbor is: a flip of a binary site, a substitution at a categorical one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.state_space import StateSpace

__all__ = ["Neighbors"]


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Some neighbors of every datum of a batch: which site changes, and to what.

    :param sites: Indices of sites, of shape ``neighbors + batch_shape`` (one leading
        dimension).
    :param categories: New categories, of the same shape; None if binary.
    """

    sites: Tensor
    categories: Tensor | None = None

    def __len__(self) -> int:
        return self.sites.shape[0]

    def slice(self, start: int, stop: int) -> Neighbors:
        """The neighbors from ``start`` to ``stop`` along the leading dimension."""
        categories = None if self.categories is None else self.categories[start:stop]
        return Neighbors(self.sites[start:stop], categories)


def all_neighbors(space: StateSpace, encoded: Tensor) -> tuple[Neighbors, Tensor]:
    r"""Every neighbor of every datum: :math:`D` flips, or :math:`D (K_{max} - 1)` substitutions.

    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :returns: The neighbors, and which of them exist (of the shape of ``sites``, or one
        that broadcasts to it): sites with fewer categories have fewer neighbors.

    Example:

        >>> neighbors, exists = all_neighbors(StateSpace(3), torch.zeros(5, 3))
        >>> neighbors.sites.shape
        torch.Size([3, 5])
    """
    batch_shape = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
    sites = torch.arange(space.num_sites, device=encoded.device)
    sites = sites.view((-1,) + (1,) * len(batch_shape)).expand((-1, *batch_shape))
    return substitutions(space, encoded, sites)


def substitutions(space: StateSpace, encoded: Tensor, sites: Tensor) -> tuple[Neighbors, Tensor]:
    """Every neighbor at the given sites, in blocks of one substitution each.

    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param sites: Indices of sites, ``(s,) + batch_shape``.
    :returns: The ``s * (K_max - 1)`` neighbors, substitution-major, and which exist.
    """
    if space.is_binary:
        return Neighbors(sites), torch.ones((), dtype=torch.bool, device=sites.device)
    current = encoded.argmax(-1).movedim(-1, 0)  # (D,) + batch_shape
    current = current.expand((current.shape[0], *sites.shape[1:])).gather(0, sites)
    counts = space.category_mask(sites.device).sum(1)[sites]
    offset = torch.arange(1, space.max_categories, device=sites.device)
    offset = offset.view((-1,) + (1,) * sites.dim())
    categories = ((current + offset) % counts).flatten(0, 1)
    exists = (offset < counts).flatten(0, 1)
    repeated = sites.expand((offset.shape[0], *sites.shape)).flatten(0, 1)
    return Neighbors(repeated, categories), exists


def neighbor_states(space: StateSpace, encoded: Tensor, neighbors: Neighbors) -> Tensor:
    """The states that the neighbors are.

    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param neighbors: Which neighbors, ``neighbors + batch_shape``.
    :returns: Shape ``neighbors + batch_shape + encoded_shape``; a copy.

    Example:

        >>> x = torch.tensor([1.0, 0.0])
        >>> neighbor_states(StateSpace(2), x, Neighbors(torch.tensor([0, 1])))
        tensor([[0., 0.],
                [1., 1.]])
    """
    shape = neighbors.sites.shape + space.encoded_shape
    states = encoded.expand(shape).clone()
    if neighbors.categories is None:
        site = neighbors.sites[..., None]
        total = float(space.states[0] + space.states[1])
        return states.scatter_(-1, site, total - states.gather(-1, site))
    site = neighbors.sites[..., None, None].expand((*shape[:-2], 1, shape[-1]))
    new = torch.nn.functional.one_hot(neighbors.categories, shape[-1]).to(states.dtype)
    return states.scatter_(-2, site, new[..., None, :])


def at_neighbors(table: Tensor, neighbors: Neighbors) -> Tensor:
    """Read a table with an entry for every flip or every category of every site.

    :param table: Shape ``batch_shape + encoded_shape``.
    :param neighbors: Which neighbors, ``neighbors + batch_shape``.
    :returns: The entries, ``neighbors + batch_shape``.
    """
    index = neighbors.sites
    if neighbors.categories is not None:
        index = index * table.shape[-1] + neighbors.categories
        table = table.flatten(-2)
    table = table.expand((*index.shape[1:], table.shape[-1]))
    return table.gather(-1, index.movedim(0, -1)).movedim(-1, 0)


def linear_gaps(space: StateSpace, encoded: Tensor, table: Tensor) -> Tensor:
    r"""Gaps to all neighbors under the linear energy :math:`-\langle x, t \rangle`.

    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param table: :math:`t`, which broadcasts to ``encoded``.
    :returns: Shape of ``encoded``; 0 at current categories.

    Example:

        >>> linear_gaps(StateSpace(2), torch.tensor([0.0, 1.0]), torch.tensor([3.0, 5.0]))
        tensor([ 3., -5.])
    """
    if space.is_binary:
        return torch.rsub(encoded, sum(space.states), alpha=2) * table
    return table - (encoded * table).sum(-1, keepdim=True)


def candidates(
    space: StateSpace, encoded: Tensor, active: Tensor | None, *, sites: bool = False
) -> Tensor | None:
    """Which flips or substitutions may be visited.

    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``, or None.
    :param sites: Whether the candidates are sites rather than neighbors.
    :returns: Booleans of shape ``batch_shape + (D,)`` (binary, or sites) or
        ``batch_shape + (D, K_max)``; None if every entry is a candidate.
    """
    batch_shape = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
    if active is not None:
        active = active.expand((*batch_shape, space.num_sites))
    if space.is_binary or sites:
        return active
    possible = space.category_mask(encoded.device) & (encoded == 0)
    return possible if active is None else possible & active[..., None]
