"""Graphs: encoded as data, generated from energies, compared with each other."""

from pyro_rm.graphs.codec import (
    GraphBatch,
    active_pairs,
    decode_graphs,
    encode_graphs,
    size_buckets,
)
from pyro_rm.graphs.generation import generate_graphs
from pyro_rm.graphs.isomorphism_classes import class_log_likelihoods, novelty, uniqueness
from pyro_rm.graphs.metrics import (
    dominated_share,
    graph_mmd,
    graph_mmd_floor,
)
from pyro_rm.graphs.orbit_counts import orbit_counts
from pyro_rm.graphs.sets import community_graphs, ego_small

__all__ = [
    "GraphBatch",
    "active_pairs",
    "class_log_likelihoods",
    "community_graphs",
    "decode_graphs",
    "dominated_share",
    "ego_small",
    "encode_graphs",
    "generate_graphs",
    "graph_mmd",
    "graph_mmd_floor",
    "novelty",
    "orbit_counts",
    "size_buckets",
    "uniqueness",
]
