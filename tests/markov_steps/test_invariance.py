"""Every step leaves the model invariant: the full transition matrix of the shipped code."""

import networkx as nx
import pytest
import torch

from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, SparseIsingEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.markov_steps import (
    BlockGibbs,
    ColoredGibbs,
    DiscreteLangevin,
    GibbsSweep,
    GibbsWithGradients,
    ParallelGibbs,
)
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing.transition_matrices import transition_matrix

pytestmark = pytest.mark.usefixtures("float64")


def filled(energy, scale=0.7):
    """An energy with parameters of every size, seeded."""
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return energy


def ring(states=(0, 1)):
    energy = filled(IsingEnergy(4, states=states))
    keep = torch.tensor(nx.to_numpy_array(nx.cycle_graph(4)))
    energy.weight.data *= keep
    return energy


class Bumpy:
    """A plain callable without any fast path, differentiable in x."""

    state_space = StateSpace(4)

    def __call__(self, x):
        return (x @ torch.tensor([1.0, -2.0, 0.5, 3.0])).sin() + x[..., 0] * x[..., 1] * x[..., 3]


ENERGIES = {
    "ising": lambda: filled(IsingEnergy(4, states=(-1, 1))),
    "ring": ring,
    "sparse ring": lambda: filled(
        SparseIsingEnergy(4, torch.tensor(list(nx.cycle_graph(4).edges)))
    ),
    "rbm": lambda: filled(RBMEnergy(4, 2)),
    "mlp": lambda: filled(MLPEnergy(4, (5,), states=(-1, 1))),
    "callable": Bumpy,
    "potts": lambda: filled(PottsEnergy(3, 3)),
    "categorical rbm": lambda: filled(RBMEnergy(3, 2, num_categories=3)),
    "ragged mlp": lambda: filled(MLPEnergy(3, (5,), num_categories=(3, 2, 3))),
}
CASES = [
    *[(step, name) for name in ENERGIES for step in (GibbsSweep(), GibbsWithGradients())],
    (GibbsWithGradients(num_proposals=2), "mlp"),
    *[(DiscreteLangevin(step_size=0.7), name) for name in ENERGIES],
    (DiscreteLangevin(num_proposals=2), "ring"),
    *[(ParallelGibbs(0.6, num_proposals=1), name) for name in ENERGIES],
    (ParallelGibbs(1.0, num_proposals=2), "ring"),
    (ColoredGibbs((0, 1, 0, 1)), "ring"),
    (ColoredGibbs.from_graph(nx.cycle_graph(4)), "sparse ring"),
    (ColoredGibbs((0, 1, 2)), "potts"),
    (BlockGibbs(), "rbm"),
    (BlockGibbs(), "categorical rbm"),
]


def enumerated(energy):
    """The space of an energy, all its states, as chains, and their probabilities."""
    space = energy.state_space
    states = states_at(space, torch.arange(space.num_states))
    chains = space.encode(states, torch.float64)
    return space, states, chains, torch.softmax(-energy(chains), 0).detach()


def case_id(value):
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize("clamped", [False, True], ids=["free", "clamped"])
@pytest.mark.parametrize(("step", "name"), CASES, ids=case_id)
def test_the_model_is_invariant(step, name, clamped):
    energy = ENERGIES[name]()
    space, states, chains, p = enumerated(energy)
    active = torch.arange(space.num_sites) != 1 if clamped else None
    target = Target.of(energy, active=active)
    matrix = transition_matrix(
        lambda x: step(target, step.init(target, x)).encoded,
        chains,
        lambda x: index_of(space, space.decode(x)),
        len(p),
    )
    torch.testing.assert_close(p @ matrix, p, rtol=0, atol=1e-10)
    same = torch.ones_like(matrix, dtype=torch.bool)
    if clamped:
        same = states[:, 1, None] == states[:, 1]
    assert (matrix[~same] == 0).all()
    conditional = p * same
    conditional /= conditional.sum(1, keepdim=True)
    limit = torch.linalg.matrix_power(matrix, 2**20)
    torch.testing.assert_close(limit, conditional, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("step", "name"), CASES[::3], ids=case_id)
def test_a_simulation_has_the_frequencies_of_the_matrix(step, name):
    """Fails with probability below 1e-4: six standard errors of the mean of 200 batches.

    The order of a sweep is the same in a batch, so that batches are the independent units.
    """
    energy = ENERGIES[name]()
    space, _, chains, p = enumerated(energy)
    target = Target.of(energy)

    def run(x):
        return step(target, step.init(target, x)).encoded

    def number(x):
        return index_of(space, space.decode(x))

    row = transition_matrix(run, chains, number, len(p))[5]
    start = chains[5].expand(100, *space.encoded_shape)
    counts = torch.stack([number(run(start)).bincount(minlength=len(p)) for _ in range(200)])
    frequencies = counts / 100
    error = frequencies.std(0) / 200**0.5
    assert ((frequencies.mean(0) - row).abs() <= 6 * error + 1e-3).all()
