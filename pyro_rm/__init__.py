"""Fit discrete energy-based models in Pyro without computing a partition function."""

from pyro_rm import (
    datasets,
    distributions,
    energies,
    evaluation,
    graphs,
    infer,
    markov_steps,
    networks,
    poutine,
)
from pyro_rm._version import __version__
from pyro_rm.estimators import Estimator, estimate, estimate_terms
from pyro_rm.infer import (
    ContrastiveDivergence,
    RatioMatchingLoss,
    full_ratio_matching,
    full_squared_ratio,
    rmwggis,
    rmwrand,
)
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

__all__ = [
    "ContrastiveDivergence",
    "Estimator",
    "MarkovSampler",
    "RatioMatchingLoss",
    "StateSpace",
    "Target",
    "__version__",
    "datasets",
    "distributions",
    "energies",
    "estimate",
    "estimate_terms",
    "evaluation",
    "full_ratio_matching",
    "full_squared_ratio",
    "graphs",
    "infer",
    "markov_steps",
    "networks",
    "poutine",
    "rmwggis",
    "rmwrand",
]
