"""Designs: inclusion probabilities met exactly, by integrating over the offset."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from pyro_rm import designs
from pyro_rm.designs import ProportionalToSize, WithReplacement, as_design
from pyro_rm.systematic_sampling import (
    inclusion_probabilities,
    one_row,
    stratified_offsets,
    sum_type,
    systematic_draw,
)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("num_draws", [1, 3])
@pytest.mark.parametrize("seed", range(20))
def test_inclusion_probabilities_are_met_exactly(seed, num_draws):
    torch.manual_seed(seed)
    sizes = torch.rand(7) ** (1 + seed % 5 * 3)
    sizes[seed % 3] = 0
    inclusion = inclusion_probabilities(sizes, num_draws)
    torch.testing.assert_close(inclusion.sum(), torch.tensor(float(num_draws)))
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
            offset = torch.tensor((low + high) / 2)
            index, weights = systematic_draw(inclusion, order, offset, num_draws)
            assert len(set(index.tolist())) == num_draws
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


@pytest.mark.parametrize("num_draws", [2, 3, 4, 10, 102])
def test_inclusion_probabilities_sum_to_the_draws_though_sums_of_sizes_round(num_draws):
    sizes = torch.tensor([1.0] * 3 + [1e-20] * 100)[torch.randperm(103)]
    inclusion = inclusion_probabilities(sizes, num_draws)
    assert inclusion.sum(dtype=torch.float64).item() == pytest.approx(num_draws, abs=1e-4)
    assert inclusion[sizes == 1].tolist() == pytest.approx([min(1, num_draws / 3)] * 3)


NAMES = sorted(designs._BUILT_IN)


def evenly(monkeypatch):
    """Uniform draws that are the middles of equal strata, in the type that is asked for."""

    def rand(*shape, dtype=None, device=None):
        count = torch.Size(*shape).numel() if isinstance(shape[0], tuple) else shape[0]
        points = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        return points.to(dtype or torch.get_default_dtype())

    monkeypatch.setattr(torch, "rand", rand)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_with_replacement_are_as_frequent_as_large(monkeypatch, dtype):
    sizes = torch.tensor([0.5, 0.0, 1.5, 2.0], dtype=dtype)
    evenly(monkeypatch)
    for name, expected in (("with_replacement", sizes.sum() / sizes / 8), ("unweighted", None)):
        draw = as_design(name).draw(sizes, 8)
        counts = draw.candidates.bincount(minlength=4)
        assert counts.tolist() == [1, 0, 3, 4]
        each = torch.full((8,), 1 / 8, dtype=dtype)
        torch.testing.assert_close(
            draw.weights, each if expected is None else expected[draw.candidates]
        )


@pytest.mark.parametrize("name", ["proportional_to_size", "unweighted", "with_replacement"])
def test_the_smallest_candidate_is_not_lost_to_rounding(monkeypatch, name):
    sizes = torch.tensor([1, 2**-23, 1 - 2**-23], dtype=torch.float32)

    def rand(*shape, dtype=None, device=None):
        drawn = torch.zeros(*shape, dtype=torch.float64) + (0.5 + 3 * 2**-26)
        return drawn.to(dtype or torch.float32)

    monkeypatch.setattr(torch, "rand", rand)
    monkeypatch.setattr(torch, "randperm", torch.arange)
    assert as_design(name).draw(sizes, 1).candidates.item() == 1
    steps = torch.tensor([2**24] + [1] * 8, dtype=torch.float32)  # their sum stalls in float32
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **_: torch.zeros(*shape).double() + (1 - 2**-30)
    )
    assert as_design(name).draw(steps, 1).candidates.item() == 8


def test_systematic_draws_lose_nothing_to_rounding():
    inclusion = torch.tensor([1, 2**-24, 1 - 2**-24], dtype=torch.float32)
    offset = torch.tensor(2**-25, dtype=torch.float64)
    index, _ = systematic_draw(inclusion, torch.arange(3), offset, 2)
    assert index.tolist() == [0, 1]
    short = torch.tensor([0.7] * 10 + [0.0], dtype=torch.float32)  # the sum is just below 7
    index, weights = systematic_draw(short, torch.arange(11), 1 - offset / 2**5, 7)
    assert index[-1] == 9
    assert (weights > 0).all()


def test_a_tick_that_rounding_puts_beyond_all_candidates_weighs_nothing():
    ulp = 2.0**-50
    inclusion = torch.tensor([0.875] * 7 + [0.875 + ulp, 0.0], dtype=torch.float64)
    offset = torch.tensor(1 - ulp, dtype=torch.float64)
    _, weights = systematic_draw(inclusion, torch.arange(9), offset, 7)
    assert weights.isfinite().all()


@pytest.mark.parametrize("scale", [1e-30, 3e38])
def test_inclusion_probabilities_do_not_depend_on_the_scale_of_sizes(scale):
    sizes = torch.tensor([1.0, 1.0, 0.9, 0.1, 0.0, 0.8])
    expected = inclusion_probabilities(sizes, 2)
    torch.testing.assert_close(inclusion_probabilities(scale * sizes, 2), expected)


@pytest.mark.parametrize("scale", [1e-30, 1e38, 3e38])
def test_weights_with_replacement_do_not_depend_on_the_scale_of_sizes(scale):
    """Nor does a sum of sizes beyond single precision make them infinite."""
    sizes, index = torch.tensor([1.0, 1.0, 0.9, 0.1, 0.0, 0.8]), torch.arange(6)
    sizes = sizes.to(torch.float32)
    expected = WithReplacement().weights(sizes, index)
    got = WithReplacement().weights(scale * sizes, index)
    torch.testing.assert_close(got, expected)


def test_draws_beyond_the_candidates_are_padding_whatever_the_offset():
    index, weights = systematic_draw(torch.ones(2), torch.arange(2), torch.zeros(()), 4)
    assert index[:2].tolist() == [0, 1]
    assert weights.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_few_candidates_are_certain_however_small(seed):
    torch.manual_seed(seed)
    sizes = torch.cat([torch.rand(6).double(), torch.tensor([1e-25, 0.0, 0.0]).double()])
    sizes = sizes[torch.randperm(9)] / 3
    for num_draws in (7, 8, 9):
        assert torch.equal(inclusion_probabilities(sizes, num_draws), (sizes > 0).double())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_have_the_type_of_sizes_and_mark_what_must_not_be_visited(name, dtype):
    sizes = torch.tensor([[0.3, 0.0, 5.0], [0.0, 0.0, 0.0]], dtype=dtype)
    draw = as_design(name).draw(sizes, 2)
    assert draw.weights.dtype == dtype
    assert draw.candidates.shape == draw.weights.shape
    assert ((sizes[0, draw.candidates[:, 0]] > 0) == (draw.weights[:, 0] > 0)).all()
    assert (draw.weights[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", NAMES)
def test_draws_are_where_their_sizes_are_and_weigh_in_their_type(name, device, dtype):
    sizes = torch.ones(4, 5, dtype=dtype, device=device)
    draw = as_design(name).draw(sizes, 2)
    assert draw.candidates.device == draw.weights.device == sizes.device
    assert draw.weights.dtype == dtype
    assert draw.candidates.dtype == torch.int64


def test_sums_are_of_double_precision_where_the_device_has_it():
    mac = SimpleNamespace(dtype=torch.float32, device=torch.device("mps"))
    assert sum_type(mac) == torch.float32
    assert sum_type(torch.zeros(2, dtype=torch.bfloat16)) == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_offsets_have_the_shape_type_and_device_that_are_asked_for(device, dtype):
    offsets = stratified_offsets(torch.Size([2, 3]), dtype, torch.device(device))
    assert (offsets.shape, offsets.dtype, offsets.device.type) == ((2, 3), dtype, device)


@pytest.mark.parametrize("name", NAMES)
def test_one_candidate_a_row_weighs_one_whatever_its_size(name):
    draw = as_design(name).draw(torch.tensor([[0.5], [3.0], [1.0]]), 1)
    assert draw.weights.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("shape", [(2,), (4, 2), (1, 5)])
def test_rows_that_are_one_in_memory_cost_as_one(shape):
    row = torch.rand(7)
    assert torch.equal(one_row(row.expand((*shape, 7))).flatten(), row)
    kept = torch.rand((*shape, 7))
    assert torch.equal(one_row(kept), kept)


def test_designs_are_shown_by_their_names():
    assert [repr(as_design(name)) for name in NAMES] == [
        *("AllNeighbors()", "ProportionalToSize()", "Unweighted()", "WithReplacement()"),
    ]
