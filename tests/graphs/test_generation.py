"""Generated graphs follow the energy; sizes, features, direction and filters are kept."""

import networkx as nx
import pytest
import torch

from pyro_rm.energies import RandomGraphEnergy, RelationalGraphEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.graphs import class_log_likelihoods, encode_graphs, generate_graphs
from pyro_rm.graphs.metrics import has_dominating_node
from pyro_rm.state_space import StateSpace


@pytest.mark.parametrize("options", [{}, {"inverse_temperatures": (0.3, 1.0)}])
def test_graphs_follow_the_energy(options):
    """Fails with probability below 1e-7: six standard errors on 4 000 graphs of each size."""
    energy = RandomGraphEnergy(6)
    energy.coefficients.data = torch.tensor([-0.5, 0.2, 0.4, 0.3])
    sizes = torch.tensor([3, 4]).repeat(4000)
    graphs = generate_graphs(energy, sizes, num_steps=10, progress=False, **options)
    assert [len(graph) for graph in graphs] == sizes.tolist()
    for size in (3, 4):
        space = StateSpace(size * (size - 1) // 2)
        p = torch.softmax(-energy(states_at(space, torch.arange(space.num_states))), 0)
        drawn = encode_graphs([graph for graph in graphs if len(graph) == size]).pairs
        frequency = index_of(space, drawn).bincount(minlength=space.num_states) / 4000
        assert ((frequency - p).abs() < 6 * (p * (1 - p) / 4000).sqrt()).all()


def test_levels_padding_and_resizing_agree():
    """Classes of 3 000 graphs of 4 nodes, with and without padding; six standard errors."""
    energy = RelationalGraphEnergy(5, num_hidden=4, num_levels=2)
    energy.readout[-1].weight.data.mul_(5)

    class Padded:
        state_space = energy.state_space

        def __call__(self, x, num_nodes, level):
            return energy(x, num_nodes, level)

    def at_the_data(x, num_nodes):
        return energy(x, num_nodes, torch.zeros_like(num_nodes))

    star = nx.star_graph(3)
    p = class_log_likelihoods(at_the_data, [star]).exp().item()
    sizes = torch.full((3000,), 4)
    for model in (energy, Padded()):
        graphs = generate_graphs(model, sizes, num_levels=2, num_steps=6, progress=False)
        share = sum(nx.is_isomorphic(graph, star) for graph in graphs) / 3000
        assert abs(share - p) < 6 * (p * (1 - p) / 3000) ** 0.5


def test_energies_in_double_precision_draw_graphs():
    sizes = torch.tensor([3, 4])
    for energy in (RandomGraphEnergy(4).double(), RelationalGraphEnergy(4, num_hidden=4).double()):
        graphs = generate_graphs(energy, sizes, num_steps=1, progress=False)
        assert [len(graph) for graph in graphs] == [3, 4]


def test_one_progress_bar_is_shown(capfd):
    energy = RelationalGraphEnergy(3, num_hidden=4, num_levels=2)
    generate_graphs(energy, torch.tensor([3]), num_levels=2)
    shown = capfd.readouterr().err
    assert "generate" in shown
    assert "sample" not in shown


def test_directed_graphs_with_features():
    energy = RelationalGraphEnergy(4, num_hidden=4, num_features=2, directed=True)
    sizes = torch.tensor([1, 4, 2])
    graphs = generate_graphs(energy, sizes, features=torch.randn(3, 4, 2), progress=False)
    assert [len(graph) for graph in graphs] == [1, 4, 2]
    assert all(graph.is_directed() for graph in graphs)


def test_invalid_graphs_are_drawn_again():
    energy = RandomGraphEnergy(5)
    sizes = torch.tensor([3, 4, 5] * 20)
    graphs = generate_graphs(
        energy, sizes, is_valid=has_dominating_node, max_rounds=100, progress=False
    )
    assert len(graphs) == 60
    assert all(map(has_dominating_node, graphs))
    with pytest.warns(UserWarning, match="60 of 60 graphs were invalid in all 2 rounds"):
        none = generate_graphs(
            energy, sizes, is_valid=lambda graph: False, max_rounds=2, progress=False
        )
    assert none == []


def test_densities_are_where_chains_start():
    flat = RandomGraphEnergy(4)
    graphs = generate_graphs(
        flat, torch.tensor([2, 4]), densities=torch.tensor([0, 0, 0, 0, 1.0]), num_steps=0
    )
    assert [graph.number_of_edges() for graph in graphs] == [0, 6]


def test_refused():
    with pytest.raises(ValueError, match=r"positive numbers of nodes, but got \[0\]"):
        generate_graphs(RandomGraphEnergy(3), torch.tensor([0]))
    with pytest.raises(ValueError, match="noise levels or inverse temperatures, but got both"):
        generate_graphs(
            RandomGraphEnergy(3), torch.tensor([3]), num_levels=2, inverse_temperatures=(0.5, 1.0)
        )
