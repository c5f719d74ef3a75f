"""Pairwise energies on lists of edges, on matrices, and given by tensors agree."""

import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.energies import (
    IsingEnergy,
    PairwiseFunction,
    PottsEnergy,
    SparseIsingEnergy,
    sparse_ising,
)
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import log_partition
from pyro_rm.site_walks import SiteWalk

pytestmark = pytest.mark.usefixtures("float64")
EDGES = torch.tensor([[0, 1], [3, 1], [2, 4]])  # site 5 has no neighbor


def everywhere(space):
    return space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)


def pair(states):
    sparse, dense = SparseIsingEnergy(6, EDGES, states=states), IsingEnergy(6, states=states)
    with torch.no_grad():
        sparse.weight.normal_()
        sparse.fields.normal_()
        dense.fields.copy_(sparse.fields)
        low, high = EDGES.sort(1).values.T
        dense.weight[low, high] = sparse.weight
    return sparse, dense


@pytest.mark.parametrize("states", [(0, 1), (-1, 1)])
def test_a_list_of_edges_is_the_matrix(states):
    sparse, dense = pair(states)
    x = everywhere(sparse.state_space).view(2, 32, 6)
    torch.testing.assert_close(sparse(x), dense(x))
    torch.testing.assert_close(sparse.gap_table(x), dense.gap_table(x))
    torch.testing.assert_close(sparse(x[0, 0]), dense(x[0, 0]))


def test_gradients_of_a_list_of_edges_are_those_of_the_matrix():
    sparse, dense = pair((-1, 1))
    x = everywhere(sparse.state_space)
    for energy in (sparse, dense):
        energy.gap_table(x).exp().sum().backward()
    low, high = EDGES.sort(1).values.T
    torch.testing.assert_close(sparse.weight.grad, dense.weight.grad[low, high])
    torch.testing.assert_close(sparse.fields.grad, dense.fields.grad)


def test_an_empty_graph_has_fields_only():
    energy = SparseIsingEnergy(3, torch.zeros(0, 2, dtype=torch.long))
    torch.nn.init.ones_(energy.fields)
    assert energy(torch.ones(3)) == -3


@pytest.mark.parametrize("make", [SparseIsingEnergy, PottsEnergy, IsingEnergy])
def test_all_states_are_alike_to_begin_with(make):
    energy = make(
        3,
        **{SparseIsingEnergy: {"edges": EDGES[:1]}, PottsEnergy: {"num_categories": 3}}.get(
            make, {}
        ),
    )
    assert not energy(everywhere(energy.state_space)).any()


def test_walks_on_many_sites_need_no_matrix(monkeypatch):
    energy, _ = pair((-1, 1))
    x = everywhere(energy.state_space)
    expected = energy.site_walk(x).gaps(slice(0, 6))
    monkeypatch.setattr(sparse_ising, "_LARGEST_MATRIX", 5)
    walk = energy.site_walk(x)
    assert type(walk) is SiteWalk
    torch.testing.assert_close(walk.gaps(slice(0, 6)), expected)


def test_parameters_that_are_not_finite_have_no_partition_function():
    energy = SparseIsingEnergy(6, EDGES)
    torch.nn.init.constant_(energy.weight, torch.inf)
    with pytest.raises(EnergyError, match="Expected finite parameters, but log Z is nan"):
        log_partition(energy)


def test_potts_tensors_are_the_module():
    energy = PottsEnergy(3, 3)
    torch.nn.init.normal_(energy.weight)
    function = PairwiseFunction(energy.couplings, energy.fields, StateSpace(3, 3))
    x = everywhere(energy.state_space)
    torch.testing.assert_close(function(x), energy(x))
    torch.testing.assert_close(function.gap_table(x), energy.gap_table(x))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 3]], "between sites 0 to 2"),
        ([[1, 1]], "between different sites"),
        ([[0, 1], [1, 0]], r"each edge once, but got \[0, 1\]"),
        ([[0.0, 1.0]], "edges as integers"),
    ],
)
def test_edges_are_checked(edges, message):
    with pytest.raises(ValueError, match=message):
        SparseIsingEnergy(3, torch.tensor(edges))
