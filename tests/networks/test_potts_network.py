"""Potts networks: the gauge, strengths, weights, contacts, and the front door."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from pyro_rm import StateSpace
from pyro_rm.energies import PairwiseFunction
from pyro_rm.enumeration import states_at
from pyro_rm.networks import (
    PottsNetwork,
    average_product_correction,
    contact_precision,
    coupling_norms,
    sequence_weights,
    zero_sum_gauge,
)


def random_potts(space):
    shape = tuple(space.encoded_shape)
    couplings = torch.randn(*shape, *shape)
    couplings = couplings + couplings.permute(2, 3, 0, 1)
    for site in range(space.num_sites):
        couplings[site, :, site] = 0
    return couplings, torch.randn(shape)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("categories", [3, (2, 3, 4)])
def test_the_gauge_changes_no_probability(categories):
    """Oracle: log probabilities of all states; and a second application changes nothing."""
    space = StateSpace(3, categories)
    couplings, fields = random_potts(space)
    exists = space.category_mask().double()
    pairs, singles = zero_sum_gauge(couplings, fields, space)
    x = space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)
    before, after = (
        (-PairwiseFunction(j, h, space)(x)).log_softmax(0)
        for j, h in ((couplings, fields), (pairs, singles))
    )
    torch.testing.assert_close(after, before)
    torch.testing.assert_close((pairs * exists).sum(-1), torch.zeros(*pairs.shape[:-1]))
    torch.testing.assert_close(singles.sum(-1), torch.zeros(3))
    twice = zero_sum_gauge(pairs, singles, space)
    torch.testing.assert_close(twice[0], pairs)
    torch.testing.assert_close(twice[1], singles)
    kept = couplings * exists[..., None, None] * exists
    assert (coupling_norms(pairs) <= coupling_norms(kept) + 1e-12).all()


def test_corrected_strengths_of_a_product_are_small_beside_those_of_a_contact():
    popularity = torch.rand(20) + 0.5
    strengths = torch.outer(popularity, popularity)
    strengths[3, 9] = strengths[9, 3] = strengths[3, 9] + 1
    corrected = average_product_correction(strengths)
    assert corrected.argmax() == 3 * 20 + 9
    torch.testing.assert_close(corrected, corrected.mT)
    assert (corrected.diagonal() == 0).all()


def test_the_gap_can_be_left_out():
    couplings = torch.zeros(2, 3, 2, 3)
    couplings[0, 0, 1, 0] = couplings[1, 0, 0, 0] = 5.0
    couplings[0, 1, 1, 2] = couplings[1, 2, 0, 1] = 2.0
    assert coupling_norms(couplings, skip_first=True)[0, 1] == 2


def test_copies_share_a_weight():
    x = torch.randint(21, (50, 10))
    mutant = x[:1].clone()
    mutant[0, 0] = (mutant[0, 0] + 1) % 21
    weights = sequence_weights(torch.cat([x, x[:1], mutant]), identity=0.9, chunk_size=7)
    torch.testing.assert_close(weights[[0, 50, 51]], torch.full((3,), 1 / 3))
    assert sequence_weights(torch.cat([x, mutant]), identity=1.0).sum() == 51
    with pytest.raises(ValueError, match="identity above 0 and up to 1, but got 80"):
        sequence_weights(x, identity=80)


def test_precision_counts_far_pairs_with_known_distances():
    distances = torch.full((5, 5), 20.0)
    distances[0, 3] = distances[3, 0] = 5.0
    distances[1, 4] = distances[4, 1] = torch.nan
    distances[0, 1] = distances[1, 0] = 1.0  # too near along the chain
    strengths = -distances.nan_to_num(-100.0)
    curve = contact_precision(strengths, distances, min_separation=3)
    torch.testing.assert_close(curve, torch.tensor([1.0, 0.5]))
    with pytest.raises(ValueError, match="of one shape"):
        contact_precision(strengths, distances[:4, :4])


def chain(num_rows=1500):
    """Two pairs of sites agree, one site is on its own."""
    x = torch.randint(3, (num_rows, 5))
    for first, second in ((0, 1), (2, 3)):
        x[:, second] = torch.where(torch.rand(num_rows) < 0.5, x[:, first], x[:, second])
    return pd.DataFrame(x.numpy(), columns=list("abcde"))


def test_strengths_find_the_pairs():
    network = PottsNetwork().fit(chain())
    strongest = network.to_networkx(num_edges=2)
    assert {frozenset(e) for e in strongest.edges} == {frozenset("ab"), frozenset("cd")}
    assert list(strongest.nodes) == list("abcde")
    np.testing.assert_allclose(network.couplings_.sum(-1), 0, atol=1e-4)


def test_a_group_path_fits_selected_pairs_only():
    network = PottsNetwork(num_penalties=8, ridge=0.1).fit(chain())
    edges = {tuple(edge) for edge in network.edges_.tolist()}
    assert {(0, 1), (2, 3)} <= edges
    assert len(edges) < 10
    strengths = coupling_norms(torch.tensor(network.couplings_))
    unfitted = torch.ones(5, 5, dtype=torch.bool).triu(1)
    unfitted[tuple(network.edges_.T)] = False
    assert (strengths[unfitted] == 0).all()


def test_samples_and_scores():
    """Agreement of a pair is 2/3 in the data; five standard errors of 1000 draws are 0.08."""
    table = chain()
    network = PottsNetwork(ridge=0.01).fit(table)
    draws = network.sample(1000, num_steps=20)
    assert list(draws) == list("abcde")
    assert abs((draws.a == draws.b).mean() - 2 / 3) < 0.08
    independent = sum(np.log(table[c].value_counts(normalize=True)).mean() for c in "abcde")
    assert network.score(table) > independent


def test_scikit_learn_clones():
    network = PottsNetwork(ridge=2.0, num_categories=(3, 4, 3))
    assert clone(network).get_params() == network.get_params()


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"a": [0, 1.5], "b": [0, 2]}, {}, r"\['a'\] hold 1\.5"),
        ({"a": [0, None], "b": [0, 2]}, {}, r"\['a'\] are constant"),
        ({"a": [0, -1], "b": [0, 2]}, {}, r"\['a'\] hold -1"),
        ({"a": [0, 0], "b": [0, 2]}, {}, r"\['a'\] are constant"),
        ({"a": [0, 3], "b": [0, 2]}, {"num_categories": 3}, r"\['a'\] go up to 3"),
        ({"a": [0, 1], "b": [1, 0]}, {}, "use IsingNetwork"),
    ],
)
def test_bad_tables(table, options, message):
    with pytest.raises(ValueError, match=message):
        PottsNetwork(**options).fit(pd.DataFrame(table))
