"""Fills of blanks: all of them with the model's probabilities, or draws; rows stay whole."""

import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.networks import missing_cells
from pyro_rm.networks.missing_cells import refill, with_fills
from pyro_rm.networks.pairwise_models import PairwiseModel

pytestmark = pytest.mark.usefixtures("float64")
NAN = torch.nan


def random_model(space):
    edges = torch.tensor([[0, 1], [1, 2], [0, 2]])
    model = PairwiseModel.on(space, edges, torch.zeros(1))
    with torch.no_grad():
        for parameter in model.energy.parameters():
            parameter.normal_()
    return model


@pytest.mark.parametrize("space", [
    StateSpace(3), StateSpace(3, states=(-1, 1)), StateSpace(3, 3), StateSpace(3, (2, 4, 3)),
])  # fmt: skip
def test_weights_of_all_fills_are_conditional_probabilities(space):
    """Oracle: energies of all values of the blanks, one at a time."""
    low, high = space.states
    x = torch.tensor([[1.0, NAN, NAN], [1.0, 1.0, 0.0]]) * (high - low) + low
    model = random_model(space)
    observations = refill(with_fills(x, space, None, 16), model)
    values = space.decode(observations.encoded)
    rows = observations.datum == 0
    size = space.categories[1] * space.categories[2]
    assert len({tuple(row) for row in values[rows].tolist()}) == int(rows.sum()) == size
    expected = (-model.energy(observations.encoded[rows])).softmax(0) / 2
    torch.testing.assert_close(observations.weights[rows], expected)
    assert observations.weights[~rows].tolist() == [0.5]
    assert observations.active.sum() == 3 + size


def test_draws_follow_the_conditionals(monkeypatch):
    """Shares of 4000 draws of three blanks: five standard errors are 0.04."""
    space, model = StateSpace(3), random_model(StateSpace(3))
    x = torch.tensor([[1.0, NAN, NAN]]).repeat(2000, 1)
    exact = with_fills(x[:1], space, None, 2, model=model)
    torch.manual_seed(0)
    monkeypatch.setattr(missing_cells, "_FEW", 1)  # no joint values are few
    drawn = with_fills(x, space, None, 1, bounded=True, model=model)
    assert drawn.drawn.all()
    drawn = refill(drawn, model, num_steps=20)
    means = drawn.weights @ drawn.encoded
    torch.testing.assert_close(means, exact.weights @ exact.encoded, atol=0.06, rtol=0)


def test_rows_are_bounded_and_few_blanks_come_first():
    x = torch.bernoulli(torch.full((50, 12), 0.5))
    x[0, :2] = x[1, :9] = NAN
    observations = with_fills(x, StateSpace(12), None, 3, bounded=True)
    copies = torch.bincount(observations.datum)
    assert copies[0] == 4
    assert 3 <= copies[1] <= 48
    assert (copies[2:] == 1).all()
    assert len(observations.weights) <= 3 * 50
    torch.testing.assert_close(observations.data_weights, torch.full((50,), 1 / 50))


def test_data_keep_all_their_fills():
    x = torch.bernoulli(torch.full((40, 4), 0.5))
    x[::3, 1] = NAN
    observations = with_fills(x, StateSpace(4), None, 4)
    chosen = torch.arange(40) % 2 == 0
    part = observations.data(chosen)
    assert part.num_data == 20
    assert len(part.encoded) == 20 + int((chosen & x[:, 1].isnan()).sum())
    torch.testing.assert_close(part.data_weights, torch.full((20,), 1 / 20))
    training, held_out = observations.split(0.25)
    assert (training.num_data, held_out.num_data) == (30, 10)


def test_averages_are_means_over_fills():
    x = torch.tensor([[1.0, NAN], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    observations = with_fills(x, StateSpace(2), None, 4)
    average = observations.averaged()
    assert average.encoded.shape == (4, 2)
    torch.testing.assert_close(average.encoded[0, 1], torch.tensor(2 / 3))  # of the column
    assert average.active.tolist() == [[True, False], *[[True, True]] * 3]
