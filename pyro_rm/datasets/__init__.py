"""Data to try models on, and readers of tables and alignments."""

from pyro_rm.datasets.alignments import Alignment as Alignment
from pyro_rm.datasets.alignments import read_alignment
from pyro_rm.datasets.csv_tables import CsvTable as CsvTable
from pyro_rm.datasets.csv_tables import read_csv_table
from pyro_rm.datasets.gray_code import GrayCode as GrayCode
from pyro_rm.datasets.plane_densities import PlaneDensity as PlaneDensity
from pyro_rm.datasets.spins import (
    coupling_matrix,
    lattice,
    with_couplings,
)
from pyro_rm.datasets.synthetic import GrayCodedDensity as GrayCodedDensity
from pyro_rm.datasets.synthetic import synthetic_density, synthetic_names

__all__ = [
    "coupling_matrix",
    "lattice",
    "read_alignment",
    "read_csv_table",
    "synthetic_density",
    "synthetic_names",
    "with_couplings",
]
