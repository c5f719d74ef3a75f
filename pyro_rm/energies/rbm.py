"""Restricted Boltzmann machines."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

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
from pyro_rm.energy_protocol import Energy, wide
from pyro_rm.enumeration import Enumeration, TooManyStatesError
from pyro_rm.neighborhoods import Neighbors, at_neighbors
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


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

    def trunk(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """The hidden units' part of the energy."""
        return -softplus(features).sum(-1)

    def trunk_gaps(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Differences of trunks, subtracted for each hidden unit."""
        return -own_minus_others(wide(softplus(features))).sum(-1)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Free energies of encoded data, ``batch_shape``."""
        return super().forward(x) - self._visible(x)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Free energies of all sums of partial states, ``(L, R)``."""
        visible = self._visible(left)[:, None] + self._visible(right)
        return super().outer_energies(left, right) - visible

    def _visible(self, x: Tensor) -> Tensor:
        return (x * self.visible_bias).sum((-1,) if self.state_space.is_binary else (-2, -1))

    def energy_gaps(  # type: ignore[override]
        self, x: Tensor, neighbors: Neighbors
    ) -> Tensor:
        """Gaps of given neighbors, ``neighbors + batch_shape``."""
        if neighbors.categories is None:
            step = site_changes(self.state_space, x, neighbors)
            visible = step * self.visible_bias[neighbors.sites]
        else:
            current = at_neighbors(current_categories(x), Neighbors(neighbors.sites))
            bias = self.visible_bias
            visible = bias[neighbors.sites, neighbors.categories] - bias[neighbors.sites, current]
        return super().energy_gaps(x, neighbors) + visible

    def site_walk(self, x: Tensor) -> LinearFirstWalk:  # type: ignore[override]
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

    def log_partition(self, max_states: int) -> Tensor | None:
        """By a sum over the hidden units, where it is the smaller one; else None."""
        sums = self._hidden_sum(max_states)
        return None if sums is None else sums.log_partition()

    def exact_samples(self, num_samples: int, max_states: int) -> Tensor | None:
        """By exact draws of the hidden units, where their sum is the smaller one; else None."""
        sums = self._hidden_sum(max_states)
        if sums is None:
            return None
        return self.draw_visible(sums.draw(num_samples).to(self.weight.dtype))

    @torch.no_grad()
    def draw_visible(self, hidden: Tensor) -> Tensor:
        """Visible data given hidden states, ``batch_shape + (D,)``."""
        space, logits = self.state_space, self.visible_logits(hidden)
        if space.is_binary:
            low, high = space.states
            return low + (high - low) * torch.bernoulli(logits.sigmoid())
        logits = logits.masked_fill(~space.category_mask(logits.device), -torch.inf)
        probabilities = logits.softmax(-1).flatten(0, -2)
        return torch.multinomial(probabilities, 1).view(logits.shape[:-1])

    def path_from(self, base: Any) -> Callable[[float], Energy] | None:
        r"""Machines between independent sites and this one, whose parameters are interpolated [2].

        :param base: Has ``fields``, such as
            :class:`~pyro_rm.evaluation.IndependentSites`; others give None.
        :returns: A function from :math:`\beta` to a machine, valid until the next call.

        **References**

        [2] Ruslan Salakhutdinov, Iain Murray (2008) "On the quantitative analysis of deep
            belief networks", ICML.
        """
        fields = getattr(base, "fields", None)
        if not isinstance(fields, Tensor):
            return None
        member = deepcopy(self).requires_grad_(False)
        ends = {name: end.detach().clone() for name, end in self.named_parameters()}
        start = fields.to(self.visible_bias)

        def at(beta: float) -> Energy:
            with torch.no_grad():
                for name, parameter in member.named_parameters():
                    parameter.copy_(beta * ends[name])
                member.visible_bias.add_((1 - beta) * start)
            return member

        return at

    def _hidden_sum(self, max_states: int) -> Enumeration | None:
        """The sum over the hidden units; None where that over the visible ones is smaller."""
        hidden = RBMHiddenEnergy(self)
        space = hidden.state_space
        if space.num_states >= self.state_space.num_states:
            return None
        if space.num_states > max_states:
            raise TooManyStatesError.of(space.num_states, max_states)
        # a hidden state costs as much memory as there are visible units
        size = max(2**8, 2**22 // self.state_space.encoded_shape.numel())
        return Enumeration(Target.of(hidden), chunk_size=size)


@dataclass(frozen=True, eq=False)
class RBMHiddenEnergy:
    r"""Free energy of the *hidden* units of a restricted Boltzmann machine.

    .. math::

        E(h) = -b^\top h - \sum_i \log \sum_{x_i} e^{x_i (a_i + W_i h)}

    Its partition function is that of :math:`E(x)`, so that a machine with many visible and
    few hidden units is normalized exactly.

    :param rbm: The machine; its parameters are shared.
    """

    rbm: RBMEnergy

    @property
    def state_space(self) -> StateSpace:
        """Binary, one site for each hidden unit."""
        return StateSpace(self.rbm.bias.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.rbm.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.rbm.weight.device

    def __call__(self, hidden: Tensor) -> Tensor:
        """Energies of hidden states, ``batch_shape``."""
        return self._energies(self.rbm.visible_logits(hidden), hidden @ self.rbm.bias)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``."""
        rest = self.rbm.visible_logits(right) - self.rbm.visible_logits(0 * right[:1])
        bias = (left @ self.rbm.bias)[:, None] + right @ self.rbm.bias
        return self._energies(self.rbm.visible_logits(left)[:, None] + rest, bias)

    def _energies(self, logits: Tensor, bias: Tensor) -> Tensor:
        space = self.rbm.state_space
        if space.is_binary:
            low, high = space.states  # logits are of the second state
            sums = softplus(logits) + low / (high - low) * logits
        else:
            mask = space.category_mask(logits.device)
            sums = logits.masked_fill(~mask, -torch.inf).logsumexp(-1)
        return -bias - sums.sum(-1)
