"""The other side of a restricted Boltzmann machine: its visible units summed out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_rm.energies.rbm import RBMEnergy
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class RBMHiddenEnergy:
    r"""Free energy of the *hidden* units of a restricted Boltzmann machine.

    .. math::

        E(h) = -b^\top h - \sum_i \log \sum_{x_i} e^{x_i (a_i + W_i h)}

    Its partition function is that of :math:`E(x)`, so that a machine with many visible and
    few hidden units is normalized exactly.

    :param rbm: The machine; its parameters are shared.

    Example:

        >>> rbm = RBMEnergy(num_sites=100, num_hidden=3)
        >>> RBMHiddenEnergy(rbm)(torch.zeros(5, 3)).shape
        torch.Size([5])

    .. note:: An energy costs a matrix product, as one of the visible units does.
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

    def __call__(self, hidden: Tensor) -> Tensor:
        """Energies of hidden states, ``batch_shape``."""
        return self._energies(self.rbm.visible_logits(hidden), hidden @ self.rbm.bias)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``."""
        rest = self.rbm.visible_logits(right) - self.rbm.visible_logits(0 * right[:1])
        bias = (left @ self.rbm.bias)[:, None] + right @ self.rbm.bias
        return self._energies(self.rbm.visible_logits(left)[:, None] + rest, bias)

    @torch.no_grad()
    def draw_visible(self, hidden: Tensor) -> Tensor:
        """Visible data given hidden states, ``batch_shape + (D,)``."""
        space = self.rbm.state_space
        logits = self.rbm.visible_logits(hidden)
        if space.is_binary:
            low, high = space.states
            return low + (high - low) * torch.bernoulli(logits.sigmoid())
        logits = logits.masked_fill(~space.category_mask(logits.device), -torch.inf)
        probabilities = logits.softmax(-1).flatten(0, -2)
        return torch.multinomial(probabilities, 1).view(logits.shape[:-1])

    def _energies(self, logits: Tensor, bias: Tensor) -> Tensor:
        space = self.rbm.state_space
        if space.is_binary:
            low, high = space.states  # logits are of the second state
            sums = softplus(logits) + low / (high - low) * logits
        else:
            mask = space.category_mask(logits.device)
            sums = logits.masked_fill(~mask, -torch.inf).logsumexp(-1)
        return -bias - sums.sum(-1)
