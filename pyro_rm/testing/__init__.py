"""Checks of energies, objectives, proposals, designs and Markov steps, the library's and your own.

Each raises an ``AssertionError`` that says what is wrong. They enumerate what is random, so that
there is no tolerance for chance. ``python -m pyro_rm.testing`` runs them over all that is
registered.
"""

from pyro_rm.testing.designs import check_design
from pyro_rm.testing.energies import check_energy
from pyro_rm.testing.graph_terms import check_graph_term
from pyro_rm.testing.objectives import check_objective
from pyro_rm.testing.proposals import check_proposal
from pyro_rm.testing.registry import ENERGIES, STEPS, every_check
from pyro_rm.testing.steps import check_step, small_targets
from pyro_rm.testing.transition_matrices import transition_matrix

__all__ = [
    "ENERGIES",
    "STEPS",
    "check_design",
    "check_energy",
    "check_graph_term",
    "check_objective",
    "check_proposal",
    "check_step",
    "every_check",
    "small_targets",
    "transition_matrix",
]
