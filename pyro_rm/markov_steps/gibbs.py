"""Gibbs sweeps: every site redrawn from its conditional."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.energy_gaps import Context, Energy, energy_gaps
from pyro_rm.markov_steps.transition import Transition
from pyro_rm.neighborhoods import neighbor_states, substitutions
from pyro_rm.state_space import StateSpace


def site_conditionals(
    energy: Energy, space: StateSpace, encoded: Tensor, site: int, context: Context = ()
) -> tuple[Tensor, Tensor]:
    """What a site can become, with the model's conditional probabilities.

    :param energy: The energy.
    :param space: Its state space.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param site: Index of the site.
    :param context: Tensors of full batch rank.
    :returns: States, ``(K,) + batch_shape + encoded_shape`` with the current one first, and
        their probabilities, ``(K,) + batch_shape``.

    .. note:: Costs one energy and one for each other value of the site.
    """
    batch_shape = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
    sites = torch.full((1, *batch_shape), site, device=encoded.device)
    neighbors, exists = substitutions(space, encoded, sites)
    gaps = energy_gaps(energy, space, encoded, neighbors, context)
    gaps = gaps.masked_fill(~exists.expand(gaps.shape), -torch.inf)
    logits = torch.cat([torch.zeros_like(gaps[:1]), gaps])
    states = torch.cat([encoded[None], neighbor_states(space, encoded, neighbors)])
    return states, logits.softmax(0)


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

    .. note:: Costs ``1 + (K - 1)`` energies a site.

    **References**

    [1] Stuart Geman, Donald Geman (1984) "Stochastic relaxation, Gibbs distributions, and
        the Bayesian restoration of images", IEEE PAMI 6(6).
    """
    for site in torch.randperm(space.num_sites).tolist():
        states, probabilities = site_conditionals(energy, space, encoded, site, context)
        chosen = torch.multinomial(probabilities.flatten(1).T, 1).view(probabilities.shape[1:])
        index = chosen.view((1, *chosen.shape) + (1,) * len(space.encoded_shape))
        new = states.gather(0, index.expand((1, *encoded.shape)))[0]
        if active is not None:
            keep = active.expand((*chosen.shape, space.num_sites))[..., site]
            new = torch.where(keep.view(index.shape[1:]), new, encoded)
        encoded = new
    return encoded


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
        return Transition(moved, moved.new_ones(moved.shape[: -len(space.encoded_shape)]))
