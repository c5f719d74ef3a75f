"""Standard errors of fits to filled data: Louis' correction against exact slopes."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingFunction
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.infer import GibbsFill, filled_posterior
from pyro_rm.posteriors.louis_correction import _Chain, _moments
from pyro_rm.posteriors.sandwich import sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.state_space import StateSpace

NAN = float("nan")


def holes(space, count=12):
    """Data with up to three missing cells in a row."""
    x = states_at(space, torch.randint(space.num_states, (count,))).float()
    missing = torch.rand(count, 4) < 0.4
    missing[:, 0] = False
    missing[0] = torch.tensor([False, True, True, True])
    missing[1] = False
    return x.masked_fill(missing, NAN)


def ising_with_holes(x, weights=1.0):
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(6), 1.0).to_event(1))
    matrix = torch.zeros(4, 4).index_put(tuple(torch.triu_indices(4, 4, 1)), pairs)
    energy = IsingFunction(matrix + matrix.mT, torch.zeros(4), StateSpace(4))
    with pyro.plate("data", len(x)), poutine.scale(scale=weights):
        pyro.sample("x", EnergyModel(energy, active=~x.isnan()), obs=x)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("weighted", [False, True])
def test_louis_correction_is_the_slope_of_the_mean_score(weighted):
    """Against finite differences of the exact mean score over completions."""
    x = holes(StateSpace(4), 40).double()
    weights = 4 * torch.rand(40).square() if weighted else torch.ones(40)
    repeated, p = x.repeat(25, 1), 6

    def mean_score(flat):
        point = flat.clone().requires_grad_()
        matrix = torch.zeros(4, 4).index_put(tuple(torch.triu_indices(4, 4, 1)), point)
        energy = IsingFunction(matrix + matrix.mT, torch.zeros(4), StateSpace(4))
        states = states_at(StateSpace(4), torch.arange(16))
        agrees = ((states == x[:, None]) | x[:, None].isnan()).all(-1)
        share = (-energy(states)).masked_fill(~agrees, -torch.inf).softmax(-1).detach()
        rows = states.expand(40, 16, 4)
        scores = Estimator(num_neighbors="all")(
            energy, StateSpace(4), rows, active=~x[:, None].isnan()
        )
        return torch.autograd.grad((weights[:, None] * share * scores).sum(), point)[0]

    point = 0.5 * torch.randn(p)
    step = 1e-5 * torch.eye(p)
    slope = torch.stack([(mean_score(point + d) - mean_score(point - d)) / 2e-5 for d in step], -1)

    chains = {"x": _Chain(GibbsFill(Estimator(num_neighbors="all"), num_steps=20))}
    program = UnconstrainedProgram(ising_with_holes, chains, (repeated, weights.repeat(25)))
    found = _moments(program, point, chains, 60, False)
    # Monte Carlo error of 1500 fills a row, about 1 % of the largest entries
    assert (found.slope / 25 - slope).abs().max() < 0.04 * slope.abs().max()
    assert (found.hessian / 25 - slope).abs().max() > 0.1 * slope.abs().max()
    torch.testing.assert_close(found.scores.sum(0) / 25, mean_score(point), rtol=0.1, atol=0.3)


@pytest.mark.usefixtures("float64")
def test_standard_errors_of_complete_data_are_the_sandwich():
    x = states_at(StateSpace(4), torch.randint(16, (80,)))
    draws = filled_posterior(
        ising_with_holes, (x,), values={"pairs": torch.zeros(6)},
        num_fills=2, num_draws=20_000, progress=False,
    )["pairs"]  # fmt: skip
    program = UnconstrainedProgram(ising_with_holes, Estimator(num_neighbors="all"), (x,))
    found = sandwich_at(program, torch.zeros(6))
    posterior = torch.linalg.inv(found.hessian + torch.eye(6))
    expected = posterior @ (found.variability + torch.eye(6)) @ posterior
    ratio = draws.std(0) / expected.diagonal().sqrt()
    assert (ratio - 1).abs().max() < 0.03  # 6 errors of a standard deviation of 20 000 draws


def test_fills_taken_for_data_give_intervals_that_are_too_short():
    """In the mean over parameters by a tenth or more; a mean ratio of 6 is known to 1 %."""
    x = holes(StateSpace(4), 200)
    spread = [
        filled_posterior(
            ising_with_holes, (x,), values={"pairs": torch.zeros(6)}, num_fills=10,
            num_draws=4000, corrected=corrected, progress=False,
        )["pairs"].std(0)
        for corrected in (True, False)
    ]  # fmt: skip
    assert (spread[0] / spread[1]).mean() > 1.1
