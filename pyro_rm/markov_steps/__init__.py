"""Markov steps on energies, batched over chains."""

from pyro_rm.markov_steps.gibbs import GibbsSweep, gibbs_sweep, site_conditionals
from pyro_rm.markov_steps.transition import MarkovStep, Transition

__all__ = ["GibbsSweep", "MarkovStep", "Transition", "gibbs_sweep", "site_conditionals"]
