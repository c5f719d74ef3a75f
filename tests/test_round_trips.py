"""Codings that must lead back, and measures that must not depend on order or chunks."""

import networkx as nx
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_rm import StateSpace, datasets, evaluation, infer, networks
from pyro_rm.energies import PairwiseFunction
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.evaluation.moments import first_moment_distance, second_moment_distance
from pyro_rm.graphs import decode_graphs, encode_graphs

laws = settings(deadline=None, max_examples=40, derandomize=True)
seeds = st.integers(0, 1000)


@st.composite
def spaces(draw):
    size = draw(st.integers(1, 5))
    if draw(st.booleans()):
        return StateSpace(size, states=draw(st.sampled_from([(0, 1), (-1, 1)])))
    return StateSpace(size, tuple(draw(st.integers(2, 4)) for _ in range(size)))


@st.composite
def samples(draw):
    """Two samples of codes of one width."""
    torch.manual_seed(draw(seeds))
    width, kinds = draw(st.integers(2, 6)), draw(st.integers(2, 4))
    sizes = draw(st.tuples(st.integers(2, 20), st.integers(2, 20)))
    return tuple(torch.randint(kinds, (size, width)) for size in sizes)


@st.composite
def graph_lists(draw):
    directed = draw(st.booleans())
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    return [
        nx.gnp_random_graph(n, draw(st.floats(0, 1)), seed=draw(seeds), directed=directed)
        for n in sizes
    ]


@laws
@given(spaces())
def test_states_and_their_numbers(space):
    numbers = torch.arange(space.num_states)
    states = states_at(space, numbers)
    space.validate(states)
    assert torch.equal(index_of(space, states), numbers)
    encoded = space.encode(states, torch.float64)
    assert torch.equal(space.decode(encoded).to(states.dtype), states)
    assert len(states.unique(dim=0)) == space.num_states


@laws
@given(graph_lists(), st.integers(0, 3))
def test_graphs(graphs, padding):
    directed = graphs[0].is_directed()
    batch = encode_graphs(graphs, max_nodes=max(map(len, graphs)) + padding)
    assert not batch.pairs[~batch.active].any()
    back = decode_graphs(batch.pairs, batch.num_nodes, directed=directed)
    for graph, again in zip(graphs, back, strict=True):
        assert nx.utils.graphs_equal(graph, again)


@laws
@given(st.integers(1, 12), st.floats(0.1, 10), seeds)
def test_gray_codes(half, radius, seed):
    """A point is decoded to the center of its cell, whose code is its own."""
    torch.manual_seed(seed)
    code = datasets.GrayCode(2 * half, radius)
    points = radius * (2 * torch.rand(20, 2, dtype=torch.float64) - 1)
    bits = code.encode(points)
    centers = code.decode(bits)
    assert (centers - points).abs().max() <= code.cell_width / 2 * (1 + 1e-9)
    assert torch.equal(code.encode(centers), bits)


@laws
@given(st.integers(2, 5), seeds)
def test_conventions_of_ising_models(size, seed):
    torch.manual_seed(seed)
    couplings = torch.randn(size, size, dtype=torch.float64).triu(1)
    couplings, fields = couplings + couplings.mT, torch.randn(size, dtype=torch.float64)
    spins = networks.recode(couplings, fields, source=(0, 1), target=(-1, 1))
    back = networks.recode(*spins, source=(-1, 1), target=(0, 1))
    torch.testing.assert_close(back, (couplings, fields))
    x = states_at(StateSpace(size), torch.arange(2**size)).double()
    of_bits = PairwiseFunction(couplings, fields, StateSpace(size))(x)
    of_spins = PairwiseFunction(*spins, StateSpace(size, states=(-1, 1)))(2 * x - 1)
    torch.testing.assert_close(of_bits - of_bits[0], of_spins - of_spins[0])


@laws
@given(spaces().filter(lambda space: not space.is_binary), seeds)
def test_the_gauge_of_potts_models(space, seed):
    torch.manual_seed(seed)
    shape = (space.num_sites, space.max_categories)
    couplings = torch.randn(shape + shape, dtype=torch.float64)
    couplings = couplings + couplings.permute(2, 3, 0, 1)
    couplings[range(shape[0]), :, range(shape[0])] = 0
    fields = torch.randn(shape, dtype=torch.float64)
    fixed = networks.zero_sum_gauge(couplings, fields, space)
    torch.testing.assert_close(networks.zero_sum_gauge(*fixed, space), fixed)
    x = space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)
    before, after = (
        PairwiseFunction(couplings, fields, space)(x),
        PairwiseFunction(*fixed, space)(x),
    )
    torch.testing.assert_close(before - before[0], after - after[0])


METRICS = [
    evaluation.linear_hamming_mmd,
    evaluation.exponential_hamming_mmd,
    first_moment_distance,
    second_moment_distance,
]


@laws
@given(samples(), st.sampled_from(METRICS))
def test_discrepancies(pair, metric):
    """Symmetric, blind to the order of rows, of sites and of codes; zero for equal samples."""
    x, y = pair
    value = metric(x, y)
    sites = torch.randperm(x.shape[1])
    codes = torch.randperm(4)
    for same in (
        metric(y, x),
        metric(x[torch.randperm(len(x))], y[torch.randperm(len(y))]),
        metric(x[:, sites], y[:, sites]),
    ):
        torch.testing.assert_close(same, value, rtol=1e-4, atol=1e-5)
    if len(x.unique()) == len(y.unique()) == 4:  # the number of values is what is averaged over
        torch.testing.assert_close(metric(codes[x], codes[y]), value, rtol=1e-4, atol=1e-5)
    if "mmd" in metric.__name__:
        assert metric(x, y, statistic="V") > -1e-6
        assert metric(x, x, statistic="V").abs() < 1e-6
    else:
        assert metric(x, x) == 0


@laws
@given(samples(), st.integers(1, 25))
def test_chunks(pair, chunk):
    x, y = pair
    whole = evaluation.exponential_hamming_mmd(x, y)
    chunks = evaluation.exponential_hamming_mmd(x, y, chunk_size=chunk)
    torch.testing.assert_close(chunks, whole, rtol=1e-4, atol=1e-6)
    weights = networks.sequence_weights(x)
    assert torch.equal(networks.sequence_weights(x, chunk_size=chunk), weights)
    order = torch.randperm(len(x))
    assert torch.equal(networks.sequence_weights(x[order]), weights[order])


@laws
@given(spaces(), seeds, st.lists(st.integers(1, 3), max_size=2))
def test_noise_of_level_zero_is_none_and_of_level_one_forgets(space, seed, batch_shape):
    torch.manual_seed(seed)
    codes = torch.stack([torch.randint(k, batch_shape) for k in space.categories], -1)
    low, high = space.states
    x = low + (high - low) * codes
    levels = infer.NoiseLevels((0.0, 1.0))
    level = torch.zeros(batch_shape, dtype=torch.long)
    assert torch.equal(levels.corrupt(space, x, level), x)
    torch.manual_seed(seed)
    first = levels.corrupt(space, x, level + 1)
    torch.manual_seed(seed)
    other = torch.full_like(x, low)
    assert torch.equal(levels.corrupt(space, other, level + 1), first)
