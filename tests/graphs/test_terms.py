"""Statistics equal brute force on all small graphs, and changes equal their differences."""

from itertools import combinations, permutations
from math import comb, exp

import networkx as nx
import numpy as np
import pytest

from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.nodes import Nodes
from pyro_rm.graphs.terms import GRAPH_TERMS, Terms, graph_term
from pyro_rm.testing.graph_terms import all_graphs, check_graph_term, small_graph


def with_attributes(kind):
    graph = small_graph(kind)
    nx.set_node_attributes(graph, dict(enumerate("abcba")), "group")
    nx.set_node_attributes(graph, dict(enumerate((0.5, -1.0, 3.0, 2.0, 0.25))), "size")
    matrix = np.arange(len(graph) ** 2.0).reshape(len(graph), -1) % 7
    graph.graph["distance"] = matrix if kind == "directed" else matrix + matrix.T
    return graph


def weight(decay, count):
    return exp(decay) * (1 - (1 - exp(-decay)) ** count)


def stars(k):
    return lambda degree: comb(degree, k)


# By brute force, of a matrix, its nodes' attributes, and whether it is directed
def degrees(f, axis=1, part=None):
    def statistic(x, size, group, kind):
        total = x.sum(axis)
        if kind == "directed" and axis is None:
            total = x.sum(0) + x.sum(1)
        inside = range(len(x)) if part is None else ((0, 1), (2, 3, 4))[part]
        return sum(f(int(total[v])) for v in inside)

    return statistic


def edges_of(x, kind):
    pairs = permutations(range(len(x)), 2)
    return [(a, b) for a, b in pairs if x[a, b] and (kind == "directed" or a < b)]


def over_edges(f):
    return lambda x, size, group, kind: sum(
        np.asarray(f(a, b, size, group)) for a, b in edges_of(x, kind)
    )


def triples(*steps):
    def statistic(x, size, group, kind):
        found = permutations(range(len(x)), 3)
        return sum(all(x[t[a], t[b]] for a, b in steps) for t in found)

    return statistic


def partners(decay, connected):
    def statistic(x, size, group, kind):
        total = 0.0
        for a, b in permutations(range(len(x)), 2):
            if (kind == "directed" or a < b) and (x[a, b] or not connected):
                total += weight(decay, sum(x[a, k] and x[k, b] for k in range(len(x))))
        return total

    return statistic


TRANSITIVE, CYCLE = ((0, 1), (1, 2), (0, 2)), ((0, 1), (1, 2), (2, 0))


def triangles(x, size, group, kind):
    if kind == "directed":
        arguments = (x, size, group, kind)
        return triples(*TRANSITIVE)(*arguments) + triples(*CYCLE)(*arguments) / 3
    return sum(x[a, b] and x[b, c] and x[a, c] for a, b, c in combinations(range(len(x)), 3))


def cell(a, b, group, kind):
    levels = sorted({*group})
    if kind == "directed":
        cells = [(p, q) for p in levels for q in levels][1:]
        return [(group[a], group[b]) == each for each in cells]
    cells = [(p, q) for p in levels for q in levels if p <= q][1:]
    return [tuple(sorted((group[a], group[b]))) == each for each in cells]


def mixing(x, size, group, kind):
    zero = np.zeros(len(cell(0, 1, group, kind)))
    return sum((np.asarray(cell(a, b, group, kind)) for a, b in edges_of(x, kind)), zero)


def distance(x, size, group, kind):
    matrix = with_attributes(kind).graph["distance"]
    return sum(matrix[a, b] for a, b in edges_of(x, kind))


def at_part(part):
    return lambda a, b, size, group: size[a if (a < 2) == (part == 0) else b]


ORACLES = {
    "edges": over_edges(lambda a, b, size, group: 1),
    "mutual": lambda x, size, group, kind: (x * x.T).sum() / 2,
    "kstar(2)": degrees(stars(2)),
    "kstar(3)": degrees(stars(3)),
    "ostar(2)": degrees(stars(2)),
    "istar(2)": degrees(stars(2), axis=0),
    "b1star(2)": degrees(stars(2), part=0),
    "b2star(2)": degrees(stars(2), part=1),
    "gwdegree(0.4)": degrees(lambda d: weight(0.4, d)),
    "gwodegree(0.4)": degrees(lambda d: weight(0.4, d)),
    "gwidegree(0.4)": degrees(lambda d: weight(0.4, d), axis=0),
    "gwb1degree(0.4)": degrees(lambda d: weight(0.4, d), part=0),
    "gwb2degree(0.4)": degrees(lambda d: weight(0.4, d), part=1),
    "degree(2)": degrees(lambda d: d == 2),
    "isolates": lambda x, size, group, kind: ((x.sum(0) + x.sum(1)) == 0).sum(),
    "triangle": triangles,
    "triangles": triangles,
    "ttriple": triples(*TRANSITIVE),
    "ctriple": lambda *arguments: triples(*CYCLE)(*arguments) / 3,
    "gwesp(0.7)": partners(0.7, True),
    "gwesp(0)": partners(0.0, True),
    "gwdsp(0.7)": partners(0.7, False),
    "nodecov('size')": over_edges(lambda a, b, size, group: size[a] + size[b]),
    "nodeocov('size')": over_edges(lambda a, b, size, group: size[a]),
    "nodeicov('size')": over_edges(lambda a, b, size, group: size[b]),
    "b1cov('size')": over_edges(at_part(0)),
    "b2cov('size')": over_edges(at_part(1)),
    "absdiff('size')": over_edges(lambda a, b, size, group: abs(size[a] - size[b])),
    "absdiff('size', power=2)": over_edges(lambda a, b, size, group: (size[a] - size[b]) ** 2),
    "nodematch('group')": over_edges(lambda a, b, size, group: group[a] == group[b]),
    "nodematch('group', diff=True)": over_edges(
        lambda a, b, size, group: [group[a] == group[b] == g for g in sorted({*group})]
    ),
    "nodefactor('group')": over_edges(
        lambda a, b, size, group: [(group[a] == g) + (group[b] == g) for g in sorted({*group})[1:]]
    ),
    "nodeofactor('group')": over_edges(
        lambda a, b, size, group: [group[a] == g for g in sorted({*group})[1:]]
    ),
    "nodeifactor('group')": over_edges(
        lambda a, b, size, group: [group[b] == g for g in sorted({*group})[1:]]
    ),
    "nodemix('group')": mixing,
    "edgecov('distance')": distance,
    "sender": over_edges(lambda a, b, size, group: np.arange(1, len(group)) == a),
    "receiver": over_edges(lambda a, b, size, group: np.arange(1, len(group)) == b),
}
CASES = [(text, kind) for text in ORACLES for kind in graph_term(text).kinds]


@pytest.mark.parametrize(("text", "kind"), CASES)
def test_statistics_equal_brute_force(text, kind):
    graph = with_attributes(kind)
    nodes = Nodes.of(graph)
    graphs, pairs = all_graphs(nodes)
    found = Terms([text], nodes).value(graphs)
    size, group = nodes.numbers("size"), nodes.columns["group"]
    some = range(0, graphs.num_copies, 1 if graphs.num_copies < 2000 else 7)
    for copy in some:
        x = np.zeros((len(nodes), len(nodes)), dtype=int)
        for number, (a, b) in enumerate(pairs):
            x[a, b] = copy >> number & 1
            x[b, a] = x[a, b] if kind != "directed" else x[b, a]
        expected = ORACLES[text](x, size, group, kind)
        np.testing.assert_allclose(found[copy], expected, atol=1e-9)


@pytest.mark.parametrize(("text", "kind"), CASES)
def test_changes_are_differences(text, kind):
    check_graph_term(graph_term(text), with_attributes(kind))


def test_pairs_without_an_attribute_change_nothing_and_are_not_known():
    graph = with_attributes("undirected")
    graph.nodes[0]["size"] = None
    nodes = Nodes.of(graph)
    terms, (i, j) = Terms(["edges", "nodecov('size')"], nodes), np.triu_indices(len(graph), 1)
    pairs = Pairs(EdgeSets.of(graph, nodes), i, j)
    size = np.array([0.0] + [graph.nodes[v]["size"] for v in range(1, len(graph))])
    expected = np.stack([np.ones(len(i)), np.where(i == 0, 0, size[i] + size[j])], 1)
    np.testing.assert_allclose(terms.change(pairs), expected)
    assert terms.known(pairs).tolist() == (i > 0).tolist()


def test_a_term_that_depends_on_other_edges_needs_a_value():
    class Lonely(type(graph_term("edges"))):
        dyadic = False

    nodes = Nodes.of(small_graph("undirected"))
    with pytest.raises(NotImplementedError, match="Lonely to have a method value"):
        Lonely().value(all_graphs(nodes)[0])


def test_every_term_has_an_oracle():
    assert {text.split("(")[0] for text in ORACLES} == set(GRAPH_TERMS)
