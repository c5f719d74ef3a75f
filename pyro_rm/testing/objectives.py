"""The check of objectives: their population optimum, and the derivative that they declare."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rm.enumeration import index_of, states_at
from pyro_rm.estimators import estimate
from pyro_rm.objectives import Objective
from pyro_rm.state_space import StateSpace
from pyro_rm.testing.expectations import expect, expect_equal, name_of, seeded

_SPACES = (StateSpace(3), StateSpace(2, states=(-1, 1)), StateSpace(2, (2, 3)))


class TableEnergy(nn.Module):
    """A free energy for every state: the richest model there is.

    :param state_space: A small space.
    :param table: Energies in the order of :func:`~pyro_rm.enumeration.states_at`.
    """

    def __init__(self, state_space: StateSpace, table: Tensor) -> None:
        super().__init__()
        self.state_space, self.table = state_space, nn.Parameter(table)

    def forward(self, encoded: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        return self.table[index_of(self.state_space, self.state_space.decode(encoded))]


def check_objective(objective: Objective) -> None:
    r"""Check what an objective declares: :math:`\kappa`, its derivative, its sampling unit.

    The population loss of a table with a free energy for each state is minimized on small
    spaces, with the expectation over data by enumeration: the optimum must be
    :math:`E_\text{true} / \kappa` up to a constant. ``log_derivative`` is compared with
    autograd.

    :param objective: The objective, of this library or your own.
    :raises AssertionError: If something is wrong, saying what.

    Example:

        >>> from pyro_rm.objectives import Pseudolikelihood
        >>> check_objective(Pseudolikelihood())

    .. note:: Takes about a second; in double precision, and without a tolerance for chance.
    """
    name = name_of(objective)
    expect(
        objective.sampling_unit in ("neighbor", "site"),
        f"Expected sampling_unit of {name} to be 'neighbor' or 'site', but got "
        f"{objective.sampling_unit!r}.",
    )
    expect(
        isinstance(objective.kappa, float | int) and objective.kappa > 0,
        f"Expected kappa of {name} to be a positive number, but got {objective.kappa!r}.",
    )
    _check_derivative(objective, name)
    with seeded():
        for space in _SPACES:
            _check_optimum(objective, space, name)


def _check_derivative(objective: Objective, name: str) -> None:
    """Elementwise, increasing, and with the derivative that is declared."""
    for dtype in (torch.float32, torch.float64):
        gaps = torch.linspace(-5, 5, 21, dtype=dtype, requires_grad=True)
        values = objective(gaps)
        each = torch.stack([objective(gap) for gap in gaps])
        expect_equal(each, values, f"{name}() of single gaps, as it is elementwise,")
        table = objective.log_derivative(gaps.detach().view(3, 7))
        (derivative,) = torch.autograd.grad(values.sum(), gaps)
        expect(
            (derivative > 0).all(),
            f"Expected {name}() to increase with the gap, but its derivative is "
            f"{derivative.min().item():.4g}.",
        )
        tolerance = 1e-9 if dtype == torch.float64 else 1e-4
        expect_equal(
            table.view(-1),
            derivative.log(),
            f"log_derivative of {name}, the logarithm of the derivative of the call,",
            tolerance=tolerance,
            at=lambda index, gaps=gaps: f"at the gap {gaps[index].item():.3g}",  # type: ignore[misc]
        )
    far = objective.log_derivative(torch.tensor([-300.0, 300.0]))
    expect(
        far.isfinite().all(),
        f"Expected log_derivative of {name} to be finite at gaps of -300 and 300, but got "
        f"{far.tolist()}: write it without the exponential.",
    )


def _check_optimum(objective: Objective, space: StateSpace, name: str) -> None:
    truth = torch.randn(space.num_states, dtype=torch.float64)
    truth = truth - truth.mean()
    data, p = states_at(space, torch.arange(space.num_states)), (-truth).softmax(0)

    def loss(energy: TableEnergy) -> Tensor:
        return (p * estimate(energy, data, objective=objective, num_neighbors="all")).sum()

    fitted = TableEnergy(space, torch.zeros_like(truth))
    optimizer = torch.optim.LBFGS(
        fitted.parameters(), max_iter=1000, tolerance_grad=1e-12, tolerance_change=1e-18,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(fitted)
        value.backward()
        return value

    optimizer.step(closure)
    found = fitted.table.detach() - fitted.table.detach().mean()
    shown = truth.square().sum() / (found * truth).sum()
    expect(
        (found - truth / objective.kappa).abs().max() < 1e-4,
        f"Expected the population optimum of {name} to be E_true / {objective.kappa:g} on "
        f"{space}, since kappa = {objective.kappa:g}, but it is about E_true / {shown:.4g}. "
        "Kappa is (log phi'(d) - log phi'(-d)) / d, the same at all gaps d; a sum inside a "
        "nonlinear function needs sampling_unit = 'site'.",
    )
    exact = TableEnergy(space, truth / objective.kappa)
    (gradient,) = torch.autograd.grad(loss(exact), list(exact.parameters()))
    expect_equal(
        gradient,
        torch.zeros_like(gradient),
        f"the gradient of the population loss of {name} at E_true / kappa",
        tolerance=1e-10,
    )
