"""Data to try models on, and readers of tables and alignments."""

from pyro_rm.datasets.alignments import Alignment, read_alignment
from pyro_rm.datasets.csv_tables import CsvTable, read_csv_table
from pyro_rm.datasets.gray_code import GrayCode
from pyro_rm.datasets.plane_densities import PlaneDensity
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
    "GrayCode",
    "GrayCodedDensity",
    "PlaneDensity",
    "coupling_matrix",
    "erdos_renyi",
    "lattice",
    "random_regular",
    "read_alignment",
    "read_csv_table",
    "spin_glass",
    "synthetic_density",
    "synthetic_names",
    "with_couplings",
]
