"""Population optima and derivatives of the objectives, by enumeration."""

import pytest
import torch

from pyro_rm import StateSpace, estimate, objectives
from pyro_rm.energies import restore_temperature
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.objectives import as_objective

pytestmark = pytest.mark.usefixtures("float64")
SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]
OBJECTIVES = sorted(objectives._BUILT_IN)


class TableEnergy(torch.nn.Module):
    """A free energy for every state: the richest model there is."""

    def __init__(self, space, table):
        super().__init__()
        self.state_space, self.table = space, torch.nn.Parameter(table)

    def forward(self, encoded):
        return self.table[index_of(self.state_space, self.state_space.decode(encoded))]


def every_state(space):
    return states_at(space, torch.arange(space.num_states))


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_population_minimizer_has_the_declared_temperature(space, objective):
    truth = torch.randn(space.num_states)
    data, p = every_state(space), torch.softmax(-truth, 0)
    energy = TableEnergy(space, torch.zeros(space.num_states))
    optimizer = torch.optim.LBFGS(
        energy.parameters(), max_iter=2000, tolerance_grad=1e-11, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = (p * estimate(energy, data, objective=objective, num_neighbors="all")).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    centered = truth - truth.mean()

    def scale(fitted):
        fitted = fitted(space.encode(data, torch.float64)).detach()
        return (fitted * centered).sum() / centered.square().sum()

    kappa = as_objective(objective).kappa
    assert abs(scale(energy) - 1 / kappa) < 1e-3
    assert abs(scale(restore_temperature(energy, objective)) - 1) < 1e-3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_log_derivative_is_the_derivative(objective):
    gap = torch.linspace(-5, 5, 21, requires_grad=True)
    phi = as_objective(objective)
    (derivative,) = torch.autograd.grad(phi(gap).sum(), gap)
    torch.testing.assert_close(phi.log_derivative(gap).exp(), derivative)


def test_objectives_are_shown_by_their_names():
    assert repr(as_objective("squared_ratio")) == "SquaredRatio()"
