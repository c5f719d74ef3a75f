"""Losses, training and posteriors: what a Pyro program is fitted by."""

from pyro_rm.distributions.markov_kernel import MarkovKernel
from pyro_rm.losses.contrastive_divergence import ContrastiveDivergence
from pyro_rm.losses.methods_of_the_paper import (
    full_ratio_matching,
    full_squared_ratio,
    rmwggis,
    rmwrand,
)
from pyro_rm.losses.ratio_matching_loss import RatioMatchingLoss
from pyro_rm.markov_steps.sample_by_levels import sample_by_levels
from pyro_rm.missing.latent_fill import LatentFill
from pyro_rm.missing.missing_data import GibbsFill, Marginalized, impute
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.posteriors.calibrated_posterior import CalibratedPosterior as CalibratedPosterior
from pyro_rm.posteriors.calibration import calibrate
from pyro_rm.training.loop import TrainingResult as TrainingResult
from pyro_rm.training.loop import train
from pyro_rm.training.schedules import warmup_cosine

__all__ = [
    "ContrastiveDivergence",
    "GibbsFill",
    "LatentFill",
    "Marginalized",
    "MarkovKernel",
    "NoiseLevels",
    "RatioMatchingLoss",
    "calibrate",
    "full_ratio_matching",
    "full_squared_ratio",
    "impute",
    "rmwggis",
    "rmwrand",
    "sample_by_levels",
    "train",
    "warmup_cosine",
]
