"""Energy-based models as Pyro distributions."""

from pyro_rm.distributions.energy_model import EnergyModel, IntractableLikelihoodError
from pyro_rm.distributions.normalized_model import NormalizedModel
from pyro_rm.distributions.pairwise import Ising, Potts

__all__ = ["EnergyModel", "IntractableLikelihoodError", "Ising", "NormalizedModel", "Potts"]
