"""Effect handlers that let energy-based sites score without a partition function."""

from pyro_rm.poutine.handlers import ratio_matching
from pyro_rm.poutine.surrogate import SiteLoss

__all__ = [
    "SiteLoss",
    "ratio_matching",
]
