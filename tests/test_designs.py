"""Designs: inclusion probabilities met exactly, by integrating over the offset."""

import itertools

import pytest
import torch

from pyro_rm.designs import (
    ProportionalToSize,
    as_design,
    inclusion_probabilities,
    stratified_offsets,
    systematic_draw,
)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("seed", range(20))
def test_inclusion_probabilities_are_met_exactly(seed):
    torch.manual_seed(seed)
    sizes = torch.rand(7) ** (1 + seed % 5 * 3)
    sizes[seed % 3] = 0
    inclusion = inclusion_probabilities(sizes, 3)
    torch.testing.assert_close(inclusion.sum(), torch.tensor(3.0))
    assert (inclusion <= 1).all()
    assert inclusion[seed % 3] == 0
    free = (inclusion < 1) & (sizes > 0)
    ratio = inclusion[free] / sizes[free]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    # every offset: the draw is constant between the breaks of the cumulative sum
    order = torch.randperm(7)
    breaks = torch.cat([inclusion[order].cumsum(0) % 1, torch.tensor([0.0, 1.0])]).sort().values
    visits = torch.zeros(7)
    for low, high in itertools.pairwise(breaks.tolist()):
        if high - low > 1e-12:
            index, weights = systematic_draw(inclusion, order, torch.tensor((low + high) / 2), 3)
            assert len(set(index.tolist())) == 3
            torch.testing.assert_close(weights, 1 / inclusion[index])
            visits[index] += high - low
    torch.testing.assert_close(visits, inclusion)


def test_every_offset_is_uniform_over_all_deals_of_the_strata(monkeypatch):
    points = (torch.arange(4) + 0.5) / 4
    offsets = []
    for deal, point in itertools.product(itertools.permutations(range(3)), points):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randperm", lambda n, _=deal, **options: torch.tensor(_))
            patch.setattr(torch, "rand", lambda n, _=point, **options: _.expand(n))
            offsets.append(stratified_offsets(torch.Size([3]), torch.float32, torch.device("cpu")))
    grid = ((torch.arange(12) + 0.5) / 12)[:, None, None].expand(12, 2, 3).flatten(0, 1)
    torch.testing.assert_close(torch.stack(offsets).sort(0).values, grid)


@pytest.mark.parametrize("shape", [(16,), (2, 3, 16)])
def test_a_batch_visits_every_candidate_as_often_as_it_should(shape):
    sizes = torch.ones(8).expand((*shape, 8))
    visited = ProportionalToSize().draw(sizes, 2).candidates.flatten()
    assert (visited.bincount(minlength=8) == visited.numel() // 8).all()


@pytest.mark.usefixtures("float64")
def test_rows_with_few_candidates_are_summed_exactly():
    sizes = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.4, 0.3, 0.2, 0.1]])
    draw = ProportionalToSize().draw(sizes, 3)
    visited = draw.candidates[:, 0][draw.weights[:, 0] > 0]
    assert sorted(visited.tolist()) == [0, 2]
    assert draw.weights[:, 0].sum() == 2
    assert (draw.weights[:, 1] == 0).all()


@pytest.mark.parametrize("name", ["all", "proportional_to_size", "unweighted", "with_replacement"])
@pytest.mark.parametrize("shape", [(5,), (3, 5), ()])
def test_an_expanded_row_draws_as_copies_of_it_do(name, shape):
    row = torch.rand(7)
    draws = []
    for sizes in (row.expand((*shape, 7)), row.repeat((*shape, 1))):
        torch.manual_seed(1)
        draws.append(as_design(name).draw(sizes, 3))
    assert torch.equal(draws[0].candidates, draws[1].candidates)
    torch.testing.assert_close(draws[0].weights, draws[1].weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inclusion_probabilities_keep_their_sum_where_few_hold_all_the_mass(dtype):
    sizes = torch.full((2000,), 1e-9, dtype=dtype)
    sizes[:9] = torch.tensor([1.0, 0.9, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-6, 1e-6])
    inclusion = inclusion_probabilities(sizes, 10)
    assert inclusion.sum(dtype=torch.float64).item() == pytest.approx(10, abs=1e-4)
    assert (inclusion[:6] == 1).all()
