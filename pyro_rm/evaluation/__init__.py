"""How good a fitted model is."""

from pyro_rm.evaluation.graph_metrics import (
    dominated_share,
    graph_mmd,
    graph_mmd_floor,
    has_dominating_node,
)
from pyro_rm.evaluation.isomorphism_classes import class_log_likelihoods, novelty, uniqueness
from pyro_rm.evaluation.orbit_counts import orbit_counts

__all__ = [
    "class_log_likelihoods",
    "dominated_share",
    "graph_mmd",
    "graph_mmd_floor",
    "has_dominating_node",
    "novelty",
    "orbit_counts",
    "uniqueness",
]
