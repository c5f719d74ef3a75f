"""Networks from data: couplings of Ising and Potts models, their selection and their errors."""

from pyro_rm.networks.conventions import recode
from pyro_rm.networks.ising_network import IsingNetwork
from pyro_rm.networks.selection import IsingFit, Selection

__all__ = ["IsingFit", "IsingNetwork", "Selection", "recode"]
