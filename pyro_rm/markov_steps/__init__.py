"""Markov steps on energies, the chains that they move, and draws by them."""

from pyro_rm.markov_steps.block_gibbs import BlockGibbs
from pyro_rm.markov_steps.chains import Chains, default_step
from pyro_rm.markov_steps.colored_gibbs import ColoredGibbs
from pyro_rm.markov_steps.discrete_langevin import DiscreteLangevin
from pyro_rm.markov_steps.gibbs import GibbsSweep
from pyro_rm.markov_steps.gibbs_with_gradients import GibbsWithGradients
from pyro_rm.markov_steps.kawasaki import Kawasaki
from pyro_rm.markov_steps.parallel_gibbs import ParallelGibbs
from pyro_rm.markov_steps.parallel_tempering import ParallelTempering
from pyro_rm.markov_steps.sampler import MarkovSampler
from pyro_rm.markov_steps.simulated_tempering import SimulatedTempering
from pyro_rm.markov_steps.transition import ChainState as ChainState
from pyro_rm.markov_steps.transition import MarkovStep

__all__ = [
    "BlockGibbs",
    "Chains",
    "ColoredGibbs",
    "DiscreteLangevin",
    "GibbsSweep",
    "GibbsWithGradients",
    "Kawasaki",
    "MarkovSampler",
    "MarkovStep",
    "ParallelGibbs",
    "ParallelTempering",
    "SimulatedTempering",
    "default_step",
]
