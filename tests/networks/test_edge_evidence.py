"""Evidence for and against edges: the sampler against sums over all structures, and the door."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.networks import EdgeEvidence, EdgePrior, IsingNetwork, evidence
from pyro_rm.networks.edge_priors import EdgePriorState
from pyro_rm.networks.model_covariance import model_covariance
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.profiles import normal_likelihood
from pyro_rm.networks.spike_and_slab import enumerate_structures, sample_structures
from pyro_rm.objectives import as_objective

pytestmark = pytest.mark.usefixtures("float64")
EDGES = np.array(list(itertools.combinations(range(4), 2)))
OWNERS = {"numbers": np.arange(6), "matrices": np.array([0, 1, 1, 1, 2, 2])}
PRIORS = {
    "Bernoulli": EdgePrior(0.3),
    "beta-Bernoulli": EdgePrior(beta=(1, 2)),
    "blocks": EdgePrior(beta=(1, 1), blocks=list("aabb")),
}


def problem(seed=0, num_edges=6):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(num_edges, 9))
    covariance = 0.01 * half @ half.T / 9 + 0.002 * np.eye(num_edges)
    return rng.normal(0, 0.2, num_edges), covariance


def log_evidence(estimate, covariance, included, scale):
    spread = torch.tensor(covariance + np.diag(included) * scale**2)
    normal = torch.distributions.MultivariateNormal(torch.zeros(len(estimate)), spread)
    return normal.log_prob(torch.tensor(estimate)).item()


@pytest.mark.parametrize("owners", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_enumeration_is_the_sum_over_structures(prior, owners):
    """Oracle: one structure at a time, couplings by regression on the included ones."""
    estimate, covariance = problem()
    edges = EDGES[: owners[-1] + 1]
    found = enumerate_structures(estimate, covariance, 0.4, prior, edges, 4, owners)
    total, inclusion, average = 0.0, np.zeros(len(edges)), np.zeros(6)
    for bits in itertools.product([False, True], repeat=len(edges)):
        included = np.array(bits)
        prior_odds = prior.log_probability(included[None], edges, 4)[0]
        there = included[owners]
        weight = np.exp(log_evidence(estimate, covariance, there, 0.4) + prior_odds)
        slab = 0.16 * np.diag(there)
        total += weight
        inclusion += weight * included
        average += weight * slab @ np.linalg.solve(covariance + slab, estimate)
    np.testing.assert_allclose(found.probabilities(), inclusion / total)
    np.testing.assert_allclose(found.averages(), average / total, atol=1e-12)


@pytest.mark.parametrize("owners", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_sweeps_agree_with_enumeration(prior, owners):
    """Of 4000 sweeps Rao-Blackwell averages vary by less than 0.005; five of these are 0.025."""
    exact, sampled = (
        solve(*problem(), 0.4, prior, EDGES[: owners[-1] + 1], 4, owners, **options)
        for solve, options in (
            (enumerate_structures, {}),
            (sample_structures, {"num_sweeps": 4000}),
        )
    )
    np.testing.assert_allclose(sampled.probabilities(), exact.probabilities(), atol=0.025)
    np.testing.assert_allclose(sampled.averages(), exact.averages(), atol=0.01)
    np.testing.assert_allclose(sampled.log_posterior_odds(), exact.log_posterior_odds(), atol=0.15)
    for probability in (0.05, 0.5, 0.95):
        ends = [posterior.quantiles(probability) for posterior in (sampled, exact)]
        np.testing.assert_allclose(*ends, atol=0.02)
    (structure, share), (likely, probability) = (p.most_probable(1)[0] for p in (sampled, exact))
    assert (structure == likely).all()
    assert share == pytest.approx(probability, abs=0.05)


@pytest.mark.parametrize("burn_in", [0, 30, 50])
def test_sweeps_before_those_that_count_can_be_any_number(burn_in):
    """Of 1000 sweeps averages vary by less than 0.01; five of these are 0.05."""
    problem_of_six = (*problem(), 0.4, PRIORS["Bernoulli"], EDGES, 4, np.arange(6))
    exact = enumerate_structures(*problem_of_six).probabilities()
    sampled = sample_structures(*problem_of_six, num_sweeps=1000, burn_in=burn_in)
    np.testing.assert_allclose(sampled.probabilities(), exact, atol=0.05)


def test_many_changes_leave_the_inverse_as_it_is():
    """What waits and what was applied give the inverse that is computed anew."""
    from pyro_rm.networks.spike_and_slab import _Chain

    estimate, covariance = problem(num_edges=8)
    chain = _Chain(estimate, covariance, 0.16)
    chain.refresh()
    rng = np.random.default_rng(1)
    for edge in rng.integers(8, size=75):
        chain.flip(edge)
    pairs = [chain._without(edge) for edge in range(8)]
    chain.refresh()
    np.testing.assert_allclose(pairs, [chain._without(edge) for edge in range(8)])


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_prior_odds_are_those_of_prior_probabilities(prior):
    structures = np.array(list(itertools.product([False, True], repeat=6)))
    log_probability = prior.log_probability(structures, EDGES, 4)
    assert np.exp(log_probability).sum() == pytest.approx(1)
    assert np.exp(log_probability) @ structures[:, 2] == pytest.approx(prior.marginal)
    state = prior.state(EDGES, 4)
    included = np.array([True, False, True, True, False, False])
    for edge in included.nonzero()[0]:
        state.set(edge, True)
    for edge in range(6):
        pair = np.stack([included, included])
        pair[:, edge] = [False, True]
        without, beside = prior.log_probability(pair, EDGES, 4)
        assert state.log_odds(edge, included[edge]) == pytest.approx(beside - without)


def test_inferred_blocks_follow_their_conditional():
    """Oracle: all labels of one site, weighed by the prior of the structure given blocks."""
    included = np.array([True, True, False, False, False, True])
    state = EdgePriorState(EdgePrior(beta=(1, 1), blocks=2), EDGES, 4)
    for edge in included.nonzero()[0]:
        state.set(edge, True)
    state.labels[:] = [0, 0, 1, 1]
    state._regroup()
    found = [state._log_chance(1, label) for label in range(2)]
    expected = []
    for label in "ab":
        prior = EdgePrior(beta=(1, 1), blocks=["a", label, "b", "b"])
        counts = 2 if label == "a" else 3  # of the other sites in the block, plus 1
        expected.append(prior.log_probability(included[None], EDGES, 4)[0] + np.log(counts))
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0])
    state.move_blocks(np.random.default_rng(0))
    assert state._present.sum() == included.sum()


def data(num_rows=400, states=(0, 1), seed=0):
    torch.manual_seed(seed)
    couplings = torch.zeros(5, 5)
    couplings[0, 1] = couplings[1, 2] = 1.6
    x = NormalizedModel(Ising(couplings + couplings.mT, -couplings.sum(0))).sample((num_rows,))
    x = states[0] + (states[1] - states[0]) * x
    return pd.DataFrame(x.numpy(), columns=list("abcde"))


def test_evidence_is_the_same_in_both_codings():
    bits, spins = (
        IsingNetwork(selection=None).fit(data(states=states)).edge_evidence().table
        for states in ((0, 1), (-1, 1))
    )
    columns = ["source", "target", "probability", "bayes_factor", "coupling", "lower", "upper"]
    assert list(bits) == columns
    np.testing.assert_allclose(bits.bayes_factor, spins.bayes_factor, rtol=1e-3)
    np.testing.assert_allclose(bits.coupling, 4 * spins.coupling, atol=1e-3)
    assert (bits.lower <= bits.coupling).all()
    assert (bits.coupling <= bits.upper).all()
    assert bits.probability[0] > 0.99  # the coupling between a and b


def test_evidence_of_many_edges_is_sampled(monkeypatch):
    """Of 4000 sweeps averages vary by less than 0.005; five of these are 0.025."""
    network = IsingNetwork(selection=None, random_state=0).fit(data())
    exact = network.edge_evidence().probabilities
    monkeypatch.setattr(evidence, "MAX_ENUMERATED", 9)
    sampled = network.edge_evidence(num_sweeps=4000).probabilities
    np.testing.assert_allclose(sampled, exact, atol=0.025)
    assert (sampled != exact).any()


def test_structures_sensitivity_and_verdicts():
    evidence = IsingNetwork(selection=None).fit(data()).edge_evidence(prior=EdgePrior(0.3))
    (graph, probability), *_ = found = evidence.structures(3)
    assert {("a", "b"), ("b", "c")} <= set(graph.edges)
    assert 0 < found[2][1] <= found[1][1] <= probability < 1
    table = evidence.sensitivity(priors=[0.3, EdgePrior(beta=(1, 1))])
    assert len(table) == 10 * 3 * 2
    assert list(table.slab_scale.unique()) == [0.8, 1.6, 3.2]
    same = table[(table.slab_scale == 1.6) & (table.prior == 0)]
    np.testing.assert_allclose(same.probability, evidence.probabilities)
    assert evidence.verdicts()[0] == "present"
    factors = evidence.bayes_factors
    assert [v == "absent" for v in evidence.verdicts(3)] == list(factors < 1 / 3)
    with pytest.raises(ValueError, match="Expected a threshold above 1"):
        evidence.verdicts(0.5)


def test_pictures_have_three_colors():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    evidence = EdgeEvidence(
        "abcd", EDGES[[0, 1, 3]], [1.0, 0.0, 0.2], 0.01 * np.eye(3), slab_scale=2
    )
    assert evidence.verdicts() == ["present", "absent", "undecided"]
    figure, axis = pyplot.subplots()
    evidence.plot(axis)
    assert {line.get_color() for line in axis.lines if len(line.get_xdata())} == {
        "tab:blue", "tab:red", "lightgray"
    }  # fmt: skip
    assert {text.get_text() for text in axis.texts} == set("abcd")  # d has no edge
    words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert words == ["undecided (1)", "absent (1)", "present (1)"]
    pyplot.close(figure)


def test_model_covariance_of_draws_is_that_of_all_states():
    """4000 draws: relative errors of variances are about 3 %; the bound is five of them."""
    network = IsingNetwork(selection=None).fit(data())
    exact, everything = network._model_covariance(), torch.ones(1, 5, dtype=torch.bool)
    drawn = model_covariance(
        network._model, as_objective("pseudolikelihood"), 400.0,
        patterns=everything, shares=torch.ones(1),
    )  # fmt: skip
    np.testing.assert_allclose(drawn.diagonal(), np.diag(exact), rtol=0.16)
    ratio = np.diag(exact)[:10] / np.diag(network.covariance_)
    assert 0.7 < np.exp(np.log(ratio).mean()) < 1.4


def test_model_covariance_is_the_inverse_information_of_two_sites():
    """Oracle: of two sites the pseudolikelihood estimate is the maximum likelihood one."""
    model = PairwiseModel.on(StateSpace(2), torch.tensor([[0, 1]]), torch.ones(1))
    with torch.no_grad():
        model.energy.weight.fill_(0.7)
        model.energy.fields.copy_(torch.tensor([-0.2, 0.3]))
    found = model_covariance(model, as_objective("pseudolikelihood"), 100.0)
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 2)
    weights = (-model.energy(states)).softmax(0)
    statistics = torch.cat([states.prod(1, keepdim=True), states], 1)
    centered = statistics - weights @ statistics
    information = centered.mT @ (weights[:, None] * centered)
    torch.testing.assert_close(found, torch.linalg.inv(information) / 100)


def test_blanks_widen_the_evidence_and_are_remembered(tmp_path):
    table = data()
    whole = IsingNetwork(selection=None).fit(table)
    rng = np.random.default_rng(0)
    network = IsingNetwork(selection=None, random_state=0).fit(
        table.mask(rng.random(table.shape) < 0.3)
    )
    assert network.pattern_shares_.sum() == pytest.approx(1)
    variances = [np.diag(n._model_covariance())[:10].mean() for n in (whole, network)]
    assert variances[1] > 1.5 * variances[0]
    network.save(tmp_path / "network.pt")
    again = IsingNetwork.load(tmp_path / "network.pt")
    first, second = (n.edge_evidence().probabilities for n in (network, again))
    np.testing.assert_allclose(first, second)


def test_separated_edges_have_evidence_from_their_profiles():
    table = data()
    table = table[~((table.a == 1) & (table.b == 0))]
    with pytest.warns(UserWarning, match="no finite estimate"):
        network = IsingNetwork(selection=None).fit(table)
    evidence = network.edge_evidence()
    assert evidence.bayes_factors[0] > 100
    estimate, variance = normal_likelihood(network.profiles_[0], 1.6)
    assert estimate > 0
    assert 0 < variance < np.inf
    others = network.edge_evidence(slab_scale=1.6).table
    assert others.notna().all().all()


def test_evidence_is_nan_where_there_is_no_estimate():
    evidence = EdgeEvidence(
        "abc", EDGES[[0, 1, 3]], [1.0, np.nan, 0.0], 0.01 * np.eye(3), slab_scale=1.0
    )
    assert np.isnan(evidence.table.probability).tolist() == [False, True, False]
    assert evidence.verdicts()[1] == "undecided"


def test_what_evidence_cannot_be_of_is_refused():
    table = data()
    with pytest.raises(ValueError, match="selected edges"):
        IsingNetwork().fit(table).edge_evidence()
    with pytest.raises(ValueError, match=r"ridge=0\.1"):
        IsingNetwork(selection=None, ridge=0.1).fit(table).edge_evidence()
    network = IsingNetwork(selection=None).fit(table)
    for options, words in (
        ({"level": 1.0}, "level between 0 and 1"),
        ({"level": 0.0}, "level between 0 and 1"),
        ({"slab_scale": 0.0}, "positive slab_scale"),
        ({"num_sweeps": 0}, "num_sweeps"),
        ({"prior": 1.5}, "probability between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=words):
            network.edge_evidence(**options).table  # noqa: B018
    with pytest.raises(ValueError, match="positive definite"):
        EdgeEvidence("ab", EDGES[:1], [1.0], [[0.0]], slab_scale=1.0)
    for options, words in (
        ({}, "neither"),
        ({"probability": 0.5, "beta": (1, 1)}, "both"),
        ({"beta": (0, 1)}, "two positive numbers"),
        ({"probability": 0.5, "blocks": 2}, "Expected beta beside blocks"),
        ({"beta": (1, 1), "blocks": 1}, "blocks"),
    ):
        with pytest.raises(ValueError, match=words):
            EdgePrior(**options)
    with pytest.raises(ValueError, match="a block for 4 sites"):
        EdgePrior(beta=(1, 1), blocks=["a"]).state(EDGES, 4)
