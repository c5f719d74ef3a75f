"""Designs: what the exact tests of unbiasedness in test_mathematics leave open."""

import pytest
import torch

from pyro_rm.designs import as_design, inclusion_probabilities


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
