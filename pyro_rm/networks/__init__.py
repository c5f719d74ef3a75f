"""Networks from data: couplings of Ising, ordinal and Potts models, and how sure they are."""

from pyro_rm.networks.comparison import Comparison as Comparison
from pyro_rm.networks.comparison import compare
from pyro_rm.networks.contacts import (
    average_product_correction,
    contact_precision,
    coupling_norms,
)
from pyro_rm.networks.conventions import recode
from pyro_rm.networks.edge_priors import EdgePrior
from pyro_rm.networks.evidence import EdgeEvidence as EdgeEvidence
from pyro_rm.networks.fitter import NetworkFit as NetworkFit
from pyro_rm.networks.gauge import zero_sum_gauge
from pyro_rm.networks.ising_network import IsingNetwork
from pyro_rm.networks.ordinal_network import OrdinalNetwork
from pyro_rm.networks.potts_network import PottsNetwork
from pyro_rm.networks.predictability import predictability
from pyro_rm.networks.recovery import negative_log_error, simulate_ising, support_f1
from pyro_rm.networks.resampling import Resamples as Resamples
from pyro_rm.networks.resampling import resample
from pyro_rm.networks.selection import Selection
from pyro_rm.networks.sequence_weights import sequence_weights

__all__ = [
    "EdgePrior",
    "IsingNetwork",
    "OrdinalNetwork",
    "PottsNetwork",
    "Selection",
    "average_product_correction",
    "compare",
    "contact_precision",
    "coupling_norms",
    "negative_log_error",
    "predictability",
    "recode",
    "resample",
    "sequence_weights",
    "simulate_ising",
    "support_f1",
    "zero_sum_gauge",
]
