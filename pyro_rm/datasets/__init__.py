"""Data to try models on; independent of the rest of the library."""

from pyro_rm.datasets.alignments import Alignment, read_alignment
from pyro_rm.datasets.csv_tables import CsvTable, read_csv_table
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
from pyro_rm.datasets.spins import (
    coupling_matrix,
    erdos_renyi,
    lattice,
    random_regular,
    spin_glass,
    with_couplings,
)
from pyro_rm.datasets.synthetic import GrayCodedDensity, synthetic_density, synthetic_names

__all__ = [
    "Alignment",
    "CsvTable",
    "CurveDensity",
    "GraphBatch",
    "GrayCode",
    "GrayCodedDensity",
    "PlaneDensity",
    "active_pairs",
    "community_graphs",
    "coupling_matrix",
    "decode_graphs",
    "ego_small",
    "encode_graphs",
    "erdos_renyi",
    "lattice",
    "random_regular",
    "read_alignment",
    "read_csv_table",
    "size_buckets",
    "spin_glass",
    "synthetic_density",
    "synthetic_names",
    "with_couplings",
]
