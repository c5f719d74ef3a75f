"""Fits of one network against enumeration of all graphs on its nodes, and what is refused."""

import warnings
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch

from pyro_rm.graphs import RandomGraphModel
from pyro_rm.graphs.dyads import Dyads, active_dyads
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.monte_carlo_likelihood import maximum_likelihood
from pyro_rm.graphs.nodes import Nodes
from pyro_rm.graphs.pseudolikelihood import ChangeTable
from pyro_rm.graphs.simulated_errors import bootstrap_covariance
from pyro_rm.graphs.terms import Terms
from pyro_rm.graphs.tie_chains import TieChains
from pyro_rm.testing.graph_terms import all_graphs

SMALL = nx.Graph([(0, 1), (1, 2), (0, 2), (2, 3)])
SMALL.add_node(4)
DIRECTED = nx.DiGraph([(0, 1), (1, 0), (1, 2), (0, 2), (3, 2)])
BIPARTITE = nx.Graph([(0, 3), (0, 4), (0, 5), (1, 3), (2, 5)])
nx.set_node_attributes(BIPARTITE, {v: int(v > 2) for v in BIPARTITE}, "bipartite")
MODELS = {
    "undirected": (SMALL, ["edges", "gwesp(0.5)"]),
    "directed": (DIRECTED, ["edges", "mutual", "gwesp(0.3)"]),
    "bipartite": (BIPARTITE, ["edges", "gwb1degree(0.5)"]),
}


def statistics_of(graph, terms):
    """Of all graphs on the nodes, ``(2 ** D, K)``, and of the graph itself."""
    nodes = Nodes.of(graph)
    terms = Terms(terms, nodes)
    graphs, pairs = all_graphs(nodes)
    return terms.value(graphs), terms.value(EdgeSets.of(graph, nodes))[0], pairs


def moments(statistics, point):
    chance = np.exp(statistics @ point - (statistics @ point).max())
    chance /= chance.sum()
    mean = chance @ statistics
    centered = statistics - mean
    return chance, mean, centered.T @ (centered * chance[:, None])


def exact_maximum(statistics, observed, possible=None):
    """Maximum likelihood; given that one of the possible graphs was observed, if some are."""
    point = np.zeros(statistics.shape[1])
    for _ in range(200):
        _, mean, spread = moments(statistics, point)
        aim = observed
        if possible is not None:
            _, aim, less = moments(statistics[possible], point)
            spread = spread - less
        point = point + np.clip(np.linalg.solve(spread, aim - mean), -1, 1)
    return point, np.linalg.inv(spread)


@pytest.mark.parametrize("name", MODELS)
def test_chains_have_the_moments_of_the_model(name):
    """Fails by chance less than once in 10 ** 6: within five standard errors of chain means."""
    graph, terms = MODELS[name]
    statistics, _, _ = statistics_of(graph, terms)
    point = np.array([-0.6, 0.4, 0.3])[: len(terms)]
    nodes = Nodes.of(graph)
    chains = TieChains(
        Terms(terms, nodes), EdgeSets.of(graph, nodes, 200), Dyads(nodes), point
    ).run(300)  # fmt: skip
    draws = chains.sample(40, 30)
    _, mean, spread = moments(statistics, point)
    errors = draws.mean(0).std(0) / 200**0.5
    assert (np.abs(draws.mean((0, 1)) - mean) < 5 * errors).all()
    np.testing.assert_allclose(np.cov(draws.reshape(-1, len(terms)).T), spread, rtol=0.15)
    np.testing.assert_allclose(chains.statistics, chains.terms.value(chains.graph), atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_the_maximum_of_the_likelihood(name):
    """Fails by chance less than once in 10 ** 5: within five errors of simulation."""
    graph, terms = MODELS[name]
    statistics, observed, _ = statistics_of(graph, terms)
    exact, covariance = exact_maximum(statistics, observed)
    model = RandomGraphModel(terms, tolerance=0.03).fit(graph)
    assert model.converged_
    assert not model.degenerate_
    assert (np.abs(model.coefficients_ - exact) < 5 * model.monte_carlo_errors_).all()
    assert (model.monte_carlo_errors_ <= 0.03 * model.standard_errors_).all()
    np.testing.assert_allclose(model.covariance_, covariance, rtol=0.25)


def test_the_maximum_where_pairs_are_missing():
    statistics, observed, pairs = statistics_of(SMALL, ["edges", "gwesp(0.5)"])
    hidden = [(3, 4), (0, 1)]
    bits = [pairs.index(pair) for pair in hidden]
    own = sum(1 << number for number, (a, b) in enumerate(pairs) if SMALL.has_edge(a, b))
    kept = ~sum(1 << bit for bit in bits)
    possible = (np.arange(len(statistics)) & kept) == own & kept
    assert possible.sum() == 4
    exact, _ = exact_maximum(statistics, observed, possible)
    model = RandomGraphModel(["edges", "gwesp(0.5)"], tolerance=0.03).fit(SMALL, missing=hidden)
    assert model.converged_
    assert (np.abs(model.coefficients_ - exact) < 5 * model.monte_carlo_errors_).all()


def test_pseudolikelihood_is_logistic_regression():
    api = pytest.importorskip("statsmodels.api")
    graph = nx.karate_club_graph()
    terms = ["edges", "gwesp(0.5)", "gwdegree(0.7)", "nodematch('club')"]
    model = RandomGraphModel(terms, method="pseudolikelihood", standard_errors="naive").fit(graph)
    nodes = Nodes.of(graph)
    rows, answers = [], []
    for a in range(34):  # by differences of values, one pair after the other
        for b in range(a + 1, 34):
            with_edge, without = graph.copy(), graph.copy()
            with_edge.add_edge(a, b)
            without.remove_edges_from([(a, b)])
            both = [Terms(terms, nodes).value(EdgeSets.of(g, nodes)) for g in (with_edge, without)]
            rows.append((both[0] - both[1])[0])
            answers.append(graph.has_edge(a, b))
    fit = api.Logit(np.array(answers, float), np.stack(rows)).fit(disp=False, tol=1e-14)
    np.testing.assert_allclose(model.coefficients_, fit.params, atol=1e-8)
    np.testing.assert_allclose(model.naive_standard_errors_, fit.bse, atol=1e-8)
    np.testing.assert_allclose(model.standard_errors_, fit.bse, atol=1e-8)


def test_godambe_errors_against_enumeration():
    """Fails by chance less than once in 10 ** 4: a covariance of 4000 scores."""
    terms = ["edges", "gwesp(0.5)"]
    model = RandomGraphModel(terms, method="pseudolikelihood", num_simulations=4000).fit(SMALL)
    nodes = Nodes.of(SMALL)
    graphs, _ = all_graphs(nodes)
    bound = Terms(terms, nodes)
    scores = np.stack([
        ChangeTable(bound, graphs, Dyads(nodes), copy=copy)
        .derivatives(model.coefficients_).gradient
        for copy in range(graphs.num_copies)
    ])  # fmt: skip
    chance, _, _ = moments(bound.value(graphs), model.coefficients_)
    variability = (scores * chance[:, None]).T @ scores  # the mean is zero: Fisher consistent
    np.testing.assert_allclose(chance @ scores, 0, atol=1e-9)
    observed = ChangeTable(bound, EdgeSets.of(SMALL, nodes), Dyads(nodes))
    inverse = np.linalg.inv(observed.derivatives(model.coefficients_).information)
    np.testing.assert_allclose(model.covariance_, inverse @ variability @ inverse, rtol=0.15)


def test_bootstrap_errors():
    graph = nx.karate_club_graph()
    options = {"method": "pseudolikelihood", "num_simulations": 100}
    terms = ["edges", "gwesp(0.5)", "nodematch('club')"]
    fits = [
        RandomGraphModel(terms, standard_errors=way, **options).fit(graph)
        for way in ("bootstrap", "godambe")
    ]
    np.testing.assert_allclose(*(fit.standard_errors_ for fit in fits), rtol=0.5)
    assert (fits[0].standard_errors_ != fits[0].naive_standard_errors_).all()


def test_simulations_without_an_estimate_are_left_out_of_the_bootstrap():
    nodes = Nodes.of(SMALL)
    terms, dyads = Terms(["edges"], nodes), Dyads(nodes)
    graphs = [nx.path_graph(5), nx.complete_graph(5), nx.cycle_graph(5), nx.empty_graph(5)]
    tables = [ChangeTable(terms, EdgeSets.of(graph, nodes), dyads) for graph in graphs]
    covariance, without = bootstrap_covariance(tables, np.zeros(1), ["edges"])
    assert without == 2
    np.testing.assert_allclose(covariance, [[np.var([np.log(4 / 6), 0.0], ddof=1)]], atol=1e-8)
    covariance, without = bootstrap_covariance(tables[1:3], np.zeros(1), ["edges"])
    assert without == 1
    assert np.isnan(covariance).all()
    options = {"method": "pseudolikelihood", "standard_errors": "bootstrap"}
    model = RandomGraphModel(["edges", "triangle"], num_simulations=60, **options)
    with pytest.warns(UserWarning, match="of 60 simulated networks have no finite estimate"):
        model.fit(SMALL)


def test_offsets_are_known():
    known = {"gwesp(0.5)": 0.4}
    statistics, observed, _ = statistics_of(SMALL, ["edges", "gwesp(0.5)"])
    points = np.linspace(-4, 3, 20001)
    log_likelihood = [
        (statistics[own] @ point) - np.log(np.exp(statistics @ point).sum())
        for own in [np.flatnonzero((statistics == observed).all(1))[0]]
        for point in np.stack((points, np.full_like(points, 0.4)), 1)
    ]
    model = RandomGraphModel(["edges"], offsets=known, tolerance=0.03).fit(SMALL)
    assert model.labels_ == ["edges"]
    best = points[int(np.argmax(log_likelihood))]
    assert abs(model.coefficients_[0] - best) < 5 * model.monte_carlo_errors_[0] + 1e-3
    alone = RandomGraphModel(["edges"], method="pseudolikelihood", offsets={"kstar(1)": 0.3})
    free = RandomGraphModel(["edges"]).fit(SMALL).coefficients_
    np.testing.assert_allclose(alone.fit(SMALL).coefficients_, free - 2 * 0.3, atol=1e-8)


GROUPS = nx.stochastic_block_model([8, 8], [[0.5, 0.2], [0.2, 0.5]], seed=1)
nx.set_node_attributes(GROUPS, {v: "ab"[v // 8] for v in GROUPS}, "group")


def test_inactive_pairs_are_held():
    model = RandomGraphModel(["edges", "gwesp(0.5)"], method="pseudolikelihood")
    model.fit(GROUPS, active="nodematch('group')")

    def between(graph):
        return {(a, b) for a, b in graph.edges if (a < 8) != (b < 8)}

    drawn = model.simulate(5)
    assert all(between(graph) == between(GROUPS) for graph in drawn)
    assert any(set(graph.edges) != set(GROUPS.edges) for graph in drawn)
    assert all(graph.nodes[3]["group"] == "a" for graph in drawn)
    mask = np.equal.outer(np.arange(16) < 8, np.arange(16) < 8)
    again = RandomGraphModel(["edges", "gwesp(0.5)"], method="pseudolikelihood")
    again.fit(GROUPS, active=mask)
    np.testing.assert_allclose(again.coefficients_, model.coefficients_)


def test_pairs_without_attributes_are_held():
    graph = GROUPS.copy()
    del graph.nodes[0]["group"]
    terms = ["edges", "nodematch('group')"]
    model = RandomGraphModel(terms).fit(graph)
    counted = graph.subgraph(range(1, 16))
    np.testing.assert_allclose(
        model.coefficients_, RandomGraphModel(terms).fit(counted).coefficients_, atol=1e-8
    )
    assert all(set(g.edges(0)) == set(graph.edges(0)) for g in model.simulate(3))


def test_a_number_that_a_node_lacks_and_a_covariate_given_as_a_graph():
    graph, terms = GROUPS.copy(), ["edges", "nodecov('age')", "edgecov('near')"]
    nx.set_node_attributes(graph, {v: 0.1 * v * v for v in graph}, "age")
    near = nx.Graph(graph.graph["near"] if "near" in graph.graph else nx.cycle_graph(graph.nodes))
    graph.nodes[0]["age"] = None
    counted = graph.subgraph(range(1, 16)).copy()
    graph.graph["near"] = near
    counted.graph["near"] = nx.to_numpy_array(near, nodelist=sorted(near))[1:, 1:]
    fits = [RandomGraphModel(terms, method="pseudolikelihood").fit(g) for g in (graph, counted)]
    np.testing.assert_allclose(*(fit.coefficients_ for fit in fits), atol=1e-8)


@pytest.mark.parametrize("graph", [nx.karate_club_graph(), DIRECTED, BIPARTITE])
def test_goodness_of_fit(graph):
    pytest.importorskip("matplotlib").use("Agg")
    model = RandomGraphModel(["edges"], method="pseudolikelihood").fit(graph)
    tables = model.goodness_of_fit(num_simulations=9)
    distances = dict(nx.all_pairs_shortest_path_length(graph))
    found = [distances[a].get(b, 0) for a in graph for b in graph if a != b]
    shares = np.bincount(found) / len(found)
    np.testing.assert_allclose(tables["geodesic distance"][0][: len(shares)], shares)
    degrees = [d for _, d in (graph.out_degree if graph.is_directed() else graph.degree)]
    name = "out degree" if graph.is_directed() else "degree"
    shares = np.bincount(degrees) / len(graph)
    np.testing.assert_allclose(tables[name][0][: len(shares)], shares)
    for rows in tables.values():
        assert (rows[1] <= rows[2]).all()
        assert (rows[2] <= rows[3]).all()
    assert len(np.ravel(model.plot_goodness_of_fit(num_simulations=5))) == len(tables)


def test_edgewise_partners_of_goodness_of_fit():
    graph = nx.karate_club_graph()
    model = RandomGraphModel(["edges"]).fit(graph)
    shares = model.goodness_of_fit(num_simulations=2)["edgewise shared partners"][0]
    found = np.bincount([len([*nx.common_neighbors(graph, a, b)]) for a, b in graph.edges])
    np.testing.assert_allclose(shares[: len(found)], found / 78)


def test_summary():
    pytest.importorskip("pandas")
    model = RandomGraphModel(["edges", "nodematch('club')"]).fit(nx.karate_club_graph())
    table = model.summary()
    assert list(table.columns[:5]) == ["term", "estimate", "standard_error", "lower", "upper"]
    assert list(table.term) == ["edges", "nodematch('club')"]
    assert (table.lower < table.estimate).all()
    assert (model.summary(level=0.5).lower > table.lower).all()
    with pytest.raises(ValueError, match="Expected a level"):
        model.summary(level=95)
    with pytest.raises(ValueError, match="Expected a fitted"):
        RandomGraphModel(["edges"]).summary()


def test_degenerate_models_are_named():
    graph = nx.karate_club_graph()
    model = RandomGraphModel(["edges", "triangle", "kstar(2)"], method="pseudolikelihood")
    with pytest.warns(UserWarning, match="far from the observed one .* edges instead of 78"):
        model.fit(graph)
    assert model.degenerate_
    far = RandomGraphModel(["edges", "gwdegree(0.5)", "gwesp(0.5)"], method="pseudolikelihood")
    with pytest.warns(UserWarning, match="far from the observed one .edges: .* deviations"):
        far.fit(nx.powerlaw_cluster_graph(200, 3, 0.3, seed=1))
    model = RandomGraphModel(["edges", "triangle", "kstar(2)"], max_rounds=3)
    with (
        pytest.warns(UserWarning, match="not maximized in 3 rounds: simulated statistics"),
        pytest.warns(UserWarning, match="far from the observed"),
    ):
        model.fit(graph)
    assert not model.converged_
    model = RandomGraphModel(["edges", "gwesp(0.5)"], max_rounds=6, tolerance=1e-9)
    with pytest.warns(UserWarning, match="not maximized in 6 rounds"):
        model.fit(SMALL)


class Jumping:
    """Chains that drift, in runs far above and far below the observed statistics in turn."""

    def __init__(self):
        self.coefficients, self.num_runs = np.zeros(1), 0
        self.rng = np.random.default_rng(0)

    def run(self, num_steps):
        return SimpleNamespace(statistics=self.rng.normal(size=(100, 1)))

    def sample(self, num_draws, num_steps):
        self.num_runs += 1
        drift = np.linspace(-1, 1, num_draws)[:, None, None]  # unsettled
        return 0.8 * (-1) ** self.num_runs + drift + self.rng.normal(size=(num_draws, 100, 1))


def test_runs_that_go_on_to_jump_end_the_search():
    chains = Jumping()
    found = maximum_likelihood(
        lambda: chains, None, learned=np.array([True]), observed=np.zeros(1), num_steps=64
    )
    assert found.stalled
    assert "long simulations go on to differ" in found.shortfall("edges")
    assert not found.converged
    assert chains.num_runs == 3 + 3  # three that are short, three that are long


def test_the_order_of_nodes_does_not_matter():
    options = {"method": "pseudolikelihood", "standard_errors": "naive"}
    model = RandomGraphModel(["edges", "gwesp(0.5)", "nodefactor('group')"], **options)
    other = nx.Graph()
    other.add_nodes_from(sorted(GROUPS.nodes(data=True), key=lambda node: node[0] * 7 % 16))
    other.add_edges_from(GROUPS.edges)
    found = [model.fit(graph).coefficients_ for graph in (GROUPS, other)]
    np.testing.assert_allclose(*found, atol=1e-8)


def test_godambe_errors_where_pairs_are_missing():
    options = {"method": "pseudolikelihood", "num_simulations": 400}
    model = RandomGraphModel(["edges", "gwesp(0.5)"], **options)
    whole = model.fit(GROUPS).standard_errors_
    fewer = model.fit(GROUPS, missing=[(0, v) for v in range(1, 16)]).standard_errors_
    assert (fewer > 0.8 * whole).all()
    assert (fewer < 2 * whole).all()


def test_seeds_decide():
    fits = []
    for _ in range(2):
        torch.manual_seed(3)
        fits.append(RandomGraphModel(["edges", "gwesp(0.5)"]).fit(SMALL).coefficients_)
    np.testing.assert_array_equal(*fits)


def grouped(values):
    graph = nx.path_graph(4)
    nx.set_node_attributes(graph, dict(enumerate(values)), "x")
    return graph


CLIQUES = nx.disjoint_union(nx.path_graph(4), nx.path_graph(4))
nx.set_node_attributes(CLIQUES, {v: "ab"[v // 4] for v in CLIQUES}, "group")
REFUSED = {
    "separated": (CLIQUES, ["edges", "nodematch('group')"], "edges to minus infinity, .*separat"),
    "empty": (nx.empty_graph(5), ["edges"], "edges to minus infinity"),
    "complete": (nx.complete_graph(5), ["edges"], "edges to plus infinity"),
    "collinear": (SMALL, ["edges", "kstar(1)", "triangle"], r"\['edges', 'kstar\(1\)'\] are coll"),
    "constant": (SMALL, ["edges", "nodecov('x')"], "nodes with the attribute 'x', but none"),
    "mixed": (grouped([1, "a", 2, 3]), ["nodefactor('x')"], "of one type .* int and str"),
    "text": (grouped("aabb"), ["nodecov('x')"], "numbers as attribute 'x', but got 'a' for node 0"),
    "infinite": (grouped([1, np.inf, 2, 3]), ["nodecov('x')"], "but got inf"),
    "one level": (grouped("aaaa"), ["nodefactor('x')"], "two levels or more"),
    "zero": (grouped([0, 0, 0, 0]), ["edges", "nodecov('x')"], "can change, but .*nodecov"),
    "kind": (SMALL, ["mutual"], "terms for undirected graphs, but mutual is for directed"),
    "kind too": (BIPARTITE, ["edges", "gwesp(0.5)"], "terms for bipartite graphs, but gwesp"),
    "unknown": (SMALL, ["egdes"], "a term of .*'edges'.* but got 'egdes'"),
    "no term": (SMALL, ["edges +"], "a term such as 'edges'"),
    "arguments": (SMALL, ["gwesp(0.5, 3)"], "other arguments of 'gwesp"),
    "needed": (SMALL, ["kstar"], "other arguments of 'kstar'"),
    "decay": (SMALL, ["gwesp(-1)"], "a decay of 0 or more"),
    "decay of degrees": (SMALL, ["gwdegree(-1)"], "a decay of 0 or more"),
    "twice": (SMALL, ["edges", " edges"], "'edges' more than once"),
    "none": (SMALL, [], "at least one term"),
    "matrix": (SMALL, ["edgecov('d')"], r"graph.graph\['d'\] as a matrix"),
    "words": (nx.Graph(SMALL, d="far"), ["edgecov('d')"], "of shape .* but got str"),
    "one way": (
        nx.Graph(SMALL, d=np.triu(np.ones((len(SMALL),) * 2))),
        ["edgecov('d')"],
        "symmetric matrix 'd'",
    ),
    "small": (nx.empty_graph(1), ["edges"], "at least two nodes"),
    "loops": (nx.Graph([(0, 0), (0, 1)]), ["edges"], "without self-loops"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    graph, terms, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        RandomGraphModel(terms).fit(graph)


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda: RandomGraphModel("edges").fit(SMALL), TypeError, r"Write \['edges'\]"),
    (lambda: RandomGraphModel([3]).fit(SMALL), TypeError, "terms as text"),
    (lambda: RandomGraphModel(["edges"]).fit([(0, 1)]), TypeError, "networkx.Graph"),
    (lambda: RandomGraphModel(["edges"]).fit(nx.MultiGraph(SMALL)), TypeError, "parallel edges"),
    (lambda: RandomGraphModel(["edges"], offsets={"nodemix('group')": 1.0}).fit(GROUPS), ValueError,
     "offsets of one statistic each"),
    (lambda: RandomGraphModel(["edges"], method="x"), ValueError, "method to be one of"),
    (lambda: RandomGraphModel(["edges"], standard_errors="x"), ValueError, "to be one of"),
    (lambda: RandomGraphModel(["edges"]).fit(SMALL, active=np.eye(4)), ValueError, "active as bo"),
    (lambda: RandomGraphModel(["edges"]).fit(SMALL, active=np.triu(np.ones((5, 5), bool))),
     ValueError, "symmetric matrix active"),
    (lambda: RandomGraphModel(["edges"]).fit(SMALL, active="triangle"), ValueError, "nodes alone"),
    (lambda: RandomGraphModel(["edges"]).fit(SMALL, active=np.zeros((5, 5), bool)), ValueError,
     "active pairs of nodes"),
    (lambda: RandomGraphModel(["edges"]).fit(SMALL, missing=[(0, 9)]), ValueError, "missing pairs"),
])  # fmt: skip
def test_refused_options(change, error, message):
    with pytest.raises(error, match=message):
        change()


def test_copies_are_computed_as_one_graph_is():
    nodes = Nodes.of(GROUPS)
    terms = Terms(["edges", "gwesp(0.5)", "gwdsp(0.5)", "nodematch('group')"], nodes)
    copies = EdgeSets.of(GROUPS, nodes, 3)
    dyads = active_dyads(terms, EdgeSets.of(GROUPS, nodes), None)
    chains = TieChains(terms, copies, dyads, np.zeros(4)).run(50)
    for copy in range(3):
        i, j = copies.edges()
        inside = copies.copy_of(i) == copy
        own = EdgeSets(nodes, i[inside] - copy * 16, j[inside] - copy * 16)
        np.testing.assert_allclose(terms.value(own)[0], chains.statistics[copy])
        i, j = next(dyads.chunks())
        np.testing.assert_allclose(
            terms.change(Pairs(own, i, j)),
            terms.change(Pairs(copies, i + copy * 16, j + copy * 16)),
        )


def test_nothing_warns_of_a_model_that_fits():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RandomGraphModel(["edges", "gwesp(0.5)"], method="pseudolikelihood").fit(GROUPS)
