"""A module of PyTorch Geometric as an energy, by the protocol alone."""

import networkx as nx
import pytest
import torch

import pyro_rm
from pyro_rm.energies.node_pairs import pair_ends
from pyro_rm.graphs import encode_graphs, generate_graphs


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # on import
@pytest.mark.filterwarnings("ignore:Failing to pass a value to the 'type_params'")  # its inspector
def test_message_passing_module():
    """Pairs are weights of the edges of complete graphs, so that x can be differentiated."""
    geometric = pytest.importorskip("torch_geometric.nn")

    class ConvolutionEnergy(torch.nn.Module):
        def __init__(self, num_nodes):
            super().__init__()
            self.num_nodes = num_nodes
            self.state_space = pyro_rm.StateSpace(num_nodes * (num_nodes - 1) // 2)
            self.convolutions = torch.nn.ModuleList(
                [geometric.GraphConv(1, 8), geometric.GraphConv(8, 8)]
            )
            self.readout = torch.nn.Linear(8, 1)

        def forward(self, x, num_nodes=None):
            graphs = x.reshape(-1, x.shape[-1])
            first, second = pair_ends(x.shape[-1])
            offset = self.num_nodes * torch.arange(len(graphs))[:, None]
            sources = torch.cat([first, second]) + offset
            targets = torch.cat([second, first]) + offset
            edges = torch.stack([sources.flatten(), targets.flatten()])
            weights = torch.cat([graphs, graphs], -1).flatten()
            h = x.new_ones(len(graphs) * self.num_nodes, 1)
            for convolution in self.convolutions:
                h = torch.nn.functional.silu(convolution(h, edges, edge_weight=weights))
            return self.readout(h).view(*x.shape[:-1], self.num_nodes).sum(-1)

    energy = ConvolutionEnergy(5)
    x = encode_graphs([nx.gnp_random_graph(5, 0.5, seed=seed) for seed in range(6)]).pairs
    loss = pyro_rm.estimate(energy, x, num_neighbors=4, proposal="gradient").mean()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in energy.parameters())
    exact = pyro_rm.estimate(energy, x, num_neighbors="all")
    alone = torch.stack([pyro_rm.estimate(energy, row, num_neighbors="all") for row in x])
    torch.testing.assert_close(exact, alone)
    (graph,) = generate_graphs(energy, torch.tensor([5]), progress=False)
    assert len(graph) == 5
