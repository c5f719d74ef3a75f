"""Ordinal networks: estimates by enumeration, labels in and out, evidence and comparison."""

from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from pyro_rm.energies import OrdinalEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.networks import (
    EdgeEvidence,
    IsingNetwork,
    OrdinalNetwork,
    PottsNetwork,
    compare,
    predictability,
    resample,
)
from pyro_rm.networks.batched_fits import BatchedFits
from pyro_rm.networks.newton import newton_minimize
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.refit import refit

mpl.use("agg")
EDGES = torch.triu_indices(3, 3, 1).T
ORDER = ["never", "rarely", "often", "always"]


def random_energy(sites, scale=1.5, thresholds="free"):
    energy = OrdinalEnergy(sites, thresholds=thresholds).double().requires_grad_(False)
    both = energy.couples[energy.edges[:, 0], :, None] & energy.couples[energy.edges[:, 1], None, :]
    energy.weight.copy_(scale * torch.randn(energy.weight.shape) * both)
    energy.fields.copy_(0.5 * torch.randn(energy.fields.shape) * energy.exists)
    return energy


def everything(energy):
    """All states with their probabilities."""
    space = energy.state_space
    states = states_at(space, torch.arange(space.num_states))
    return states.double(), (-energy(space.encode(states, torch.float64))).softmax(0)


def drawn(energy, size):
    states, chances = everything(energy)
    return states[torch.multinomial(chances, size, replacement=True)]


def scores(kinds):
    return tuple((torch.arange(kinds).double() / (kinds - 1) - 0.5).tolist())


def mixed(size=400, blank=0.0):
    """A chain of an ordinal, a numeric, a binary and a nominal column, and one alone."""
    x = drawn(random_energy([scores(4), scores(5), scores(2), 3], scale=0.0), size).long()
    x[:, 1] = torch.where(torch.rand(size) < 0.6, x[:, 0], x[:, 1])
    x[:, 2] = torch.where(torch.rand(size) < 0.5, (x[:, 1] > 1).long(), x[:, 2])
    x[:, 3] = torch.where(torch.rand(size) < 0.5, x[:, 2] + 1, x[:, 3])
    frame = pd.DataFrame({
        "mood": pd.Categorical([ORDER[k] for k in x[:, 0]], ORDER, ordered=True),
        "step": x[:, 1].numpy() + 1,
        "ill": x[:, 2].numpy().astype(bool),
        "town": [["Rome", "Bonn", "Oslo"][k] for k in x[:, 3]],
        "luck": np.random.default_rng(0).integers(0, 3, size),
    })  # fmt: skip
    return frame.mask(torch.rand(size, 5).numpy() < blank) if blank else frame


@pytest.mark.parametrize("thresholds", ["free", "blume_capel"])
def test_the_distribution_itself_is_fitted_by_its_own_parameters(thresholds):
    """Oracle: all states as rows, weighted by their probabilities."""
    kinds = [scores(3), scores(4), scores(2), 3]
    energy = random_energy(kinds, thresholds=thresholds)
    states, chances = everything(energy)
    network = OrdinalNetwork(selection=None, thresholds=thresholds, kinds={3: "nominal"})
    network.fit(states, sample_weight=800 * chances)
    assert network.kinds_ == ["ordinal", "ordinal", "binary", "nominal"]
    numbers = [0, 1, 3]  # edges of scores only
    expected = energy.weight[numbers, 0, 0]
    torch.testing.assert_close(
        torch.as_tensor(network.weights_[numbers]), expected, atol=1e-3, rtol=0
    )
    tables = energy.pairwise().couplings
    tables, fields = tables[1, :, 3, :], energy.pairwise().fields
    part = tables[:4, :3] - tables[:4, :3].mean(0) - tables[:4, :3].mean(1, keepdim=True)
    part = part + tables[:4, :3].mean()
    found = network.edge_table(1, 3)
    np.testing.assert_allclose(found.to_numpy(), part, atol=1e-3)
    assert network.weights_[4] == pytest.approx(2 * float(part.norm()), abs=1e-3)
    assert found.columns.tolist() == [0, 1, 2]
    for site, own in enumerate(energy.state_space.categories):
        np.testing.assert_allclose(
            network.fields_[site, :own], fields[site, :own] - fields[site, :own].mean(), atol=1e-3
        )
        assert (network.fields_[site, own:] == 0).all()


def test_two_nominal_columns_have_the_interactions_of_their_table_of_counts():
    """Oracle: the log counts in the zero-sum gauge, as the model has no constraint."""
    counts = torch.tensor([[30, 12, 9, 5], [8, 25, 14, 9], [11, 7, 22, 40]])
    rows = [(a, b) for a in range(3) for b in range(4) for _ in range(int(counts[a, b]))]
    network = OrdinalNetwork(selection=None, kinds="nominal").fit(np.array(rows))
    logs = counts.double().log()
    logs = logs - logs.mean(0) - logs.mean(1, keepdim=True) + logs.mean()
    np.testing.assert_allclose(network.edge_table(0, 1).to_numpy(), logs, atol=1e-5)
    expected = PottsNetwork(ridge=0.0, dtype=torch.float64, max_steps=500).fit(np.array(rows))
    np.testing.assert_allclose(network.weights_, 2 * expected.weights_, atol=1e-3)
    errors = 2 * expected.standard_errors_
    np.testing.assert_allclose(network.standard_errors_, errors, rtol=5e-3)


def test_binary_columns_have_the_couplings_and_the_errors_of_an_ising_network():
    x = (torch.rand(300, 4) < 0.5).double()
    x[:, 1] = torch.where(torch.rand(300) < 0.6, x[:, 0], x[:, 1])
    blank = torch.rand(300, 3) < 0.1
    other = torch.randint(3, (300, 1)).double()
    x = x[:, :3].masked_fill(blank, torch.nan)
    graph = nx.complete_graph(3)
    ising = IsingNetwork(graph=graph, num_fills=1000).fit(x)
    graph.add_node(3)
    network = OrdinalNetwork(graph=graph, num_fills=1000).fit(torch.cat([x, other], 1))
    np.testing.assert_allclose(network.weights_, ising.weights_, atol=1e-4)
    np.testing.assert_allclose(network.standard_errors_, ising.standard_errors_, rtol=1e-3)
    np.testing.assert_allclose(network.covariance_, ising.covariance_, atol=1e-4)


def test_scores_are_sums_of_log_probabilities_of_each_column_given_the_others():
    """Oracle: conditionals of the joint distribution of all states."""
    network = OrdinalNetwork(selection=None).fit(mixed())
    states, chances = everything(network.energy_)
    shape = network.energy_.state_space.categories
    joint = chances.view(shape)
    expected = sum((joint / joint.sum(site, keepdim=True)).log() for site in range(5)).flatten()
    rows = network._framed(states.long().numpy())
    np.testing.assert_allclose(network.score_samples(rows), expected, atol=1e-8)
    given = network.predict_proba(rows, "step")
    conditional = (joint / joint.sum(1, keepdim=True)).movedim(1, -1)
    codes = states.long()
    own = conditional[codes[:, 0], codes[:, 2], codes[:, 3], codes[:, 4]]
    np.testing.assert_allclose(given, own, atol=1e-8)


def test_couplings_are_as_good_as_those_of_maximum_likelihood():
    """Oracle: the likelihood by sums over all states. Both errors are of the same data."""
    kinds, ours, exact = [scores(3), scores(4), scores(5), scores(3)], [], []
    for _ in range(6):
        energy = random_energy(kinds)
        x = drawn(energy, 500)
        network = OrdinalNetwork(selection=None, kinds="ordinal").fit(x)
        model = OrdinalEnergy(kinds).double()
        encoded = [energy.state_space.encode(v, torch.float64) for v in (everything(energy)[0], x)]
        optimizer = torch.optim.LBFGS(
            model.parameters(), max_iter=300, line_search_fn="strong_wolfe"
        )

        def closure(model=model, optimizer=optimizer, encoded=encoded):
            optimizer.zero_grad()
            loss = model(encoded[1]).mean() + (-model(encoded[0])).logsumexp(0)
            loss.backward()
            return loss

        optimizer.step(closure)
        true = energy.weight[:, 0, 0].numpy()
        ours.append(network.weights_ - true)
        exact.append(model.weight.detach()[:, 0, 0].numpy() - true)
    ratio = np.sqrt(np.mean(np.square(ours)) / np.mean(np.square(exact)))
    assert ratio < 1.1


@pytest.mark.parametrize("blank", [0.0, 0.2])
def test_intervals_cover(blank):
    """Fails by chance with probability below 1e-3, if coverage is .9: 240 edges, in 24 sets."""
    inside, energy = [], random_energy([scores(3), scores(5), scores(2), scores(4), scores(3)])
    for number in range(24):
        x = drawn(energy, 600)
        x[torch.rand(x.shape) < blank] = torch.nan
        network = OrdinalNetwork(selection=None, kinds="ordinal", random_state=number).fit(x)
        table = network.summary(level=0.9)
        true = energy.weight[:, 0, 0].numpy()
        inside += ((table.lower < true) & (true < table.upper)).tolist()
    assert 0.82 < np.mean(inside) < 0.97


@pytest.mark.parametrize("thresholds", ["free", "blume_capel"])
def test_selection_finds_a_chain_and_says_labels_and_kinds(thresholds, tmp_path):
    frame = mixed(800, blank=0.1)
    network = OrdinalNetwork(thresholds=thresholds, random_state=0).fit(frame)
    assert network.kinds_ == ["ordinal", "ordinal", "binary", "nominal", "ordinal"]
    assert network.edges_.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert (network.summary().p_value < 1e-4).all()
    assert network.couplings_.shape == (5, 5)
    draws = network.sample(50)
    assert draws.columns.tolist() == frame.columns.tolist()
    assert draws.mood.dtype.ordered
    assert draws.mood.cat.categories.tolist() == ORDER
    assert set(draws.town) == {"Rome", "Bonn", "Oslo"}
    assert OrdinalNetwork().fit(network.sample(300)).kinds_ == network.kinds_
    filled = network.impute(frame)
    assert filled.dtypes.mood == frame.dtypes.mood
    assert not filled.isna().any().any()
    assert (filled[frame.notna()] == frame)[frame.notna()].stack().all()
    graph = network.to_networkx()
    assert list(graph.nodes["mood"]["thresholds"]) == ORDER
    assert graph.nodes["town"]["kind"] == "nominal"
    assert network.plot() is not None
    assert network.plot_edges() is not None
    assert predictability(network, frame).name.tolist() == frame.columns.tolist()
    network.save(tmp_path / "network.pt")
    again = OrdinalNetwork.load(tmp_path / "network.pt")
    assert again.score(frame) == network.score(frame)
    assert again.sample(5).equals(network.sample(5))
    assert "5 columns" in repr(again)


def test_arrays_come_back_as_arrays():
    x = torch.randint(1, 4, (200, 3))
    x[:, 1] = torch.where(torch.rand(200) < 0.7, x[:, 0], x[:, 1])
    network = OrdinalNetwork(selection=None, random_state=0).fit(x)
    assert network.categories_ == 3 * [[1, 2, 3]]
    assert network.sample(4).dtype.kind == "i"
    y = x.double()
    y[0, 0] = torch.nan
    assert torch.equal(network.impute(y)[1:].double(), y[1:])
    words = np.array([["a", 1], ["b", 2], ["c", 1], ["a", 2], ["b", 1], ["c", 2]], dtype=object)
    text = OrdinalNetwork(selection=None, random_state=0, ridge=1.0).fit(words)
    assert set(text.sample(20)[:, 0]) <= {"a", "b", "c"}


def test_evidence_takes_numbers_and_matrices():
    """Oracle: with nominal edges left out of a diagonal problem, the others keep their evidence."""
    network = OrdinalNetwork(selection=None, random_state=0).fit(mixed())
    evidence = network.edge_evidence()
    is_scalar = ~(network.edges_ == 3).any(1)
    estimate, covariance, owners = network._coordinates()
    assert np.bincount(owners).tolist() == np.where(is_scalar, 1, 2).tolist()
    np.testing.assert_allclose(estimate[is_scalar[owners]], network.weights_[is_scalar])
    squares = np.bincount(owners, (estimate * network._unit()) ** 2)
    np.testing.assert_allclose(squares[~is_scalar] ** 0.5, network.weights_[~is_scalar])
    np.testing.assert_allclose(evidence.estimate, estimate)
    apart = replace(evidence, covariance=np.diag(np.diag(covariance)))
    kept = is_scalar[owners]
    alone = EdgeEvidence(
        network._columns, network.edges_[is_scalar], estimate[kept],
        np.diag(np.diag(covariance)[kept]), slab_scale=evidence.slab_scale,
    )  # fmt: skip
    np.testing.assert_allclose(apart.probabilities[is_scalar], alone.probabilities)
    assert np.isfinite(evidence.table.probability).all()
    assert (evidence.table.coupling.isna() == ~is_scalar).all()
    table = evidence.table.set_index(["source", "target"])
    assert table.bayes_factor["mood", "step"] > 100
    assert table.bayes_factor["mood", "luck"] < 1
    five = OrdinalNetwork(selection=None, kinds="ordinal").fit(torch.randint(5, (200, 3)))
    assert five.edge_evidence().slab_scale == pytest.approx(3.2)
    with pytest.raises(ValueError, match=r"OrdinalNetwork\(selection=None\)"):
        OrdinalNetwork().fit(mixed()).edge_evidence()


def test_a_fit_to_a_weighting_is_that_of_the_network_with_these_weights():
    """Oracle: networks of their own, with blanks that are filled by all joint values."""
    frame = mixed(150, blank=0.05)
    network = OrdinalNetwork(selection=None, num_fills=1000, random_state=0, num_rounds=60)
    network.fit(frame)
    fits = BatchedFits.of(network, network._read_like(frame))
    weights = torch.stack([torch.ones(150), torch.randint(1, 4, (150,))]).double()
    couplings, fields = fits(weights)
    for own, raw, alone in zip(weights, couplings, fields, strict=True):
        other = clone(network).fit(frame, sample_weight=own.numpy())
        np.testing.assert_allclose(network._weights_of(raw[None])[0], other.weights_, atol=5e-3)
        np.testing.assert_allclose(alone.view(5, -1), other.energy_.fields.detach(), atol=5e-3)


def test_groups_are_compared_and_resampled_as_binary_ones_are():
    groups = [mixed(250), mixed(250)]
    a, b = (OrdinalNetwork(selection=None, random_state=0).fit(group) for group in groups)
    found = compare(a, b, data=tuple(groups), num_permutations=30)
    is_scalar = ~(a.edges_ == 3).any(1)
    np.testing.assert_allclose(
        found.table.difference[is_scalar], (a.weights_ - b.weights_)[is_scalar]
    )
    assert found.table.difference[~is_scalar].isna().all()
    assert found.table.p_permuted.between(1 / 31, 1).all()
    assert found.all_edges.degrees_of_freedom == is_scalar.sum() + 2 * (~is_scalar).sum()
    assert found.table.p_value.between(0, 1).all()
    same = compare(a, a)
    assert same.all_edges.p_value == 1
    with pytest.raises(ValueError, match="same codings"):
        compare(a, OrdinalNetwork(selection=None, thresholds="blume_capel").fit(groups[1]))
    samples = resample(a, groups[0], num_samples=12)
    errors = a.standard_errors_[is_scalar]
    ratio = samples.table.standard_error.to_numpy()[is_scalar] / errors
    assert (ratio > 0.3).all()
    assert (ratio < 3).all()
    centers = resample(
        a, groups[0], lambda n: nx.degree_centrality(n.to_networkx()), num_samples=3,
        scheme="drop_cases", shares=(0.5,),
    )  # fmt: skip
    assert list(centers.names) == list(groups[0].columns)


def test_a_pair_of_answers_that_no_row_has_is_said_by_name():
    frame = pd.DataFrame({
        "dose": 4 * [1] + 4 * [2] + 12 * [3] + 12 * [1],
        "cured": ["no"] * 8 + ["yes"] * 12 + ["no"] * 12,
    })  # fmt: skip
    with pytest.warns(UserWarning, match="'dose' = 3 with 'cured' = no"):
        network = OrdinalNetwork(selection=None).fit(frame)
    assert network.separated_.tolist() == [[0, 1]]
    assert np.isnan(network.standard_errors_).all()
    assert np.isnan(network.p_values_).all()
    assert network.weights_[0] > 2


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="Expected thresholds"):
        OrdinalNetwork(thresholds="ordered").fit(mixed())
    with pytest.raises(ValueError, match="use IsingNetwork"):
        OrdinalNetwork().fit([[0, 1], [1, 0], [1, 1], [0, 0]])
    network = OrdinalNetwork().fit(mixed())
    with pytest.raises(ValueError, match="Expected one of"):
        network.edge_table("mood", "age")
    with pytest.raises(ValueError, match="in column 'town'"):
        network.score(mixed().assign(town="Paris"))
    assert clone(network).get_params() == network.get_params()
    assert [*pairwise(network.categories_[1])] == [(1, 2), (2, 3), (3, 4), (4, 5)]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_fits_arrive_where_the_objective_is_not_convex_and_newton_gives_up(scale):
    model = PairwiseModel(random_energy([scores(3)] * 3, scale).requires_grad_(), EDGES)
    data = Observations.of(torch.randint(3, (60, 3)).double(), model.space)
    estimator, size = Estimator("ratio_matching", num_neighbors="all"), model.energy.weight.numel()
    penalty = 0.01 * torch.ones(size + model.energy.fields.numel())
    options = {"tolerance": 1e-8, "max_steps": 50}
    found = newton_minimize(model, data, estimator, penalty, **options)
    assert (found is None) == (scale > 0)
    loss = refit(model, data, estimator, ridge=0.6, field_ridge=0.6)
    parameters = torch.cat([p.flatten() for p in model.energy.parameters()])
    torch.nn.init.zeros_(model.energy.weight)
    torch.nn.init.zeros_(model.energy.fields)
    assert newton_minimize(model, data, estimator, penalty, **options) == pytest.approx(loss)
    again = torch.cat([p.flatten() for p in model.energy.parameters()])
    torch.testing.assert_close(parameters, again, atol=1e-4, rtol=0)


def test_columns_without_an_edge_are_a_network_too():
    x = torch.randint(4, (300, 3))
    network = OrdinalNetwork(random_state=0).fit(x)
    assert network.edges_.shape == (0, 2)
    assert network.summary().empty
    assert (network.couplings_ == 0).all()
    assert network.sample(5).shape == (5, 3)
    shares = np.exp(network.fields_) / np.exp(network.fields_).sum(1, keepdims=True)
    expected = torch.nn.functional.one_hot(x, 4).double().mean(0)
    np.testing.assert_allclose(shares, expected, atol=1e-4)


def test_evidence_of_no_edges_is_an_empty_table():
    network = OrdinalNetwork(graph=nx.empty_graph(["mood", "step"])).fit(mixed()[["mood", "step"]])
    assert len(network.edge_evidence().table) == 0
    assert len(compare(network, network).table) == 0
