"""Losses and inference for energy-based models."""

from pyro_rm.infer.calibration import CalibratedPosterior, calibrate
from pyro_rm.infer.contrastive_divergence import ContrastiveDivergence
from pyro_rm.infer.graph_generation import generate_graphs
from pyro_rm.infer.latent_fill import LatentFill
from pyro_rm.infer.louis_correction import filled_posterior
from pyro_rm.infer.markov_kernels import MarkovKernel
from pyro_rm.infer.methods_of_the_paper import (
    full_ratio_matching,
    full_squared_ratio,
    rmwggis,
    rmwrand,
)
from pyro_rm.infer.missing_data import GibbsFill, Marginalized, impute
from pyro_rm.infer.noise_levels import NoiseLevels, background_draw, sample_by_levels
from pyro_rm.infer.ratio_matching_loss import RatioMatchingLoss
from pyro_rm.infer.training import TrainingResult, train, warmup_cosine

__all__ = [
    "CalibratedPosterior",
    "ContrastiveDivergence",
    "GibbsFill",
    "LatentFill",
    "Marginalized",
    "MarkovKernel",
    "NoiseLevels",
    "RatioMatchingLoss",
    "TrainingResult",
    "background_draw",
    "calibrate",
    "filled_posterior",
    "full_ratio_matching",
    "full_squared_ratio",
    "generate_graphs",
    "impute",
    "rmwggis",
    "rmwrand",
    "sample_by_levels",
    "train",
    "warmup_cosine",
]
