"""Markov steps on energies, batched over chains."""

from pyro_rm.markov_steps.block_gibbs import BlockGibbs, HasHiddenUnits, TemperedLayers
from pyro_rm.markov_steps.colored_gibbs import ColoredGibbs
from pyro_rm.markov_steps.discrete_langevin import DiscreteLangevin
from pyro_rm.markov_steps.gibbs import GibbsSweep, gibbs_sweep
from pyro_rm.markov_steps.gibbs_with_gradients import GibbsWithGradients
from pyro_rm.markov_steps.parallel_tempering import ParallelTempering
from pyro_rm.markov_steps.sampler import MarkovSampler, move, starting_data
from pyro_rm.markov_steps.transition import (
    MarkovStep,
    Transition,
    add_replicas,
    check_chains,
    first_replica,
    num_replicas,
)

__all__ = [
    "BlockGibbs",
    "ColoredGibbs",
    "DiscreteLangevin",
    "GibbsSweep",
    "GibbsWithGradients",
    "HasHiddenUnits",
    "MarkovSampler",
    "MarkovStep",
    "ParallelTempering",
    "TemperedLayers",
    "Transition",
    "add_replicas",
    "check_chains",
    "first_replica",
    "gibbs_sweep",
    "move",
    "num_replicas",
    "starting_data",
]
