"""Data to try models on; independent of the rest of the library."""

from pyro_rm.datasets.graph_sets import community_graphs, ego_small
from pyro_rm.datasets.graphs import (
    GraphBatch,
    active_pairs,
    decode_graphs,
    encode_graphs,
    size_buckets,
)
from pyro_rm.datasets.gray_code import GrayCode
from pyro_rm.datasets.plane_densities import CurveDensity, PlaneDensity
from pyro_rm.datasets.synthetic import GrayCodedDensity, synthetic_density, synthetic_names

__all__ = [
    "CurveDensity",
    "GraphBatch",
    "GrayCode",
    "GrayCodedDensity",
    "PlaneDensity",
    "active_pairs",
    "community_graphs",
    "decode_graphs",
    "ego_small",
    "encode_graphs",
    "size_buckets",
    "synthetic_density",
    "synthetic_names",
]
