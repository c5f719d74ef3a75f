"""What went wrong where energy, space, context and active sites traveled side by side."""

import pytest
import torch
from torch import nn

import pyro_rm
from pyro_rm import StateSpace, Target
from pyro_rm.distributions import EnergyModel, Ising, Potts
from pyro_rm.energies import (
    IsingEnergy,
    MLPEnergy,
    RandomGraphEnergy,
    RBMEnergy,
    RelationalGraphEnergy,
    SparseIsingEnergy,
    SumEnergy,
    with_levels,
)
from pyro_rm.evaluation import log_partition
from pyro_rm.graphs import generate_graphs
from pyro_rm.infer import sample_by_levels
from pyro_rm.markov_steps import (
    BlockGibbs,
    Chains,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    ParallelTempering,
    default_step,
)

TEMPERING = ParallelTempering(GibbsSweep(), (1.0, 0.0))  # of two temperatures, as rows below


def test_tempered_chains_follow_levels_at_the_first_temperature():
    """Fails with probability below 1e-8: six standard errors on 20 000 chains of two rows."""
    energy = with_levels(lambda x: -3.0 * x.sum(-1), 2, state_space=StateSpace(1))
    moved = sample_by_levels(
        energy, torch.zeros(2, 10_000, 1), num_levels=2, step=TEMPERING, num_steps=3, progress=False
    )
    p = torch.tensor(3.0).sigmoid()  # .953; at the other temperature, one half
    assert moved.shape == (2, 10_000, 1)
    assert (moved.mean((1, 2)) - p).abs().max() < 6 * (p * (1 - p) / 10_000).sqrt()


def test_tempered_graphs_are_of_the_first_temperature():
    """Fails with probability below 1e-8: six standard errors; two graphs, as temperatures."""
    energy = RandomGraphEnergy(40, statistics=("edges",))
    nn.init.constant_(energy.coefficients, 3.0)
    p, pairs = torch.tensor(3.0).sigmoid(), 40 * 39 / 2
    for model, options in (
        (energy, {}),
        (energy, {"inverse_temperatures": (0.5, 1.0)}),
        (with_levels(energy, 2, num_context=1), {"num_levels": 2}),
    ):
        graphs = generate_graphs(
            model, torch.tensor([40, 40]), step=TEMPERING, num_steps=2, progress=False, **options
        )
        for graph in graphs:
            density = graph.number_of_edges() / pairs
            assert abs(density - p) < 6 * (p * (1 - p) / pairs) ** 0.5


@pytest.mark.parametrize("wrap", [
    lambda energy: 0.5 * energy,
    lambda energy: 0.5 * (energy + energy),
    lambda energy: with_levels(energy, 2, num_context=1),
])  # fmt: skip
def test_directed_energies_generate_directed_graphs_inside_sums(wrap):
    energy = wrap(RelationalGraphEnergy(4, num_hidden=4, directed=True))
    levels = 2 if "scales" in str([n for n, _ in energy.named_parameters()]) else None
    graphs = generate_graphs(
        energy, torch.tensor([3, 4]), num_levels=levels, num_steps=1, progress=False
    )
    assert [graph.is_directed() for graph in graphs] == [True, True]
    assert [len(graph) for graph in graphs] == [3, 4]


def chain_of(num_sites, num_categories):
    """Couplings of neighbors on a line, fields, and log Z by a product of matrices."""
    between = torch.randn(num_sites - 1, num_categories, num_categories)
    fields = torch.randn(num_sites, num_categories)
    couplings = torch.zeros(num_sites, num_categories, num_sites, num_categories)
    for i, table in enumerate(between):
        couplings[i, :, i + 1], couplings[i + 1, :, i] = table, table.T

    def log_z(beta=1.0):
        message = torch.zeros(num_categories)
        for i in range(num_sites - 1):
            message = ((message + beta * fields[i])[:, None] + beta * between[i]).logsumexp(0)
        return (message + beta * fields[-1]).logsumexp(0)

    return couplings, fields, log_z


@pytest.mark.usefixtures("float64")
def test_log_partition_of_a_chain_however_it_is_given():
    couplings, fields, log_z = chain_of(40, 3)
    potts = Potts(couplings, fields)
    other = pyro_rm.energies.PairwiseFunction(
        torch.zeros_like(couplings), torch.ones_like(fields), potts.state_space
    )
    for model, expected in (
        (potts, log_z()),
        (potts.energy, log_z()),
        (Target.of(potts), log_z()),
        (EnergyModel(0.5 * potts.energy), log_z(0.5)),
        (SumEnergy((0.25, potts.energy), (0.25, potts.energy)), log_z(0.5)),
        (potts.energy + other, log_z() + 40),  # fields of one for every category
    ):
        torch.testing.assert_close(log_partition(model), expected)


@pytest.mark.usefixtures("float64")
def test_log_partition_of_a_sparse_chain_of_spins():
    edges = torch.stack([torch.arange(39), torch.arange(1, 40)], 1)
    energy = SparseIsingEnergy(40, edges, states=(-1, 1))
    nn.init.normal_(energy.weight)
    expected = 40 * torch.tensor(2.0).log() + energy.weight.cosh().log().sum()
    for model in (energy, EnergyModel(energy)):
        torch.testing.assert_close(log_partition(model), expected)
    half = 40 * torch.tensor(2.0).log() + (0.5 * energy.weight).cosh().log().sum()
    torch.testing.assert_close(log_partition(0.5 * energy), half)
    couplings = torch.zeros(40, 40)
    couplings[edges[:, 0], edges[:, 1]] = couplings[edges[:, 1], edges[:, 0]] = energy.weight.data
    magnet = Ising(couplings, torch.zeros(40), states=(-1, 1))
    torch.testing.assert_close(log_partition(magnet), expected.detach())


class Counted(nn.Module):
    """A function that counts how often it is asked."""

    state_space = StateSpace(6)

    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(6, 1), 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x).squeeze(-1).tanh()


@pytest.mark.parametrize("step", [DiscreteLangevin(), GibbsWithGradients()], ids=repr)
def test_a_hundred_informed_steps_cost_a_hundred_and_one_evaluations(step):
    energy = Counted()
    Chains(energy, torch.zeros(5, 6), step).run(100)
    assert energy.calls == 101
    energy.calls = 0
    Chains(energy, torch.zeros(5, 6), step).run(50).run(50)
    assert energy.calls == 101


def test_the_default_step_of_hidden_units_is_block_gibbs_everywhere(monkeypatch):
    energy, steps = RBMEnergy(6, 3), []
    for model in (energy, EnergyModel(energy), Target.of(energy)):
        assert default_step(model) == BlockGibbs()
    assert default_step(IsingEnergy(3)) == default_step(MLPEnergy(3, (4,))) == GibbsSweep()
    call = BlockGibbs.__call__
    monkeypatch.setattr(
        BlockGibbs, "__call__", lambda self, *args: steps.append(1) or call(self, *args)
    )
    sampler = pyro_rm.MarkovSampler(3, progress=False)
    sampler(energy, sample_shape=(4,))
    EnergyModel(energy, sampler=sampler).sample((2,))
    assert len(steps) == 6


def test_data_on_a_device_go_where_the_energy_is():
    target = Target.of(MLPEnergy(3, (4,)).to("meta").double())
    encoded = target.encode(torch.zeros(2, 3))
    assert (encoded.device.type, encoded.dtype) == ("meta", torch.float64)
