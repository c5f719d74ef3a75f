"""Terms as an energy: the same statistics, and the same pseudolikelihood, as the model's."""

import networkx as nx
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule, PyroSample

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.graphs import GraphEnergy, RandomGraphModel, encode_graphs

DIRECTED = nx.gnp_random_graph(7, 0.4, seed=1, directed=True)
BIPARTITE = nx.davis_southern_women_graph()
CASES = {
    "undirected": (nx.karate_club_graph(), ["edges", "gwesp(0.5)", "nodematch('club')"]),
    "directed": (DIRECTED, ["edges", "mutual", "gwidegree(0.5)"]),
    "bipartite": (BIPARTITE, ["edges", "gwb2degree(0.5)"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_pseudolikelihood_is_the_estimators(case, float64):
    graph, terms = CASES[case]
    energy = GraphEnergy(graph, terms)
    options = {"method": "pseudolikelihood", "standard_errors": "naive"}
    model = RandomGraphModel(terms, **options).fit(graph)
    with torch.no_grad():
        energy.coefficients.copy_(torch.from_numpy(model.coefficients_))
    x = encode_graphs([graph]).pairs.double()
    pyro_rm.estimate(energy, x, active=energy.active).sum().backward()
    np.testing.assert_allclose(energy.coefficients.grad, 0, atol=1e-7)


def test_networks_on_the_same_nodes():
    graph, terms = CASES["undirected"]
    energy = GraphEnergy(graph, terms)
    graphs = [graph, nx.gnp_random_graph(34, 0.1, seed=2)]
    x = encode_graphs(graphs).pairs
    found = energy.statistics(x)
    assert found[:, 0].tolist() == [78, graphs[1].number_of_edges()]
    assert energy.statistics(x.view(2, 1, -1)).shape == (2, 1, 3)
    alone = GraphEnergy(graph, terms).change_statistics(x[1])
    torch.testing.assert_close(energy.change_statistics(x)[1], alone)


def test_priors():
    graph, terms = CASES["undirected"]
    energy = PyroModule[GraphEnergy](graph, terms)
    energy.coefficients = PyroSample(dist.Normal(0.0, 3.0).expand([3]).to_event(1))

    def program(x):
        with pyro.plate("networks", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    x = encode_graphs([graph]).pairs
    guide = pyro.infer.autoguide.AutoDelta(pyro_rm.poutine.ratio_matching(program))
    svi = pyro.infer.SVI(
        program, guide, pyro.optim.Adam({"lr": 0.1}), loss=pyro_rm.RatioMatchingLoss()
    )
    for _ in range(300):
        svi.step(x)
    options = {"method": "pseudolikelihood", "standard_errors": "naive"}
    expected = RandomGraphModel(terms, **options).fit(graph).coefficients_
    found = guide.median()["coefficients"].numpy()
    np.testing.assert_allclose(found, expected, atol=0.2)  # a wide prior draws a little
