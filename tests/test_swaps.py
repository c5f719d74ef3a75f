"""Exchanges of two sites' values: against enumeration, and their way into fits and programs."""

import itertools
import math

import pyro
import pytest
import torch

import pyro_rm
from pyro_rm import Estimator, StateSpace, Target, estimate, estimate_terms
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, SparseIsingEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.infer import NoiseLevels
from pyro_rm.markov_steps import Chains, Kawasaki
from pyro_rm.objectives import as_objective
from pyro_rm.swaps import _drawn_swaps

pytestmark = pytest.mark.usefixtures("float64")
ENERGIES = {
    "bits": lambda: IsingEnergy(4),
    "spins": lambda: IsingEnergy(4, states=(-1, 1)),
    "categories": lambda: PottsEnergy(3, 3),
    "a network": lambda: MLPEnergy(4, (5,)),
}


def drawn(make):
    energy = make()
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=0.8)
    space = energy.state_space
    return energy, states_at(space, torch.arange(space.num_states))


def by_hand(energy, x, objective, active=None):
    """One pair of sites at a time."""
    total = 0.0
    for first, second in itertools.combinations(range(len(x)), 2):
        fixed = active is not None and not (active[first] and active[second])
        if x[first] == x[second] or fixed:
            continue
        other = x.clone()
        other[first], other[second] = x[second], x[first]
        pair = energy.state_space.encode(torch.stack([x, other]), torch.float64)
        here, there = energy(pair)
        total = total + objective(here - there)
    return total


@torch.no_grad()
@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching", "squared_ratio"])
@pytest.mark.parametrize("make", ENERGIES.values(), ids=ENERGIES)
def test_all_swaps_are_those_of_two_sites_that_differ(make, objective):
    energy, states = drawn(make)
    for active in (None, torch.arange(states.shape[1]) != 1):
        got = estimate(
            energy, states, objective=objective, num_neighbors="all", neighborhood="swaps",
            active=active,
        )  # fmt: skip
        form = as_objective(objective)
        want = torch.tensor([float(by_hand(energy, x, form, active)) for x in states])
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching"])
@pytest.mark.parametrize("make", ENERGIES.values(), ids=ENERGIES)
def test_the_truth_is_stationary_whatever_the_shares_of_sums(make, objective):
    """Oracle: the mean over all states, weighted by their probabilities given their counts."""
    energy, states = drawn(make)
    encoded = energy.state_space.encode(states, torch.float64)
    counts = states.sort(-1).values
    shares = torch.zeros(len(states))
    for group in counts.unique(dim=0):
        here = (counts == group).all(-1)
        shares[here] = torch.rand(()) * (-energy(encoded[here])).softmax(0).detach()
    loss = estimate(energy, states, objective=objective, num_neighbors="all", neighborhood="swaps")
    (shares @ loss).backward()
    for parameter in energy.parameters():
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), atol=1e-9, rtol=0)


def test_swaps_are_drawn_uniformly_and_sums_are_unbiased():
    """Frequencies of 40000 draws: five standard errors, wrong once in 10^5 for six pairs."""
    target = Target.of(IsingEnergy(5))
    x = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0], [0.0] * 5])
    pairs, weights = _drawn_swaps(target, x, 40_000)
    codes = pairs.amin(0)[:, 0] * 5 + pairs.amax(0)[:, 0]
    frequencies = torch.bincount(codes, minlength=25)
    known = [0 * 5 + 2, 0 * 5 + 3, 0 * 5 + 4, 1 * 5 + 2, 1 * 5 + 3, 1 * 5 + 4]
    assert set(frequencies.nonzero().flatten().tolist()) == set(known)
    error = (1 / 6 * 5 / 6 / 40_000) ** 0.5
    torch.testing.assert_close(
        frequencies[known] / 40_000, torch.full((6,), 1 / 6), atol=5 * error, rtol=0
    )
    assert weights.tolist() == [6 / 40_000, 0]


def test_chunks_change_neither_values_nor_gradients():
    energy, states = drawn(ENERGIES["a network"])
    found = []
    for chunk in (None, 1, 20):
        energy.zero_grad()
        loss = estimate(
            energy, states, num_neighbors="all", neighborhood="swaps",
            max_neighbors_per_chunk=chunk,
        )  # fmt: skip
        loss.sum().backward()
        found.append([loss.detach(), *(p.grad.clone() for p in energy.parameters())])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_fixed_sums_are_learned_and_drawn():
    """Oracle: probabilities of the ten states with two of five; fitted to them exactly."""
    truth, states = drawn(lambda: IsingEnergy(5))
    states = states[states.sum(-1) == 2]
    wanted = (-truth(states)).softmax(0).detach()
    energy = IsingEnergy(5).double()
    search = torch.optim.LBFGS(energy.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        search.zero_grad()
        options = {"num_neighbors": "all", "neighborhood": "swaps"}
        loss = wanted @ estimate(energy, states, **options)
        loss.backward()
        return loss

    search.step(closure)
    torch.testing.assert_close((-energy(states)).softmax(0), wanted, atol=1e-4, rtol=0)
    chains = Chains(energy, states[:1].expand(500, 5), Kawasaki()).run(20)
    codes = (chains.encoded @ 2.0 ** torch.arange(5)).long()
    assert set(codes.tolist()) == set((states @ 2.0 ** torch.arange(5)).long().tolist())


def test_a_pyro_program_is_fitted_by_swaps():
    energy = SparseIsingEnergy(4, torch.tensor([[0, 1], [2, 3]]))
    x = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])

    def program(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    loss = pyro_rm.RatioMatchingLoss(num_neighbors="all", neighborhood="swaps")
    got = loss.loss(program, lambda x: None, x)
    want = estimate(energy, x, num_neighbors="all", neighborhood="swaps").sum()
    assert got == pytest.approx(want.item())


def test_what_swaps_cannot_do_is_refused():
    energy, x = IsingEnergy(3), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"Expected the neighborhood 'changes' or 'swaps'"):
        Estimator(neighborhood="pairs")
    for options in ({"proposal": "activity"}, {"design": "all"}, {"control_variate": True}):
        with pytest.raises(ValueError, match="Expected neither a proposal, a design nor"):
            Estimator(neighborhood="swaps", **options)
    leveled = MLPEnergy(3, (4,), num_levels=2)
    with pytest.raises(ValueError, match="Expected no levels of noise"):
        estimate(leveled, x, levels=NoiseLevels((0.0, 1.0)), neighborhood="swaps")
    mixed = PottsEnergy(2, (2, 3))
    with pytest.raises(ValueError, match="equally many categories"):
        estimate(mixed, torch.zeros(1, 2).long(), neighborhood="swaps")
    with pytest.raises(ValueError, match="equally many categories"):
        Chains(mixed, torch.eye(3)[None, :2], Kawasaki()).run(1)
    with pytest.raises(ValueError, match="neighborhood='swaps'"):
        estimate(
            lambda x: torch.where(x.sum(-1) == 2, 0.0, torch.inf), x, state_space=StateSpace(3)
        )
    terms = estimate_terms(energy, x, neighborhood="swaps")
    assert terms.value.tolist() == [0, 0]


@pytest.mark.parametrize("num_neighbors", [None, "all"])
def test_one_datum_and_many_batch_dimensions(num_neighbors):
    """With equal energies each swap costs log 2, and 3 x 1 swaps count whatever is drawn."""
    x = torch.tensor([1.0, 0.0, 0.0, 0.0])
    options = {"num_neighbors": num_neighbors, "neighborhood": "swaps"}
    for shape in ((), (1,), (2, 3)):
        found = estimate(IsingEnergy(4), x.expand(*shape, 4), **options)
        torch.testing.assert_close(found, torch.full(shape, 3 * math.log(2.0)))


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("num_neighbors", [None, "all"])
def test_a_context_is_repeated_for_the_swaps(num_neighbors, chunk):
    """An energy that joins both needs them of the same shape; it is equal for all swaps."""
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0]]).expand(3, 4)
    found = estimate(
        lambda x, c: torch.cat([x, c], -1).sum(-1), x, state_space=StateSpace(4),
        context=torch.randn(3, 2), num_neighbors=num_neighbors, neighborhood="swaps",
        max_neighbors_per_chunk=chunk,
    )  # fmt: skip
    torch.testing.assert_close(found, torch.full((3,), 4 * math.log(2.0)))


def test_no_state_is_seen_whose_inactive_sites_have_changed():
    x, active = torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([True, True, True, False])

    def energy(x):
        return torch.where(x[..., 3] == 0, x[..., 0], torch.inf)  # refused where it is not finite

    for num_neighbors in (None, "all"):
        found = estimate(
            energy, x, state_space=StateSpace(4), active=active, num_neighbors=num_neighbors,
            neighborhood="swaps",
        )  # fmt: skip
        assert found.isfinite().all()
