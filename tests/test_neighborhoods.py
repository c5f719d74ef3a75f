"""Neighbors: each state that differs in one site, once."""

import itertools

import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.neighborhoods import (
    Neighbors,
    all_neighbors,
    at_neighbors,
    candidates,
    neighbor_states,
    substitutions,
)

SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(2, 3), StateSpace(3, (2, 3, 4))]


def batch(space, shape=(2, 3)):
    return states_at(space, torch.randint(space.num_states, shape))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_neighbors_are_the_states_one_site_away(space):
    x = batch(space)
    encoded = space.encode(x, torch.float32)
    neighbors, exists = all_neighbors(space, encoded)
    assert len(neighbors) == space.num_sites * (space.max_categories - 1)
    states = space.decode(neighbor_states(space, encoded, neighbors))
    found, there = index_of(space, states), exists.expand(neighbors.sites.shape)
    everything = states_at(space, torch.arange(space.num_states))
    for row, column in itertools.product(range(2), range(3)):
        adjacent = ((everything != x[row, column]).sum(-1) == 1).nonzero().flatten()
        here = found[:, row, column][there[:, row, column]]
        assert sorted(here.tolist()) == adjacent.tolist()


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_tables_are_read_where_the_neighbors_are(space):
    encoded = space.encode(batch(space), torch.float32)
    neighbors, exists = all_neighbors(space, encoded)
    table = torch.randn((2, 3, *space.encoded_shape))
    read = at_neighbors(table, neighbors)
    changed = neighbor_states(space, encoded, neighbors) - encoded
    changed = changed.abs() if space.is_binary else changed.clamp(min=0)
    changed = changed / changed.amax()
    axes = tuple(range(-len(space.encoded_shape), 0))
    there = exists.expand(read.shape)
    torch.testing.assert_close(read[there], (table * changed).sum(axes)[there])
    shared = table[0, 0]  # one table for all data
    torch.testing.assert_close(
        at_neighbors(shared, neighbors)[there], (shared * changed).sum(axes)[there]
    )


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_substitutions_of_drawn_sites_come_in_blocks(space):
    encoded = space.encode(batch(space), torch.float32)
    sites = torch.randint(space.num_sites, (5, 2, 3))
    neighbors, exists = substitutions(space, encoded, sites)
    blocks = neighbors.sites.unflatten(0, (-1, 5))
    assert (blocks == sites).all()
    counts = torch.tensor(space.categories)[sites]
    assert torch.equal(exists.expand(neighbors.sites.shape).view_as(blocks).sum(0), counts - 1)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_neighbors_are_on_the_device_of_the_data(space):
    encoded = torch.zeros((2, 3, *space.encoded_shape), device="meta")
    neighbors, exists = all_neighbors(space, encoded)
    for made in (
        neighbors.sites,
        exists,
        neighbor_states(space, encoded, neighbors),
        at_neighbors(encoded, neighbors),
        encoded if neighbors.categories is None else neighbors.categories,
        encoded if space.is_binary else candidates(space, encoded, None),
    ):
        assert made.device == encoded.device


def test_slices_are_some_of_the_neighbors():
    sites, categories = torch.arange(12).view(4, 3), torch.arange(12).view(4, 3) + 20
    part = Neighbors(sites, categories).slice(1, 3)
    assert torch.equal(part.sites, sites[1:3])
    assert torch.equal(part.categories, categories[1:3])
    assert len(part) == 2
    assert Neighbors(sites).slice(0, 1).categories is None


@pytest.mark.parametrize("sites", [False, True])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_candidates_are_active_and_change_something(space, sites):
    encoded = space.encode(batch(space), torch.float32)
    possible = space.category_mask() & (encoded < 1) if not space.is_binary else None
    size = space.num_sites
    for active in (None, torch.rand(size) < 0.5, torch.rand(2, 3, size) < 0.5):
        found = candidates(space, encoded, active, sites=sites)
        wide = None if active is None else active.expand(2, 3, size)
        if space.is_binary or sites:
            assert found is None if wide is None else torch.equal(found, wide)
        else:
            assert torch.equal(found, possible if wide is None else possible & wide[..., None])
