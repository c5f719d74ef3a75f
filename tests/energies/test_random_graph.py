"""Statistics against networkx, gaps against evaluation, estimates against statsmodels."""

import math
from itertools import combinations

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pyro_rm
from pyro_rm.energies import RandomGraphEnergy
from pyro_rm.generic_paths import evaluated_gaps
from pyro_rm.graphs import encode_graphs
from pyro_rm.neighborhoods import all_neighbors

pytestmark = pytest.mark.usefixtures("float64")


def test_statistics_count_what_they_say():
    energy = RandomGraphEnergy(8, decay=0.5)
    for seed in range(5):
        graph = nx.gnp_random_graph(8, 0.4, seed=seed)
        degrees = [d for _, d in graph.degree]
        expected = [
            graph.number_of_edges(),
            sum(math.comb(d, 2) for d in degrees),
            sum(nx.triangles(graph).values()) / 3,
            # sum over degrees i of exp(a) (1 - (1 - exp(-a))^i) times their number
            sum(math.exp(0.5) * (1 - (1 - math.exp(-0.5)) ** d) for d in degrees),
        ]
        torch.testing.assert_close(
            energy.statistics(encode_graphs([graph]).pairs[0]), torch.tensor(expected)
        )


@given(seed=st.integers(0, 2**31))
def test_gaps_in_closed_form_are_the_gaps(seed):
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    energy = RandomGraphEnergy(6)
    energy.coefficients.data.normal_()
    x = torch.bernoulli(torch.full((2, 3, 15), 0.4))
    neighbors, _ = all_neighbors(energy.state_space, x)
    expected = evaluated_gaps(lambda x, _: energy(x), energy.state_space, x, neighbors, ())
    torch.testing.assert_close(energy.gap_table(x), expected.movedim(0, -1))


def test_change_statistics_do_not_depend_on_the_pair():
    energy = RandomGraphEnergy(5)
    x = torch.bernoulli(torch.full((10,), 0.5))
    for site in range(10):
        on, off = x.clone(), x.clone()
        on[site], off[site] = 1, 0
        change = energy.statistics(on) - energy.statistics(off)
        for state in (on, off):
            torch.testing.assert_close(energy.change_statistics(state)[site], change)


@pytest.mark.parametrize("name", ["karate_club_graph", "florentine_families_graph"])
def test_pseudolikelihood_is_logistic_regression(name):
    """On real networks; change statistics here are counted by networkx, edge by edge."""
    sm = pytest.importorskip("statsmodels.api")
    graph = nx.convert_node_labels_to_integers(getattr(nx, name)())
    batch = encode_graphs([graph])
    energy = RandomGraphEnergy(batch.max_nodes, statistics=("edges", "triangles", "degrees"))
    optimizer = torch.optim.LBFGS(
        energy.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )

    def closure():
        optimizer.zero_grad()
        loss = pyro_rm.estimate(energy, batch.pairs).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    rows = []
    for i, j in combinations(graph, 2):
        rest = graph.copy()
        rest.remove_edges_from([(i, j)])
        shared = len(list(nx.common_neighbors(rest, i, j)))
        ratio = 1 - math.exp(-energy.decay)
        rows.append([1.0, shared, ratio ** rest.degree[i] + ratio ** rest.degree[j]])
    fit = sm.Logit(batch.pairs[0].numpy(), torch.tensor(rows).numpy()).fit(disp=0, tol=1e-12)
    assert energy.coefficients.tolist() == pytest.approx(fit.params.tolist(), abs=1e-4)


def test_padding_changes_nothing():
    energy = RandomGraphEnergy(8)
    energy.coefficients.data.normal_()
    graph = nx.gnp_random_graph(5, 0.5, seed=0)
    tight, wide = encode_graphs([graph]), encode_graphs([graph], max_nodes=8)
    torch.testing.assert_close(energy(tight.pairs), energy(wide.pairs, wide.num_nodes))
    alone = pyro_rm.estimate(energy.resized(5), tight.pairs)
    padded = pyro_rm.estimate(energy, wide.pairs, context=wide.num_nodes, active=wide.active)
    torch.testing.assert_close(alone, padded)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": ("stars",)}, r"different statistics among .*, but got \['stars'\]"),
        ({"statistics": ("edges", "edges")}, "but got"),
        ({"decay": 0.0}, "positive decay, but got 0.0"),
        ({"max_nodes": 1}, "at least 2, but got 1"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RandomGraphEnergy(**{"max_nodes": 4, **options})
