"""Colorings: found, checked, and refused where sites of one color interact."""

import networkx as nx
import pytest
import torch

from pyro_rm.energies import PairwiseFunction, PottsEnergy
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.markov_steps import Chains, ColoredGibbs, GibbsSweep
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


@pytest.mark.parametrize(
    ("graph", "most"),
    [
        (nx.grid_2d_graph(4, 6, periodic=True), 2),
        (nx.random_labeled_tree(20, seed=1), 2),
        (nx.cycle_graph(5), 3),
        (nx.complete_graph(4), 4),
        (nx.empty_graph(3), 1),
        (nx.erdos_renyi_graph(30, 0.2, seed=2), 6),
    ],
)
def test_neighbors_get_different_colors(graph, most):
    adjacency = torch.tensor(nx.to_numpy_array(graph))
    for step in (ColoredGibbs.from_graph(graph), ColoredGibbs.from_couplings(adjacency)):
        colors = torch.tensor(step.colors)
        assert (colors[:, None] != colors)[adjacency > 0].all()
        assert step.num_colors <= most


def test_batches_of_couplings_share_one_coloring():
    couplings = torch.zeros(2, 3, 3)
    couplings[0, 0, 1] = couplings[0, 1, 0] = 1.0
    couplings[1, 1, 2] = couplings[1, 2, 1] = 1.0
    assert ColoredGibbs.from_couplings(couplings).colors in [(0, 1, 0), (1, 0, 1)]


def test_interacting_sites_of_one_color_are_refused():
    couplings = torch.zeros(4, 4)
    couplings[1, 3] = couplings[3, 1] = 2.0
    energy = PairwiseFunction(couplings, torch.zeros(4), StateSpace(4, states=(-1, 1)))
    with pytest.raises(EnergyError, match=r"conditional of site [13] changed"):
        Chains(energy, torch.ones(50, 4), ColoredGibbs((0, 1, 0, 1))).run(1)
    for categories in (3, (3, 4, 2)):
        potts = PottsEnergy(3, categories)
        torch.nn.init.normal_(potts.weight)
        size = potts.state_space.max_categories
        chains = potts.state_space.encode(torch.zeros(50, 3), torch.float32)
        with pytest.raises(EnergyError, match=r"ColoredGibbs\.from_graph"):
            Chains(potts, chains, ColoredGibbs((0, 1, 0))).run(1)
        with torch.no_grad():
            potts.weight.view(3, size, 3, size)[0, :, 2] = 0
        Chains(potts, chains, ColoredGibbs((0, 1, 0))).run(3)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 1e3), (1e4, 0.0)])
def test_rounded_energies_are_no_interactions(scale, offset):
    couplings = torch.randn(4, 4).triu(1) * torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]] * 2)
    x = torch.randint(2, (200, 4)).float()
    target = Target.of(lambda x: offset + scale * ((x @ couplings) * x).sum(-1), StateSpace(4))
    Chains(target, x, ColoredGibbs((0, 1, 0, 1))).run(3)


def test_sites_that_no_chain_moves_are_not_evaluated():
    def evaluations(*active):
        counts = []
        target = Target.of(
            lambda x: counts.append(0) or x.sum(-1), StateSpace(4), active=torch.tensor(active)
        )
        Chains(target, torch.zeros(1, 4), GibbsSweep()).run(5)
        return len(counts)

    assert evaluations(True, False, False, False) < evaluations(True, True, True, True) / 2


def test_bad_colors():
    with pytest.raises(ValueError, match="without gaps"):
        ColoredGibbs((0, 2))
    target = Target.of(lambda x: x.sum(-1), StateSpace(3))
    with pytest.raises(ValueError, match="a color for each of 3 sites"):
        Chains(target, torch.zeros(3), ColoredGibbs((0, 1))).run(1)
