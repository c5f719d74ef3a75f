"""Gibbs sweeps: every site redrawn from its conditional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.energy_protocol import Context, Energy, EnergyError, is_validating
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import Transition, batch_shape_of, check_chains
from pyro_rm.site_walks import Block, SiteWalk, site_walk
from pyro_rm.state_space import StateSpace


@torch.no_grad()
def gibbs_sweep(
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    context: Context = (),
    active: Tensor | None = None,
) -> Tensor:
    """Redraw every site once from its conditional, in a random order [1].

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``; others are clamped.
    :returns: New chains, of the same shape. Leaves the model invariant.

    Example:

        >>> space = StateSpace(4)
        >>> gibbs_sweep(lambda x: -9 * x.sum(-1), space, torch.zeros(2, 4)).shape
        torch.Size([2, 4])

    .. note:: Costs ``1 + (K - 1)`` energies a site; for pairwise energies one matrix product
        in all, and for a linear first layer the rest of the network only. The order is the
        same for all chains of a batch.

    **References**

    [1] Stuart Geman, Donald Geman (1984) "Stochastic relaxation, Gibbs distributions, and
        the Bayesian restoration of images", IEEE PAMI 6(6).
    """
    sites = [slice(site, site + 1) for site in range(space.num_sites)]
    return redraw_blocks(energy, space, encoded, sites, context, active)


def redraw_blocks(
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    blocks: Sequence[Block],
    context: Context = (),
    active: Tensor | None = None,
) -> Tensor:
    """Redraw the sites of each block from their conditionals at once, in a random order.

    :param blocks: Slices of one site, or index tensors of conditionally independent sites.
    :returns: New chains.
    :raises EnergyError: If validation is on and gaps are not finite, or the sites of a block
        are seen to interact.
    """
    validating = is_validating()
    if validating:
        check_chains(energy, space, encoded, active)
    if active is not None:
        moving = active.reshape(-1, space.num_sites).any(0)
        blocks = [block for block in blocks if moving[block].any()]
    walk = site_walk(energy, space, encoded, context)
    largest: list[Tensor] = []
    exists = None if space.is_binary else space.category_mask(encoded.device)
    for number in randomness.shuffle(len(blocks)):
        block = blocks[number]
        gaps, before = walk.gaps(block), walk.at(walk.encoded, block)
        if exists is None:
            flips = randomness.flip_coins(gaps.sigmoid())
            values = torch.where(flips, torch.rsub(before, sum(space.states)), before)
        else:
            values = one_hot(randomness.choose(gaps.masked_fill(~exists[block], -torch.inf)), gaps)
        if active is not None:
            here = active[..., block] if exists is None else active[..., block, None]
            values = torch.where(here, values, before)
        walk.move(block, values.to(before.dtype))
        if validating:
            largest.append(gaps.abs().amax())
            if isinstance(block, Tensor):
                _check_independence(walk, block, before, gaps)
    if largest and not torch.stack(largest).isfinite().all():
        raise EnergyError(
            "Expected finite energy gaps, but got others. Lower the learning rate, clip "
            "gradients, or bound the parameters."
        )
    return walk.encoded


def _check_independence(walk: SiteWalk, block: Tensor, before: Tensor, gaps: Tensor) -> None:
    """Refuse blocks whose conditionals changed as the block itself moved."""
    exists = None if walk.space.is_binary else walk.space.category_mask(gaps.device)[block]

    def conditionals(values: Tensor, gaps: Tensor) -> Tensor:
        if exists is None:
            return torch.where(values == walk.space.states[0], gaps, -gaps)
        return gaps.masked_fill(~exists, -torch.inf).log_softmax(-1).masked_fill(~exists, 0.0)

    old = conditionals(before, gaps)
    new = conditionals(walk.at(walk.encoded, block), walk.gaps(block))
    tolerance = 10 * torch.finfo(gaps.dtype).eps ** 0.5  # energies are rounded
    changed = (old - new).abs() > tolerance * (1 + old.abs())
    if changed.any():
        position = changed.dim() - (1 if exists is None else 2)
        site = block[changed.nonzero()[0, position]].item()
        raise EnergyError(
            f"Expected conditionally independent sites of one color, but the conditional of "
            f"site {site} changed as the others moved. Color the graph of all interactions of "
            "the energy, by ColoredGibbs.from_graph or from_couplings, or use GibbsSweep()."
        )


def one_hot(categories: Tensor, table: Tensor) -> Tensor:
    """One-hot floats of chosen categories, like a table over them."""
    return torch.zeros_like(table).scatter_(-1, categories[..., None], 1.0)


@dataclass(frozen=True)
class GibbsSweep:
    """:func:`gibbs_sweep` as a :class:`~pyro_rm.markov_steps.MarkovStep`.

    Example:

        >>> space = StateSpace(4)
        >>> GibbsSweep()(lambda x: x.sum(-1), space, torch.zeros(2, 4)).acceptance
        tensor([1., 1.])
    """

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        encoded: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Transition:
        """One sweep over all active sites."""
        moved = gibbs_sweep(energy, space, encoded, context, active)
        return Transition(moved, moved.new_ones(batch_shape_of(space, moved)))
