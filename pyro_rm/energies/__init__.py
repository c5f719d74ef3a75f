"""Energies as modules that know their gaps."""

from pyro_rm.energies.ising import IsingEnergy, IsingFunction
from pyro_rm.energies.leveled import LeveledEnergy
from pyro_rm.energies.linear_first import LinearFirstEnergy
from pyro_rm.energies.mlp import MLPEnergy
from pyro_rm.energies.potts import PottsEnergy, PottsFunction
from pyro_rm.energies.random_graph import RandomGraphEnergy
from pyro_rm.energies.rbm import RBMEnergy
from pyro_rm.energies.relational_graph import RelationalGraphEnergy
from pyro_rm.energies.sparse_ising import SparseIsingEnergy
from pyro_rm.energies.tempered import TemperedEnergy, restore_temperature

__all__ = [
    "IsingEnergy",
    "IsingFunction",
    "LeveledEnergy",
    "LinearFirstEnergy",
    "MLPEnergy",
    "PottsEnergy",
    "PottsFunction",
    "RBMEnergy",
    "RandomGraphEnergy",
    "RelationalGraphEnergy",
    "SparseIsingEnergy",
    "TemperedEnergy",
    "restore_temperature",
]
