"""What annealed importance sampling returns: two ends, each with its error."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class AISEnd:
    r"""One direction of annealing: importance weights that are unbiased for :math:`Z` or
    :math:`1 / Z`; see :func:`~pyro_rm.evaluation.annealed_importance_sampling`.

    :param log_weights: One for each chain, ``(num_chains,)``.
    :param sign: 1 if the weights estimate :math:`Z`, -1 if they estimate :math:`1 / Z`.
    :param ends: Where the chains ended, ``(num_chains, D)``; with the weights of forward chains
        they are draws of the model. None if they were not kept.

    Example:

        >>> import torch
        >>> AISEnd(torch.tensor([0.0, 0.0]), sign=-1).standard_error
        0.0
    """

    log_weights: Tensor
    sign: int
    ends: Tensor | None = None

    @property
    def log_partition(self) -> float:
        r"""The estimate of :math:`\log Z`: the logarithm of the mean weight, or minus it."""
        return self.sign * _log_mean_exp(self.log_weights).item()

    @property
    def standard_error(self) -> float:
        """Of :attr:`log_partition`, by the delta method; optimistic where few weights rule."""
        relative = (self.log_weights - self.log_weights.max()).exp()
        return float(relative.std() / relative.mean() / math.sqrt(len(relative)))

    @property
    def effective_sample_size(self) -> float:
        """Kish's: how many equal weights would estimate as well; from 1 to ``num_chains``."""
        weights = self.log_weights.softmax(0)
        return float(1 / weights.square().sum())

    def bound(self, failure_probability: float = 0.001) -> float:
        r"""A bound of :math:`\log Z` that holds except with a given probability.

        Lower if the weights estimate :math:`Z`, else upper. The chains are divided into
        :math:`k \approx \sqrt{n}` groups. By Markov's inequality a group's mean weight
        exceeds :math:`c Z` with probability at most :math:`1 / c`, and the smallest of
        :math:`k` independent ones with at most :math:`c^{-k}`, whatever the kernel's
        mixing.

        :param failure_probability: Between 0 and 1.
        """
        if not 0 < failure_probability < 1:
            raise ValueError(
                f"Expected failure_probability between 0 and 1, but got {failure_probability}."
            )
        groups = self.log_weights.tensor_split(math.isqrt(len(self.log_weights)))
        smallest = min(_log_mean_exp(group).item() for group in groups)
        return self.sign * (smallest + math.log(failure_probability) / len(groups))


@dataclass(frozen=True, eq=False)
class AISEstimate:
    r"""A bracket of :math:`\log Z` by :func:`~pyro_rm.evaluation.annealed_importance_sampling`.

    :param lower: Forward annealing, from the base: its mean weight exceeds :math:`Z`
        by a factor :math:`c` with probability at most :math:`1 / c`.
    :param upper: Reverse annealing, from (nearly) the model; None if there was none.
    :param upper_is_bound: Whether the reverse chains started from exact samples. If not,
        the upper end is a diagnostic and bounds nothing.

    Example:

        >>> import torch
        >>> lower = AISEnd(torch.tensor([2.0, 2.0]), sign=1)
        >>> AISEstimate(lower).pessimistic
        2.0
    """

    lower: AISEnd
    upper: AISEnd | None = None
    _: KW_ONLY
    upper_is_bound: bool = False

    @property
    def gap(self) -> float:
        """Upper end minus lower end; NaN without an upper end."""
        if self.upper is None:
            return math.nan
        return self.upper.log_partition - self.lower.log_partition

    @property
    def pessimistic(self) -> float:
        """The larger end: what makes likelihoods look worse."""
        ends = [end.log_partition for end in (self.lower, self.upper) if end is not None]
        return max(ends)

    def bounds(self, failure_probability: float = 0.001) -> tuple[float, float]:
        r"""An interval that contains :math:`\log Z` except with a given probability.

        :param failure_probability: Shared by its two sides.
        :returns: Lower and upper bound; infinity where there is none.
        """
        side = failure_probability / 2
        high = math.inf
        if self.upper is not None and self.upper_is_bound:
            high = self.upper.bound(side)
        return self.lower.bound(side), high

    def __str__(self) -> str:
        ends = [("lower", self.lower)]
        if self.upper is not None:
            ends.append(("upper" if self.upper_is_bound else "reverse, no bound", self.upper))
        return "; ".join(
            f"{name} {end.log_partition:.4f} (standard error {end.standard_error:.4f}, "
            f"effective sample size {end.effective_sample_size:.0f} of {len(end.log_weights)})"
            for name, end in ends
        )


def _log_mean_exp(log_weights: Tensor) -> Tensor:
    return log_weights.logsumexp(0) - math.log(len(log_weights))
