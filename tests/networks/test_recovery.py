"""Simulated spins follow their model; measures of recovery are what they say."""

import networkx as nx
import numpy as np
import pytest
import torch

from pyro_rm.datasets import with_couplings
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.networks import negative_log_error, simulate_ising, support_f1


@pytest.mark.usefixtures("float64")
def test_simulated_moments_are_exact_ones():
    """Oracle: enumeration. Ten pairs of 4000 spins: five standard errors are 0.08."""
    graph = with_couplings(nx.cycle_graph(5), 0.5 * torch.randn(5))
    x = simulate_ising(graph, 4000, num_steps=50)
    couplings = torch.tensor(nx.to_numpy_array(graph))
    model = NormalizedModel(Ising(couplings, torch.zeros(5), states=(-1, 1)))
    states = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 5)
    exact = (states * model.log_prob(states).exp()[:, None]).mT @ states
    assert ((x.mT @ x / 4000) - exact).abs().max() < 0.08


def test_errors_are_on_all_entries_of_half_the_couplings():
    true = np.zeros((2, 2))
    found = np.array([[0.0, 0.4], [0.4, 0.0]])
    assert negative_log_error(found, true) == pytest.approx(-np.log(np.sqrt(2 * 0.2**2 / 4)))


def test_f1_counts_pairs():
    true = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]])
    found = np.array([[0, -2, 0], [-2, 0, 5], [0, 5, 0]])
    assert support_f1(found, true) == pytest.approx(0.5)
    assert support_f1(0 * true, true) == 0
