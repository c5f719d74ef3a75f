"""What an estimate is made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Terms(NamedTuple):
    r"""What an estimate is made of: contributions of the visited units, and their weights.

    Both have shape ``units + batch_shape``; a unit is a neighbor or a site, as the objective
    says, and a weight of 0 marks padding. An exact sum has weights of 1.

    :param contributions: What each visited unit contributes.
    :param weights: What it counts.
    :param correction: What a control variate adds to the weighted sum, ``batch_shape``; its mean
        over draws is zero. None if there is none.

    Example:

        >>> terms = Terms(torch.tensor([[0.5], [0.1]]), torch.tensor([[1.0], [5.0]]))
        >>> terms.value
        tensor([1.])
        >>> terms.effective_sample_size
        tensor([1.3846])
    """

    contributions: Tensor
    weights: Tensor
    correction: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """The weighted sum, and its correction, ``batch_shape``."""
        total = (self.contributions * self.weights).sum(0)
        return total if self.correction is None else total + self.correction

    @property
    def effective_sample_size(self) -> Tensor:
        r"""Kish's :math:`(\sum w)^2 / \sum w^2`, ``batch_shape``; 0 where nothing was visited.

        Far below the number of visited units, few of them carry the estimate: raise
        ``num_neighbors`` or the proposal's ``uniform_share``.
        """
        tiny = torch.finfo(self.weights.dtype).tiny
        return self.weights.sum(0).square() / self.weights.square().sum(0).clamp(min=tiny)

    @property
    def largest_share(self) -> Tensor:
        """Share of the largest weighted contribution in their sum, ``batch_shape``; or 0."""
        weighted = self.contributions * self.weights
        total = weighted.sum(0)
        return torch.where(total == 0, 0.0, weighted.amax(0) / total)

    def beside(self, others: Terms, weight: float) -> Terms:
        """These terms and others, which count ``weight`` times as much.

        :param others: Terms of the same batch shape.
        :param weight: What they count.
        :returns: Shapes ``units + batch_shape``.
        """
        correction = self.correction
        if others.correction is not None:
            own = 0.0 if correction is None else correction
            correction = own + weight * others.correction
        return Terms(
            torch.cat([self.contributions, others.contributions]),
            torch.cat([self.weights.expand(self.contributions.shape), weight * others.weights]),
            correction,
        )
