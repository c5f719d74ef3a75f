"""Restricted Boltzmann machines."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_rm.checks import check_counts
from pyro_rm.energies.linear_first import (
    LinearFirstEnergy,
    LinearFirstWalk,
    current_categories,
    own_minus_others,
    site_changes,
)
from pyro_rm.energy_protocol import wide
from pyro_rm.neighborhoods import Neighbors, at_neighbors
from pyro_rm.state_space import StateSpace


class RBMEnergy(LinearFirstEnergy):
    r"""Free energy of a restricted Boltzmann machine with binary hidden units [1].

    .. math::

        E(x) = -a^\top x - \sum_h \text{softplus}(b_h + w_h^\top x)

    The hidden units, with values 0 and 1, are summed out. Categorical sites are softmax
    units: ``weight`` has one row for each category of each site.

    :param num_sites: Number of visible sites :math:`D`.
    :param num_hidden: Number of hidden units :math:`H`.
    :param num_categories: Categories a site: one number, or one for each site.
    :param states: Values of a binary site, ``(0, 1)`` or ``(-1, 1)``.

    Example:

        >>> energy = RBMEnergy(num_sites=8, num_hidden=4)
        >>> energy(torch.zeros(5, 8)).shape
        torch.Size([5])

    .. note:: A neighbor costs :math:`H` elementwise operations; an energy, a matrix product.

    **References**

    [1] Paul Smolensky (1986) "Information processing in dynamical systems: foundations of
        harmony theory", in Parallel Distributed Processing 1, MIT Press.
    """

    def __init__(
        self,
        num_sites: int,
        num_hidden: int,
        *,
        num_categories: int | tuple[int, ...] = 2,
        states: tuple[float, float] = (0, 1),
    ) -> None:
        check_counts(num_hidden=num_hidden)
        space = StateSpace(num_sites, num_categories, states=states)
        super().__init__(space, num_hidden, centered=False)
        nn.init.normal_(self.weight, std=0.1 / num_sites**0.5)
        self.visible_bias = nn.Parameter(torch.zeros(space.encoded_shape))

    def trunk(self, features: Tensor) -> Tensor:
        """The hidden units' part of the energy."""
        return -softplus(features).sum(-1)

    def trunk_gaps(self, features: Tensor) -> Tensor:
        """Differences of trunks, subtracted for each hidden unit."""
        return -own_minus_others(wide(softplus(features))).sum(-1)

    def forward(self, x: Tensor) -> Tensor:
        """Free energies of encoded data, ``batch_shape``."""
        return super().forward(x) - self._visible(x)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Free energies of all sums of partial states, ``(L, R)``."""
        visible = self._visible(left)[:, None] + self._visible(right)
        return super().outer_energies(left, right) - visible

    def _visible(self, x: Tensor) -> Tensor:
        return (x * self.visible_bias).sum((-1,) if self.state_space.is_binary else (-2, -1))

    def energy_gaps(self, x: Tensor, neighbors: Neighbors) -> Tensor:
        """Gaps of given neighbors, ``neighbors + batch_shape``."""
        if neighbors.categories is None:
            step = site_changes(self.state_space, x, neighbors)
            visible = step * self.visible_bias[neighbors.sites]
        else:
            current = at_neighbors(current_categories(x), Neighbors(neighbors.sites))
            bias = self.visible_bias
            visible = bias[neighbors.sites, neighbors.categories] - bias[neighbors.sites, current]
        return super().energy_gaps(x, neighbors) + visible

    def site_walk(self, x: Tensor) -> LinearFirstWalk:
        """A walk from given chains that keeps the input of the hidden units."""
        return LinearFirstWalk(self, x, self.visible_bias)

    def hidden_logits(self, x: Tensor) -> Tensor:
        """Log odds of the hidden units given the visible ones, ``batch_shape + (H,)``."""
        return self.features(x)

    def visible_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the visible units given the hidden ones.

        :param hidden: Hidden units, ``batch_shape + (H,)``.
        :returns: Log odds of the second state, ``batch_shape + (D,)``, or logits of the
            categories, ``batch_shape + (D, K_max)``.
        """
        shape = self.visible_bias.shape
        inputs = (hidden @ self.weight.mT).view(*hidden.shape[:-1], *shape) + self.visible_bias
        low, high = self.state_space.states
        return (high - low) * inputs
