"""Ordinal energies: the formula on all states, coordinates of sites, and what is refused."""

import pytest
import torch

from pyro_rm import Target
from pyro_rm.energies import OrdinalEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.testing import check_energy

SITES = [(-0.5, -0.2, 0.5), (-0.5, 0.5), 3]


def randomized(sites, edges=None, thresholds="free"):
    energy = OrdinalEnergy(sites, edges, thresholds=thresholds).requires_grad_(False)
    torch.nn.init.normal_(energy.weight)
    torch.nn.init.normal_(energy.fields)
    return energy


@pytest.mark.usefixtures("float64")
def test_energies_of_all_states_are_those_of_the_formula():
    """Oracle: a loop over states and pairs, with scores as they were given."""
    energy = randomized([(0.0, 1.0, 3.0), (-1.0, 1.0), (0.0, 0.5, 1.0)], thresholds="blume_capel")
    scores = [(0.0, 1.0, 3.0), (-1.0, 1.0), (0.0, 0.5, 1.0)]
    space, a, b = energy.state_space, energy.fields[:, 0], energy.fields[:, 1]
    states = states_at(space, torch.arange(space.num_states))
    expected = []
    for state in states.int().tolist():
        s = [own[k] for own, k in zip(scores, state, strict=True)]
        pairs = zip(energy.edges.tolist(), energy.weight[:, 0, 0].tolist(), strict=True)
        total = sum(j * s[first] * s[second] for (first, second), j in pairs)
        total += sum(a[i] * s[i] + (b[i] * s[i] ** 2 if i != 1 else 0) for i in range(3))
        expected.append(-float(total))
    x = space.encode(states, torch.float64)
    torch.testing.assert_close(energy(x), torch.tensor(expected))
    torch.testing.assert_close(energy.pairwise()(x), torch.tensor(expected))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("thresholds", ["free", "blume_capel"])
def test_what_it_says_of_itself_agrees_with_its_values(thresholds):
    edges = torch.tensor([[2, 0], [1, 2]])
    for energy in (randomized(SITES, None, thresholds), randomized(SITES, edges, thresholds)):
        check_energy(energy)
        x = energy.state_space.encode(torch.tensor([[2, 0, 1], [0, 1, 2]]), torch.float64)
        torch.testing.assert_close(energy.local_fields(x), energy.pairwise().local_fields(x))
    forest = Target.of(energy)
    states = states_at(energy.state_space, torch.arange(energy.state_space.num_states))
    exact = (-forest.energy(energy.state_space.encode(states, torch.float64))).logsumexp(0)
    torch.testing.assert_close(energy.log_partition(1), exact)


def test_coordinates_of_a_site_are_its_scores_and_contrasts():
    energy = OrdinalEnergy([(0, 1, 2, 3), (0, 1), 3]).double()
    ordinal, binary, nominal = energy.basis
    assert energy.exists.sum(1).tolist() == [3, 1, 2]
    assert energy.couples.sum(1).tolist() == [1, 1, 2]
    torch.testing.assert_close(ordinal[:, 0], torch.arange(4.0).double())
    others = torch.cat([ordinal[:, 1:], torch.ones(4, 1), ordinal[:, :1]], 1).mT @ ordinal[:, 1:]
    torch.testing.assert_close(others, torch.eye(4, 2).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(nominal[:3, :2].mT @ nominal[:3, :2], torch.eye(2).double())
    torch.testing.assert_close(nominal[:3].sum(0), torch.zeros(3).double(), atol=1e-12, rtol=0)
    assert (binary[2:] == 0).all()
    assert (binary[:, 1:] == 0).all()
    assert (nominal[3:] == 0).all()


@pytest.mark.parametrize(("sites", "options", "words"), [
    ([(0, 1), (0, 1)], {}, "more than two categories at some site"),
    ([(0, 2, 1), 3], {}, "increasing scores"),
    ([1, 3], {}, "two or more"),
    ([3, 3], {"thresholds": "none"}, "thresholds .*, but got 'none'"),
    ([3, 3], {"edges": torch.tensor([[0, 2]])}, "edges between sites 0 to 1"),
])  # fmt: skip
def test_what_is_no_ordinal_energy_is_refused(sites, options, words):
    with pytest.raises(ValueError, match=words):
        OrdinalEnergy(sites, **options)
