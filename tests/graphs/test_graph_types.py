"""Generators of graphs with categories: right by enumeration, blind to order, refusing gaps."""

from itertools import permutations, product

import networkx as nx
import pytest
import torch

from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.graphs import GraphGenerator
from pyro_rm.graphs.graph_types import GraphTypes

BONDS = (None, "double", "single")


def molecule(atoms, bonds, directed=False):
    """A graph of categories by node, and of types by pair in row-major order."""
    graph = nx.DiGraph() if directed else nx.Graph()
    graph.add_nodes_from((k, {"element": atom}) for k, atom in enumerate(atoms))
    pairs = [
        (a, b) for a, b in product(range(len(atoms)), repeat=2) if a < b or (directed and a != b)
    ]
    graph.add_edges_from(
        (a, b, {"bond": bond}) for (a, b), bond in zip(pairs, bonds, strict=True) if bond
    )
    return graph


def every(size):
    """Every numbered graph of a size."""
    pairs = size * (size - 1) // 2
    return [
        molecule(atoms, bonds)
        for atoms in product("CO", repeat=size)
        for bonds in product(BONDS, repeat=pairs)
    ]


def signature(graph):
    """What a graph and no other, as its nodes are numbered, has."""
    bonds = {frozenset(edge[:2]): edge[2] for edge in graph.edges(data="bond")}
    return tuple(value for _, value in graph.nodes(data="element")), frozenset(bonds.items())


def renumbered(graph, order):
    """The same graph, its nodes in another order."""
    moved = nx.relabel_nodes(graph, dict(enumerate(order)))
    result = nx.Graph()
    result.add_nodes_from(sorted(moved.nodes(data=True)))
    result.add_edges_from(moved.edges(data=True))
    return result


ETHANOL = molecule("CCO", ("single", None, "single"))
KETENE = molecule("CCO", ("double", None, "double"))
FORMALDEHYDE = molecule("CO", ("double",))
SET = [ETHANOL, KETENE, FORMALDEHYDE, molecule("CO", ("single",))] * 4


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    fitted = GraphGenerator(node_attribute="element", edge_attribute="bond", num_steps=300)
    return fitted.fit(SET)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_scores_of_classes_by_enumeration(generator, size):
    """Exact sums over all numbered graphs; a class is all numberings of a graph."""
    graphs = every(size)
    x = generator.types_.encode(graphs)
    space = generator.types_.space(size)
    assert len(graphs) == space.num_states == len(x.unique(dim=0))
    sizes = torch.full((len(x),), size)
    with torch.no_grad():
        energies = generator.energy_.resized(size)(space.encode(x, x.dtype), sizes)
    expected = (-energies).softmax(0)
    of = {signature(graph): p for graph, p in zip(graphs, expected, strict=True)}
    some = graphs[:: max(1, len(graphs) // 20)]
    totals = []
    for graph in some:
        numberings = {signature(renumbered(graph, p)) for p in permutations(range(size))}
        totals.append(sum(of[numbering] for numbering in numberings))
    torch.testing.assert_close(generator.score_samples(some).exp(), torch.stack(totals))


class Background(RelationalGraphEnergy):
    """Independent sites, as at the highest level of noise."""

    def __init__(self):
        super().__init__(3, num_hidden=1, num_levels=3, num_node_types=2, num_edge_types=2)

    def forward(self, x, num_nodes, level):
        size = x.shape[-2] - self.max_nodes
        chosen = x[..., :size, :] @ self.bonds[num_nodes].log()[..., None]
        atoms = x[..., size:, :2] @ self.atoms.log()
        exists = torch.arange(self.max_nodes) < num_nodes[..., None]
        return 0 * self.shifts.sum() - chosen.sum((-2, -1)) - (atoms * exists).sum(-1)


@pytest.mark.parametrize("size", [2, 3])
def test_log_probabilities_are_read_off(size):
    """Oracle: the product over sites, where the model is the background; a sum of one."""
    energy = Background()
    energy.bonds, energy.atoms = torch.full((4, 3), 1 / 3), torch.full((2,), 0.5)
    fitted = GraphGenerator(energy, node_attribute="element", edge_attribute="bond", num_steps=1)
    fitted.fit(SET)
    shares = torch.tensor([share for _, share in fitted.types_.edges])
    density = fitted.densities_[:, None]
    energy.bonds = torch.cat([1 - density, density * shares], -1)
    energy.atoms = torch.tensor([share for _, share in fitted.types_.nodes])
    graphs = every(size)
    log_probs = fitted.log_prob(graphs)
    torch.testing.assert_close(log_probs.exp().sum(), torch.tensor(1.0))
    bonds = [energy.bonds[size, BONDS.index(b)] for b in ("single",) * 3]
    alike = molecule("C" * size, ("single",) * (size * (size - 1) // 2))
    expected = energy.atoms[0] ** size * torch.stack(bonds[: 2 * size - 3]).prod()
    torch.testing.assert_close(fitted.log_prob([alike])[0].exp(), expected)


def test_log_probabilities_differ_as_exact_ones(generator):
    """Whatever was learned; and they repeat."""
    graphs = every(2) + every(2)[:1]
    log_probs = generator.log_prob(graphs)
    exact = generator.score_samples(graphs) - generator.types_.log_numberings(graphs)
    torch.testing.assert_close(log_probs - log_probs[0], exact - exact[0], atol=1e-4, rtol=1e-4)
    assert generator.log_prob(graphs).equal(log_probs)


def test_the_set_is_learned_and_drawn(generator):
    """Two of the 216 numbered graphs of three nodes, up to order, have half of the probability.

    Independent sites give them less than a tenth. Of about 100 draws that are half right,
    less than a quarter are right with probability below 1e-6.
    """
    assert generator.score_samples([ETHANOL, KETENE]).exp().sum() > 0.3
    known = {signature(renumbered(g, p)) for g in SET[:2] for p in permutations(range(3))}
    drawn = generator.sample(200)
    three = [graph for graph in drawn if len(graph) == 3]
    assert sum(signature(graph) in known for graph in three) > len(three) / 4
    assert {bond for graph in drawn for *_, bond in graph.edges(data="bond")} == set(BONDS[1:])
    assert {atom for graph in drawn for _, atom in graph.nodes(data="element")} == {"C", "O"}


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(("num_node_types", "num_edge_types"), [(0, 2), (2, 1), (3, 1), (2, 3)])
def test_energies_ignore_order_and_padding(directed, num_node_types, num_edge_types):
    energy = RelationalGraphEnergy(
        4, num_hidden=8, num_walks=2, directed=directed, num_node_types=num_node_types,
        num_edge_types=num_edge_types,
    )  # fmt: skip
    atoms, bonds = "ABC"[: max(1, num_node_types)], "abc"[:num_edge_types]
    graphs = []
    for _ in range(6):
        pairs = [(None, *bonds)[int(k)] for k in torch.randint(1 + len(bonds), (12,))]
        chosen = [atoms[int(k)] for k in torch.randint(len(atoms), (4,))]
        graphs.append(molecule(chosen, pairs[: 12 if directed else 6], directed))
    types = GraphTypes(
        "element" if num_node_types else None, "bond",
        tuple((atom, 0.5) for atom in atoms[:num_node_types]), tuple((b, 0.5) for b in bonds),
    )  # fmt: skip
    assert types.space(4, directed=directed) == energy.state_space

    def energies(some, size):
        x = types.encode(some)
        model = energy.resized(size)
        return model(model.state_space.encode(x, x.dtype), torch.tensor([len(g) for g in some]))

    order = dict(enumerate(torch.randperm(4).tolist()))
    moved = []
    for graph in graphs:
        copy = graph.__class__()
        copy.add_nodes_from(sorted(nx.relabel_nodes(graph, order).nodes(data=True)))
        copy.add_edges_from(nx.relabel_nodes(graph, order).edges(data=True))
        moved.append(copy)
    torch.testing.assert_close(energies(graphs, 4), energies(moved, 4))
    assert len(energies(graphs, 4).unique()) > 1
    small = graphs[0].subgraph([0, 1, 2]).copy()
    torch.testing.assert_close(energies([small, graphs[1]], 4)[:1], energies([small], 3))


@pytest.mark.parametrize("directed", [False, True])
def test_graphs_come_back_from_data(directed):
    """Both attributes or one of them, padded."""
    pairs = ("single", None, "double") * 2
    graphs = [
        molecule("OCN", pairs if directed else pairs[:3], directed),
        molecule("CC", ("single", None)[: 1 + directed], directed),
    ]
    sizes = torch.tensor([3, 2])
    for names in (("element", "bond"), ("element", None), (None, "bond"), (None, None)):
        types = GraphTypes.fit(graphs, node_attribute=names[0], edge_attribute=names[1])
        x = types.encode(graphs)
        types.space(3, directed=directed).validate(x)
        for graph, back in zip(graphs, types.decode(x, sizes, directed=directed), strict=True):
            assert back.is_directed() == directed
            assert set(back.edges) == set(graph.edges)
            for name, had, has in (
                (names[0], graph.nodes(data="element"), back.nodes(data="element")),
                (names[1], graph.edges(data="bond"), back.edges(data="bond")),
            ):
                assert name is None or list(had) == list(has)


@pytest.mark.parametrize("names", [("element", None), (None, "bond")])
def test_one_attribute_alone(names):
    """Exact probabilities of all numbered graphs sum to one; two states a site, and three."""
    fitted = GraphGenerator(node_attribute=names[0], edge_attribute=names[1], num_steps=3).fit(SET)
    graphs = {
        tuple(x): g for g, x in zip(every(3), fitted.types_.encode(every(3)).tolist(), strict=True)
    }
    some = list(graphs.values())
    assert len(some) == fitted.types_.space(3).num_states
    each = (fitted.score_samples(some) - fitted.types_.log_numberings(some)).exp()
    torch.testing.assert_close(each.sum(), torch.tensor(1.0))
    for graph in fitted.sample(5):
        assert all(set(data) == {names[0]} - {None} for _, data in graph.nodes(data=True))
        assert all(set(data) == {names[1]} - {None} for *_, data in graph.edges(data=True))


def test_directed_graphs_with_categories():
    graphs = [molecule("CO", ("single", None), True), molecule("COO", ("double",) * 6, True)] * 3
    fitted = GraphGenerator(node_attribute="element", edge_attribute="bond", num_steps=3)
    assert fitted.fit(graphs).log_prob(graphs).isfinite().all()
    for graph in fitted.sample(4):
        assert graph.is_directed()
        assert {bond for *_, bond in graph.edges(data="bond")} <= {"single", "double"}


def test_categories_are_kept(tmp_path):
    """By a checkpoint, and by the order of the alphabet, whatever the order of the graphs."""
    options = {"node_attribute": "element", "edge_attribute": "bond", "num_steps": 3}
    first = GraphGenerator(**options).fit(SET, checkpoint=tmp_path / "run.pt")
    again = GraphGenerator(**options).fit(SET, checkpoint=tmp_path / "run.pt")
    assert [name for name, _ in first.types_.nodes] == ["C", "O"]
    assert [name for name, _ in first.types_.edges] == ["double", "single"]
    assert first.types_ == again.types_ == GraphGenerator(**options).fit(SET[::-1]).types_
    assert again.score_samples(SET).equal(first.score_samples(SET))
    torch.save(first, tmp_path / "generator.pt")
    loaded = torch.load(tmp_path / "generator.pt", weights_only=False)
    assert loaded.log_prob(SET).equal(first.log_prob(SET))


ONE = nx.path_graph(2)
BOTH = {"node_attribute": "element", "edge_attribute": "bond", "num_steps": 1}


def _fit(graphs, **options):
    return GraphGenerator(**{**BOTH, **options}).fit(graphs)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: _fit([ONE]), "'element', a category, but got None for node 0 of graph 0"),
    (lambda: _fit([ONE], node_attribute=None), r"got None for edge \(0, 1\) of graph 0"),
    (lambda: _fit([molecule("CC", ("single",))]), "two or more categories in 'element'"),
    (lambda: _fit([molecule("CO", (None,))]), "edges with 'bond', but no graph has an edge"),
    (lambda: _fit(SET).log_prob([molecule("CF", ("single",))]), "one of .'C', 'O'., .* got 'F'"),
    (lambda: _fit(SET, energy=RelationalGraphEnergy(3, num_levels=2)), "an energy on"),
    (lambda: _fit(SET).score_samples([molecule("CO", ("triple",))]), "one of .'double', 'single'"),
    (lambda: _fit(SET).score_samples([molecule("COCO", (None,) * 6)]), "at most 3 nodes"),
    (lambda: _fit([molecule("COCOCO", ("single", "double", "triple") * 5)]).score_samples(
        [molecule("COCOCO", ("double",) * 15)]), "Use log_prob"),
])  # fmt: skip
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_checkpoint_of_other_categories_is_refused(tmp_path):
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: "C", 1: "O", 2: "C"}, "element")
    options = {"node_attribute": "element", "num_steps": 2, "progress": False}
    GraphGenerator(**options).fit([graph] * 4, checkpoint=tmp_path / "run.pt")
    other = nx.relabel_nodes(graph, {})
    nx.set_node_attributes(other, {0: "C", 1: "N", 2: "C"}, "element")
    with pytest.raises(ValueError, match=r"categories of nodes, element of \['C', 'N'\], but"):
        GraphGenerator(**options).fit([other] * 4, checkpoint=tmp_path / "run.pt")
