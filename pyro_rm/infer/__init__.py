"""Losses and inference for energy-based models."""

from pyro_rm.infer.methods_of_the_paper import (
    full_ratio_matching,
    full_squared_ratio,
    rmwggis,
    rmwrand,
)
from pyro_rm.infer.ratio_matching_loss import RatioMatchingLoss

__all__ = [
    "RatioMatchingLoss",
    "full_ratio_matching",
    "full_squared_ratio",
    "rmwggis",
    "rmwrand",
]
