"""The methods of the RMwGGIS paper by name, each a loss."""

from __future__ import annotations

from pyro_rm.losses.ratio_matching_loss import RatioMatchingLoss
from pyro_rm.proposals import GradientGuided


def rmwggis(num_neighbors: int, *, biased: bool = False) -> RatioMatchingLoss:
    r"""RMwGGIS [1]: the squared ratio (Eq. 4), sampled with gradient guidance.

    :param num_neighbors: Neighbors visited a datum.
    :param biased: Eq. 12, without weights, instead of the unbiased Eq. 7.
    :returns: The loss. It learns the energy divided by :math:`\kappa = 4` (no
        :math:`\kappa` is known for the biased one).

    **References**

    [1] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.

    Example:

        >>> rmwggis(10).estimator.design
        'with_replacement'
    """
    return RatioMatchingLoss(
        "squared_ratio",
        num_neighbors,
        proposal=GradientGuided(uniform_share=0.0),
        design="unweighted" if biased else "with_replacement",
    )


def rmwrand(num_neighbors: int) -> RatioMatchingLoss:
    """RMwRAND, the control of the paper of :func:`rmwggis`: the squared ratio, sampled uniformly.

    :param num_neighbors: Neighbors visited a datum.
    :returns: The loss, unbiased for Eq. 4.

    Example:

        >>> rmwrand(10).estimator.proposal
        'uniform'
    """
    return RatioMatchingLoss("squared_ratio", num_neighbors, design="with_replacement")


def full_ratio_matching() -> RatioMatchingLoss:
    """Ratio matching over all neighbors, Eq. 3 of the paper of :func:`rmwggis`.

    :returns: The loss, exact.

    Example:

        >>> full_ratio_matching().estimator.num_neighbors
        'all'
    """
    return RatioMatchingLoss("ratio_matching", "all")


def full_squared_ratio() -> RatioMatchingLoss:
    """The squared ratio over all neighbors, Eq. 4 of the paper of :func:`rmwggis`.

    :returns: The loss, exact; it learns the energy divided by four.

    Example:

        >>> full_squared_ratio().estimator.objective
        'squared_ratio'
    """
    return RatioMatchingLoss("squared_ratio", "all")
