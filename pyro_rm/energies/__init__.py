"""Energies as modules that know their gaps, and their sums."""

from pyro_rm.energies.ising import IsingEnergy
from pyro_rm.energies.levels import with_levels
from pyro_rm.energies.linear_first import LinearFirstEnergy
from pyro_rm.energies.mlp import MLPEnergy
from pyro_rm.energies.ordinal import OrdinalEnergy
from pyro_rm.energies.pairwise import PairwiseFunction
from pyro_rm.energies.potts import PottsEnergy
from pyro_rm.energies.random_graph import RandomGraphEnergy
from pyro_rm.energies.rbm import RBMEnergy
from pyro_rm.energies.relational_graph import RelationalGraphEnergy
from pyro_rm.energies.sparse_ising import SparseIsingEnergy
from pyro_rm.energies.sums import SumEnergy
from pyro_rm.energies.temperature import restore_temperature

__all__ = [
    "IsingEnergy",
    "LinearFirstEnergy",
    "MLPEnergy",
    "OrdinalEnergy",
    "PairwiseFunction",
    "PottsEnergy",
    "RBMEnergy",
    "RandomGraphEnergy",
    "RelationalGraphEnergy",
    "SparseIsingEnergy",
    "SumEnergy",
    "restore_temperature",
    "with_levels",
]
