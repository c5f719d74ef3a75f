"""Threads never corrupt each other's results, and workers of a DataLoader draw different data."""

import sys
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import pyro_rm
from pyro_rm import Target, datasets, evaluation, graphs, infer, markov_steps
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RandomGraphEnergy
from pyro_rm.missing import fill as fill_module
from pyro_rm.training.batches import ShuffledBatches

NUM_THREADS, NUM_CALLS = 4, 12
SPACE = pyro_rm.StateSpace(6)
ENERGY = MLPEnergy(6, (8,)).requires_grad_(False)


@pytest.fixture
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(function):
    """What some threads get that call a function of their number again and again."""

    def work(number):
        return [function(number) for _ in range(NUM_CALLS)]

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return list(pool.map(work, range(NUM_THREADS)))


def blanks(number):
    """Data with missing cells, of another size for each thread."""
    generator = torch.Generator().manual_seed(number)
    x = torch.randint(2, (3 + number, 6), generator=generator).float()
    return x.masked_fill(torch.rand(x.shape, generator=generator) < 0.3, torch.nan)


def sampled(step):
    return lambda _: pyro_rm.MarkovSampler(1, step)(ENERGY, SPACE, torch.Size([3]))


STEPS = {
    "Gibbs": markov_steps.GibbsSweep(),
    "guided": markov_steps.GibbsWithGradients(),
    "Langevin": markov_steps.DiscreteLangevin(),
    "tempering": markov_steps.ParallelTempering(markov_steps.GibbsSweep(), (1.0, 0.5)),
}


@pytest.mark.usefixtures("_threads_take_turns_often")
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_threads_sample(step):
    for results in at_once(sampled(step)):
        for draws in results:
            SPACE.validate(draws)


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_no_draw_is_given_twice():
    space = pyro_rm.StateSpace(64)
    flat = lambda x: 0.0 * x.sum(-1)  # noqa: E731
    results = at_once(lambda _: pyro_rm.MarkovSampler(1)(flat, space, torch.Size([4])))
    rows = torch.cat([draws for thread in results for draws in thread])
    assert len(rows.unique(dim=0)) == len(rows) == 192  # fails once in 1e15 runs


@pytest.mark.usefixtures("_threads_take_turns_often")
@pytest.mark.parametrize("energy", [ENERGY, PottsEnergy(6, 3), IsingEnergy(6)])
def test_threads_estimate(energy):
    data = [torch.nan_to_num(blanks(number)) for number in range(NUM_THREADS)]
    exact = [pyro_rm.estimate(energy, x, num_neighbors="all") for x in data]
    for number, results in enumerate(
        at_once(lambda n: pyro_rm.estimate(energy, data[n], num_neighbors="all"))
    ):
        for result in results:
            torch.testing.assert_close(result, exact[number])
    for results in at_once(lambda n: pyro_rm.estimate(energy, data[n], num_neighbors=2)):
        assert all(result.isfinite().all() for result in results)


@pytest.mark.usefixtures("_threads_take_turns_often")
@pytest.mark.parametrize("fill", [infer.GibbsFill(), infer.Marginalized()])
def test_threads_may_share_a_fill(fill):
    data = [blanks(number) for number in range(NUM_THREADS)]

    def fill_two(number):
        """Data of two threads by turns, so that what is remembered is often of another one."""
        for x in (data[number], data[number - 1]):
            result = fill(Target.of(ENERGY, SPACE, active=~x.isnan()), x)
            assert result.shape == (len(x),)
        return result

    assert all(r.isfinite().all() for results in at_once(fill_two) for r in results)


def test_a_fill_may_change_while_it_is_used(monkeypatch):
    """Another thread comes at the worst moment: between looking at the last fill and taking it."""
    fill, here, there = infer.GibbsFill(), blanks(0), blanks(1)

    def fill_one(x):
        return fill.filled(Target.of(ENERGY, SPACE), x)

    same_memory = fill_module._same_memory

    def interrupted(first, second):
        monkeypatch.undo()
        fill_one(there)
        return same_memory(first, second)

    fill_one(here)
    monkeypatch.setattr(fill_module, "_same_memory", interrupted)
    SPACE.validate(fill_one(here))


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_threads_may_share_batches():
    data = torch.arange(12)
    batches, alone = ShuffledBatches(data, 4), ShuffledBatches(data, 4)
    alone.load_state_dict(batches.state_dict())
    expected = [alone(step) for step in range(30)]
    steps = [torch.randperm(30).tolist() for _ in range(NUM_THREADS)]
    for results in at_once(lambda n: [(step, batches(step)) for step in steps[n]]):
        for step, batch in (pair for result in results for pair in result):
            assert torch.equal(batch, expected[step])


class Draws(IterableDataset):
    """Everything that a data pipeline may draw, of numbers alone."""

    def __iter__(self):
        for _ in range(2):
            bits = torch.bernoulli(torch.full((9, 6), 0.5))
            graph = graphs.community_graphs(1, sizes=(12,))[0]
            glass = datasets.with_couplings(nx.path_graph(9), torch.randn(8))
            generated = graphs.generate_graphs(
                RandomGraphEnergy(6), torch.tensor([6]), progress=False
            )
            yield torch.cat([
                bits.flatten(),
                datasets.synthetic_density("moons").sample(2).flatten(),
                graphs.encode_graphs([graph]).pairs.flatten(),
                datasets.coupling_matrix(glass).flatten(),
                graphs.encode_graphs(generated).pairs.flatten(),
                infer.NoiseLevels((0.5, 1.0)).corrupt(SPACE, bits, torch.tensor(0)).flatten(),
                pyro_rm.MarkovSampler(2)(ENERGY_OF_DRAWS, SPACE, torch.Size([4])).flatten(),
                evaluation.exact_samples(ENERGY_OF_DRAWS, 9).flatten(),
                infer.GibbsFill().filled(
                    ENERGY_OF_DRAWS, bits.masked_fill(bits == 1, torch.nan)
                ).flatten(),
            ])  # fmt: skip


ENERGY_OF_DRAWS = IsingEnergy(6).requires_grad_(False)  # all zero, in every interpreter


def loaded(seed, num_workers, context):
    torch.manual_seed(seed)
    loader = DataLoader(
        Draws(), batch_size=None, num_workers=num_workers, multiprocessing_context=context
    )
    return torch.stack(list(loader))


def test_workers_draw_different_data_and_the_same_again():
    first = loaded(0, 2, "fork")
    assert torch.equal(first, loaded(0, 2, "fork"))
    assert not torch.equal(first, loaded(1, 2, "fork"))
    assert len(first.unique(dim=0)) == len(first) == 4


def test_workers_draw_the_same_in_a_fresh_interpreter():
    """Whose hashes of strings are others."""
    assert torch.equal(loaded(0, 1, "fork"), loaded(0, 1, "spawn"))
