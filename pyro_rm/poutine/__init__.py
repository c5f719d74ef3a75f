"""Effect handlers that let energy-based sites score without a partition function."""

from pyro_rm.poutine.handlers import handle, ratio_matching
from pyro_rm.poutine.messenger import Estimators, RatioMatchingMessenger
from pyro_rm.poutine.surrogate import SiteEstimator, Surrogate

__all__ = [
    "Estimators",
    "RatioMatchingMessenger",
    "SiteEstimator",
    "Surrogate",
    "handle",
    "ratio_matching",
]
