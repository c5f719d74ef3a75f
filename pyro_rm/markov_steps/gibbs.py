"""Gibbs sweeps: every site redrawn from its conditional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.energy_checks import is_validating
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.markov_steps import randomness
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.site_walks import Block, SiteWalk
from pyro_rm.target import Target


@dataclass(frozen=True)
class GibbsSweep(MarkovStep):
    """Redraw every active site once from its conditional, in a random order [1].

    Example:

        >>> from pyro_rm import StateSpace
        >>> from pyro_rm.markov_steps import Chains
        >>> target = Target.of(lambda x: -99 * x.sum(-1), StateSpace(4))
        >>> Chains(target, torch.zeros(1, 4), GibbsSweep()).run(1).encoded
        tensor([[1., 1., 1., 1.]])

    .. note:: Costs ``1 + (K - 1)`` energies a site; for pairwise energies one matrix product
        in all, and for a linear first layer the rest of the network only. The order is the
        same for all chains of a batch.

    **References**

    [1] Stuart Geman, Donald Geman (1984) "Stochastic relaxation, Gibbs distributions, and
        the Bayesian restoration of images", IEEE PAMI 6(6).
    """

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """One sweep over all active sites."""
        sites = [slice(site, site + 1) for site in range(target.space.num_sites)]
        moved = redraw_blocks(target, state.encoded, sites)
        return ChainState(moved, moved.new_ones(target.batch_shape_of(moved)))


def redraw_blocks(
    target: Target, encoded: Tensor, blocks: Sequence[Block], *, check: bool = False
) -> Tensor:
    """Redraw the sites of each block from their conditionals at once, in a random order.

    :param target: What the chains follow.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param blocks: Slices of one site, or index tensors of conditionally independent sites.
    :param check: Whether to look if the sites of a block interact, at a second set of gaps each.
    :returns: New chains.
    :raises EnergyError: If validation is on and gaps are not finite, or sites of a block interact.
    """
    space, active, validating = target.space, target.active, is_validating()
    if active is not None and not active.is_meta:
        moving = active.reshape(-1, space.num_sites).any(0)
        blocks = [block for block in blocks if moving[block].any()]
    walk = target.walk(encoded)
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
            if check and isinstance(block, Tensor):
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
