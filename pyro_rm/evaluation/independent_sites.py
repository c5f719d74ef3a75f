"""Independent sites: the baseline of every comparison, and where annealing starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_rm.checks import check_counts
from pyro_rm.energies import PairwiseFunction
from pyro_rm.energies.sums import Summable
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class IndependentSites(Summable):
    r"""A product of Bernoulli or categorical sites; an energy with :math:`\log Z = 0`.

    :param logits: Binary: :math:`\log p(x_i = \text{high}) - \log p(x_i = \text{low})`,
        ``(D,)``. Categorical: :math:`\log p(x_i = k)`, ``(D, K_max)``, and any finite value
        for categories that a site does not have.
    :param state_space: The space.
    :raises ValueError: If the shape does not fit, or a logit is not finite.

    Example:

        >>> sites = IndependentSites.fit(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), StateSpace(2))
        >>> sites.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor(0.4167)
    """

    logits: Tensor
    state_space: StateSpace

    def __post_init__(self) -> None:
        if self.logits.shape != self.state_space.encoded_shape:
            raise ValueError(
                f"Expected logits of shape {tuple(self.state_space.encoded_shape)}, but got "
                f"{tuple(self.logits.shape)}."
            )
        if not self.logits.isfinite().all():
            raise ValueError(
                "Expected finite logits, but got others: a site with a value of probability 0 "
                "does not overlap with any model. Smooth the probabilities."
            )

    @classmethod
    def fit(
        cls, data: Tensor, state_space: StateSpace, *, smoothing: float = 1.0
    ) -> IndependentSites:
        """The maximum likelihood fit, smoothed.

        :param data: Data, ``batch_shape + (D,)``.
        :param state_space: Their space.
        :param smoothing: Pseudo-counts a site, spread over its values; positive.
        """
        state_space.validate(data)
        data = data.flatten(0, -2) if data.dim() > 1 else data[None]
        if not smoothing > 0:
            raise ValueError(f"Expected smoothing to be positive, but got {smoothing}.")
        if state_space.is_binary:
            high = (data == state_space.states[1]).sum(0) + smoothing / 2
            low = len(data) + smoothing - high
            return cls((high.log() - low.log()).to(torch.get_default_dtype()), state_space)
        sizes = torch.tensor(state_space.categories, device=data.device)[:, None]
        dtype = torch.get_default_dtype()
        counts = state_space.encode(data, dtype).sum(0) + smoothing / sizes
        return cls((counts / (len(data) + smoothing)).log(), state_space)

    @classmethod
    def uniform(cls, state_space: StateSpace) -> IndependentSites:
        """Every state alike."""
        logits = torch.zeros(state_space.encoded_shape)
        if not state_space.is_binary:
            logits -= torch.tensor(state_space.categories)[:, None].log()
        return cls(logits, state_space)

    @property
    def fields(self) -> Tensor:
        """What multiplies the encoded sites in the log probability."""
        if not self.state_space.is_binary:
            return self.logits
        low, high = self.state_space.states
        return self.logits / (high - low)

    def __call__(self, encoded: Tensor) -> Tensor:
        """Energies, here ``-log p``, of encoded data; ``batch_shape``."""
        return self.site_energies(encoded).sum(-1)

    def site_energies(self, encoded: Tensor) -> Tensor:
        """What each site adds to the energy, ``batch_shape + (D,)``."""
        if not self.state_space.is_binary:
            return -(encoded * self.logits).sum(-1)
        return self._constants() - encoded * self.fields

    def _constants(self) -> Tensor:
        """What normalizes each binary site."""
        return softplus(self.logits) + self.state_space.states[0] * self.fields

    def gap_table(self, encoded: Tensor) -> Tensor:
        """Gaps of all flips or substitutions, in the shape of ``encoded``."""
        return linear_gaps(self.state_space, encoded, self.fields)

    def linear_fields(self) -> Tensor:
        """The fields."""
        return self.fields

    def pairwise(self) -> PairwiseFunction:
        """A function without couplings."""
        space = self.state_space
        none = self.logits.new_zeros(()).expand(*space.encoded_shape, *space.encoded_shape)
        constant = self._constants().sum() if space.is_binary else 0.0
        return PairwiseFunction(none, self.fields, space, constant)

    def to(self, device: torch.device | None) -> IndependentSites:
        """The same on another device; where it is if None."""
        return replace(self, logits=self.logits.to(device))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probabilities of data, ``batch_shape``."""
        self.state_space.validate(value)
        return -self(self.state_space.encode(value, self.logits.dtype))

    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, D)``."""
        check_counts(0, num_samples=num_samples)
        if self.state_space.is_binary:
            low, high = self.state_space.states
            p = self.logits.sigmoid().expand(num_samples, -1)
            return low + (high - low) * torch.bernoulli(p)
        mask = self.state_space.category_mask(self.logits.device)
        probabilities = self.logits.masked_fill(~mask, -torch.inf).softmax(-1)
        return torch.multinomial(probabilities, num_samples, replacement=True).mT
