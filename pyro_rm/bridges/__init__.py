"""Bridges to other tools: ArviZ, dimod and thrml, each imported where it is used."""

from pyro_rm.bridges.inference_data import to_inference_data
from pyro_rm.bridges.quadratic_models import from_bqm, to_bqm
from pyro_rm.bridges.sample_sets import EffectiveModel, from_sampleset
from pyro_rm.bridges.thrml_energies import from_thrml, to_thrml

__all__ = [
    "EffectiveModel",
    "from_bqm",
    "from_sampleset",
    "from_thrml",
    "to_bqm",
    "to_inference_data",
    "to_thrml",
]
