r"""How a subset of neighbors is drawn and weighed, given how large each is expected to be.

A design turns *sizes* (non-negative, one for each candidate, zero for what must not be
visited) into ``num_draws`` indices with weights, such that the weighted sum over the
draws estimates the sum over all candidates. Indices and weights are detached.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from pyro_rm.checks import look_up
from pyro_rm.systematic_sampling import (
    inclusion_probabilities,
    one_row,
    search,
    stratified_offsets,
    sum_type,
    systematic_draw,
)

__all__ = [
    "AllNeighbors",
    "Design",
    "Draw",
    "ProportionalToSize",
    "Unweighted",
    "WithReplacement",
]  # fmt: skip


class Draw(NamedTuple):
    """Drawn candidates with their weights, both of shape ``draws + batch_shape``.

    A weight of zero marks padding: a row that had fewer candidates than draws.

    :param candidates: Numbers of the candidates that were drawn.
    :param weights: What each counts in the sum.
    """

    candidates: Tensor
    weights: Tensor


class Design(ABC):
    """A way to draw candidates and to weigh them; :attr:`unbiased` says what it estimates.

    :attr:`exhausts` says that as many draws as candidates visit each once, so that the
    sum is exact.
    """

    unbiased: ClassVar[bool]
    exhausts: ClassVar[bool] = False

    @abstractmethod
    def draw(self, sizes: Tensor, num_draws: int) -> Draw:
        """Draw candidates.

        :param sizes: Non-negative, of shape ``batch_shape + (candidates,)``. Rows that are
            one row expanded cost as one.
        :param num_draws: Draws for each row, at least 1.
        :returns: Indices and weights of shape ``(num_draws,) + batch_shape``.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class AllNeighbors(Design):
    """Visit every candidate once: the exact sum, whatever number of draws is asked for.

    Example:

        >>> AllNeighbors().draw(torch.tensor([0.2, 0.0, 0.8]), 1).weights
        tensor([1., 0., 1.])
    """

    unbiased = True
    exhausts = True

    def draw(self, sizes: Tensor, num_draws: int) -> Draw:
        """Every candidate, with weight 1 where its size is positive."""
        index = torch.arange(sizes.shape[-1], device=sizes.device).expand(sizes.shape)
        return Draw(index.movedim(-1, 0), (sizes > 0).to(sizes.dtype).movedim(-1, 0))


class WithReplacement(Design):
    r"""Independent draws with weights :math:`1 / (s q_i)`: unbiased, Eq. 7 of [1].

    The estimator of Hansen and Hurwitz [2]. A candidate can be drawn more than once.

    **References**

    [1] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.
    [2] Morris Hansen, William Hurwitz (1943) "On the theory of sampling from finite
        populations", Annals of Mathematical Statistics 14(4).
    """

    unbiased = True

    def draw(self, sizes: Tensor, num_draws: int) -> Draw:
        """Draw by inversion of the cumulative sizes."""
        cumulative = one_row(sizes).cumsum(-1, dtype=sum_type(sizes))
        total = cumulative[..., -1:]
        uniform = torch.rand((*sizes.shape[:-1], num_draws), device=sizes.device, dtype=total.dtype)
        index = search(cumulative, uniform * total)
        weights = self.weights(sizes, index)
        return Draw(index.movedim(-1, 0), weights.movedim(-1, 0))

    def weights(self, sizes: Tensor, index: Tensor) -> Tensor:
        """Weights of given draws, whose number is the last dimension of ``index``.

        :param sizes: Shape ``batch_shape + (candidates,)``.
        :param index: Shape ``batch_shape + (draws,)``.
        :returns: Shape ``batch_shape + (draws,)``; zero for rows without candidates.
        """
        total = one_row(sizes).sum(-1, keepdim=True, dtype=sum_type(sizes))
        drawn = sizes.gather(-1, index)
        weights = total / (index.shape[-1] * drawn.to(total.dtype))
        return torch.where(drawn > 0, weights, 0.0).to(sizes.dtype)


class Unweighted(WithReplacement):
    r"""Independent draws, each with weight :math:`1 / s`: **biased**, Eq. 12 of [1].

    The mean of the visited contributions estimates :math:`\sum_i q_i \phi_i` instead of
    :math:`\sum_i \phi_i`. Where :math:`q` depends on the parameters this minimizes no
    fixed objective, so that no temperature :math:`\kappa` can be claimed for it.

    **References**

    [1] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.
    """

    unbiased = False

    def weights(self, sizes: Tensor, index: Tensor) -> Tensor:
        """One over the number of draws; zero for rows without candidates."""
        drawn = sizes.gather(-1, index)
        return (drawn > 0).to(sizes.dtype) / index.shape[-1]


class ProportionalToSize(Design):
    r"""A fixed number of distinct candidates, inclusion proportional to size: unbiased.

    Candidate :math:`i` is visited with probability :math:`\pi_i = \min(1, c q_i)`, where
    :math:`c` makes the :math:`\pi_i` sum to the number of draws, and weighs
    :math:`1 / \pi_i` (Horvitz and Thompson [1]). The draw is systematic [2] over a
    random order: nothing is visited twice, large candidates are visited with certainty,
    and rows with no more candidates than draws are summed exactly. The order is shared
    by the rows of a batch, and so are the strata of their offsets: together the rows
    visit each candidate about as often as its probabilities say.

    Example:

        >>> design = ProportionalToSize()
        >>> draw = design.draw(torch.tensor([[0.8, 0.1, 0.1]]), 2)
        >>> sorted(draw.weights.flatten().tolist())
        [1.0, 2.0]

    **References**

    [1] Daniel Horvitz, Donovan Thompson (1952) "A generalization of sampling without
        replacement from a finite universe", JASA 47(260).
    [2] William Madow (1949) "On the theory of systematic sampling, II",
        Annals of Mathematical Statistics 20(3).
    """

    unbiased = True
    exhausts = True

    def draw(self, sizes: Tensor, num_draws: int) -> Draw:
        """Draw systematically, in a random order shared by the batch."""
        inclusion = inclusion_probabilities(one_row(sizes), num_draws)
        order = torch.randperm(sizes.shape[-1], device=sizes.device)
        offset = stratified_offsets(sizes.shape[:-1], sum_type(sizes), sizes.device)
        index, weights = systematic_draw(inclusion, order, offset, num_draws)
        return Draw(index.movedim(-1, 0), weights.movedim(-1, 0))


_BUILT_IN: Mapping[str, type[Design]] = {
    "all": AllNeighbors,
    "proportional_to_size": ProportionalToSize,
    "unweighted": Unweighted,
    "with_replacement": WithReplacement,
}


def as_design(design: str | Design) -> Design:
    """Look up a built-in design by its name; objects pass through.

    :param design: ``"proportional_to_size"``, ``"with_replacement"`` (Eq. 7),
        ``"unweighted"`` (Eq. 12), ``"all"``, or a :class:`Design`.
    :returns: The design.
    :raises ValueError: If the name is unknown.
    :raises TypeError: If it is neither a name nor a :class:`Design`.

    Example:

        >>> as_design("unweighted").unbiased
        False
    """
    return look_up(design, Design, _BUILT_IN)  # type: ignore[type-abstract]
