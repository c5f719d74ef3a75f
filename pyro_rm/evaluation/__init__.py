"""How good a fitted model is: partition functions, likelihoods, sample quality, graphs."""

import importlib
import warnings
from typing import Any

from pyro_rm.enumeration import TooManyStatesError
from pyro_rm.evaluation.ais_estimate import AISEstimate as AISEstimate
from pyro_rm.evaluation.annealed_importance_sampling import annealed_importance_sampling
from pyro_rm.evaluation.check_fit import FitCheck as FitCheck
from pyro_rm.evaluation.check_fit import check_fit
from pyro_rm.evaluation.chow_liu import ChowLiuTree
from pyro_rm.evaluation.hamming_mmd import exponential_hamming_mmd, linear_hamming_mmd
from pyro_rm.evaluation.independent_sites import IndependentSites
from pyro_rm.evaluation.log_likelihood import LogLikelihood as LogLikelihood
from pyro_rm.evaluation.log_likelihood import log_likelihood
from pyro_rm.evaluation.log_partition import exact_samples, log_partition
from pyro_rm.evaluation.sample_quality import sample_quality
from pyro_rm.read_off import ReadOff as ReadOff
from pyro_rm.read_off import read_off

__all__ = [
    "ChowLiuTree",
    "IndependentSites",
    "TooManyStatesError",
    "annealed_importance_sampling",
    "check_fit",
    "exact_samples",
    "exponential_hamming_mmd",
    "linear_hamming_mmd",
    "log_likelihood",
    "log_partition",
    "read_off",
    "sample_quality",
]


def __getattr__(name: str) -> Any:
    """Names that have moved."""
    if name == "orbit_counts":
        warnings.warn(
            "pyro_rm.evaluation.orbit_counts is now pyro_rm.graphs.orbit_counts.",
            DeprecationWarning,
            stacklevel=2,
        )
        return importlib.import_module("pyro_rm.graphs").orbit_counts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
