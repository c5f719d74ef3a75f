"""Exact sums over all states of a small support, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energy_checks import check_layers
from pyro_rm.energy_protocol import EnergyError, fast_path
from pyro_rm.generic_paths import recomputed
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def states_at(space: StateSpace, index: Tensor) -> Tensor:
    """The states with given numbers, in mixed radix with the first site leading.

    :param space: The state space, of less than 2 ** 62 states.
    :param index: Integers below ``num_states``, any shape.
    :returns: Data of shape ``index.shape + (D,)``: floats if binary, else long codes.
    :raises ValueError: If the space has more states.

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
    space: StateSpace, *, chunk_size: int = 2**16, device: torch.device | None = None
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
    check_counts(chunk_size=chunk_size)
    for start in range(0, space.num_states, chunk_size):
        stop = min(start + chunk_size, space.num_states)
        yield states_at(space, torch.arange(start, stop, device=device))


class TooManyStatesError(ValueError):
    """An exact sum would run over more states than allowed."""

    @classmethod
    def of(cls, num_states: int, max_states: int) -> TooManyStatesError:
        """The error of a sum over so many states."""
        return cls(
            f"Expected a sum over at most {max_states} states, but got {num_states}; "
            "use annealed_importance_sampling, or raise max_states."
        )


def outer_energies(target: Target, left: Tensor, right: Tensor) -> Tensor:
    """Energies of the sums of every pair of partial states.

    :param target: Its energy's optional method ``outer_energies(left, right)`` is used if there
        is one: pairwise energies need one matrix product for the whole block.
    :param left: Encoded data that are zero at some sites, ``(L,) + encoded_shape``.
    :param right: The same, zero at all other sites, ``(R,) + encoded_shape``.
    :returns: Shape ``(L, R)``.

    Example:

        >>> left = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> outer_energies(Target.of(lambda x: x.sum(-1), StateSpace(2)), left, left.flip(-1))
        tensor([[0., 1.],
                [1., 2.]])

    .. note:: Costs one energy a pair, or one matrix product.
    """
    own = fast_path(target.energy, "outer_energies")
    return target(left[:, None] + right) if own is None else own(left, right)


@dataclass(frozen=True, eq=False)
class Enumeration:
    r"""Exact sums of an energy over all states, a block at a time.

    A block holds every combination of some *left* parts (the leading sites) with all
    *right* parts (the trailing ones), see :func:`outer_energies`.

    :param target: The energy and its space, without context or inactive sites.
    :param chunk_size: States a block, about; bounds the memory.

    Example:

        >>> Enumeration(Target.of(lambda x: 0 * x.sum(-1), StateSpace(3))).log_partition()
        tensor(2.0794)

    .. note:: A pass costs one energy a state. Nothing is kept but one number a block, also
        under differentiation, where the backward pass computes the blocks once more.
    """

    target: Target
    _: KW_ONLY
    chunk_size: int = 2**16

    def __post_init__(self) -> None:
        check_counts(chunk_size=self.chunk_size)
        check_layers(self.target.energy)

    @property
    def space(self) -> StateSpace:
        """The state space."""
        return self.target.space

    @property
    def _layout(self) -> tuple[int, int, int]:
        """The first right site, the number of right parts, and of left parts a block."""
        first, width = self.space.num_sites, 1
        while first > 0 and width * self.space.categories[first - 1] <= self.chunk_size**0.5:
            first -= 1
            width *= self.space.categories[first]
        return first, width, max(1, self.chunk_size // width)

    @property
    def num_blocks(self) -> int:
        """How many blocks cover the space."""
        _, width, rows = self._layout
        return -(-self.space.num_states // (width * rows))

    def block(self, number: int) -> Tensor:
        """Energies of the states of a block, in the order of :func:`states_at`, flat."""
        first, width, rows = self._layout
        stop = min((number + 1) * rows, self.space.num_states // width)
        device = self.target.device
        left = self._encoded(torch.arange(number * rows, stop, device=device) * width)
        right = self._encoded(torch.arange(width, device=device))
        left[:, first:] = 0
        right[:, :first] = 0
        energies = outer_energies(self.target, left, right).flatten()
        if not energies.detach().isfinite().all():
            raise EnergyError("Expected finite energies of all states, but got others.")
        return energies

    def log_partition(self) -> Tensor:
        """The logarithm of the partition function, differentiable in the energy."""
        return self.log_block_sums().logsumexp(0)

    def log_block_sums(self) -> Tensor:
        """Logarithms of the sums of ``exp(-E)`` over each block, ``(num_blocks,)``."""
        return self._over_blocks(lambda energies: (-energies).logsumexp(0))

    def mean_energy(self) -> Tensor:
        """The energy's expectation under the model, differentiable in the energy."""
        log_partition = self.log_partition()
        return self._over_blocks(lambda e: (e * (-e - log_partition).exp()).sum()).sum()

    @torch.no_grad()
    def draw(self, num_draws: int, log_block_sums: Tensor | None = None) -> Tensor:
        """Exact, independent draws.

        :param num_draws: How many.
        :param log_block_sums: What :meth:`log_block_sums` returned, to save that pass.
        :returns: Data, ``(num_draws, D)``.
        """
        check_counts(0, num_draws=num_draws)
        sums = self.log_block_sums() if log_block_sums is None else log_block_sums
        _, width, rows = self._layout
        chosen, counts = _categorical(sums.detach(), num_draws).unique(return_counts=True)
        index = [torch.empty(0, dtype=torch.long, device=sums.device)]
        for k, n in zip(chosen.tolist(), counts.tolist(), strict=True):
            index.append(k * width * rows + _categorical(-self.block(k), n))
        order = torch.randperm(num_draws, device=sums.device)
        return states_at(self.space, torch.cat(index)[order])

    def _encoded(self, index: Tensor) -> Tensor:
        return self.target.encode(states_at(self.space, index))

    def _over_blocks(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of the energies of each block, ``(num_blocks,)``."""

        def at(number: int) -> Tensor:
            return function(self.block(number))

        if self.num_blocks == 1 or not torch.is_grad_enabled():
            return torch.stack([at(k) for k in range(self.num_blocks)])
        return torch.stack([recomputed(at, k) for k in range(self.num_blocks)])


def _categorical(logits: Tensor, num_draws: int) -> Tensor:
    """Independent draws of indices, by inversion in double precision."""
    cumulative = logits.double().softmax(0).cumsum(0)
    uniform = torch.rand(num_draws, dtype=torch.float64, device=logits.device) * cumulative[-1]
    return torch.searchsorted(cumulative, uniform, right=True).clamp(max=len(logits) - 1)
