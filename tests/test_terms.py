"""Terms: the weighted sum, and how much of it rests on few."""

import pytest
import torch

from pyro_rm.estimators import Terms

CONTRIBUTIONS = torch.tensor([[0.5, 2.0], [0.25, 7.0], [9.0, 4.0]])
WEIGHTS = torch.tensor([[1.0, 3.0], [4.0, 1.0], [0.0, 2.0]])  # the first row visits two units


def test_the_value_is_the_weighted_sum_of_each_datum():
    assert Terms(CONTRIBUTIONS, WEIGHTS).value.tolist() == [1.5, 21.0]


def test_the_effective_sample_size_is_of_the_weights():
    sizes = Terms(CONTRIBUTIONS, WEIGHTS).effective_sample_size
    assert sizes.tolist() == pytest.approx([25 / 17, 36 / 14])


@pytest.mark.parametrize("visited", [1, 2, 3])
def test_units_that_weigh_the_same_are_as_effective_as_many(visited):
    weights = 0.3 * (torch.arange(3) < visited)[:, None]
    assert Terms(CONTRIBUTIONS[:, :1], weights).effective_sample_size.item() == pytest.approx(
        visited
    )


def test_the_largest_share_is_of_the_weighted_contributions():
    assert Terms(CONTRIBUTIONS, WEIGHTS).largest_share.tolist() == pytest.approx([2 / 3, 8 / 21])


def test_a_datum_of_which_nothing_is_visited_has_no_terms():
    terms = Terms(torch.zeros(3, 1), torch.zeros(3, 1))
    for result in (terms.value, terms.effective_sample_size, terms.largest_share):
        assert result.tolist() == [0]
