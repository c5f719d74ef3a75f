"""Effect handlers that let energy-based sites score without a partition function."""

from pyro_rm.poutine.handlers import handle, ratio_matching
from pyro_rm.poutine.messenger import RatioMatchingMessenger, SiteLosses
from pyro_rm.poutine.surrogate import SiteLoss, Surrogate

__all__ = [
    "RatioMatchingMessenger",
    "SiteLoss",
    "SiteLosses",
    "Surrogate",
    "handle",
    "ratio_matching",
]
