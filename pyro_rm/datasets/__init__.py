"""Data to try models on; independent of the rest of the library."""

from pyro_rm.datasets.graph_sets import community_graphs, ego_small
from pyro_rm.datasets.graphs import (
    GraphBatch,
    active_pairs,
    decode_graphs,
    encode_graphs,
    size_buckets,
)

__all__ = [
    "GraphBatch",
    "active_pairs",
    "community_graphs",
    "decode_graphs",
    "ego_small",
    "encode_graphs",
    "size_buckets",
]
