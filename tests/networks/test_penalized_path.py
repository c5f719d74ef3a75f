"""The penalized path against its optimality conditions, and against Pyro's AutoDelta."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from pyro.infer.autoguide import AutoDelta, init_to_mean

import pyro_rm
from pyro_rm import StateSpace
from pyro_rm.distributions import Ising
from pyro_rm.energies import PairwiseFunction
from pyro_rm.estimators import Estimator
from pyro_rm.networks.binary_path import BinaryPath
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.penalized_path import PenalizedPath
from pyro_rm.networks.proximal import proximal_minimize

pytestmark = pytest.mark.usefixtures("float64")
OBJECTIVES = ["pseudolikelihood", "ratio_matching", "minimum_probability_flow"]


def correlated(space, num_data=400):
    k = space.max_categories
    x = torch.randint(k, (num_data, space.num_sites))
    x = torch.where(torch.rand(num_data, 1) < 0.4, x[:, :1], x)
    x[:, -1] = torch.randint(k, (num_data,))
    return x.double() * (space.states[1] - space.states[0]) + space.states[0]


def energy_of(point, space):
    """A point of either path as an energy."""
    if not hasattr(point, "couplings"):
        return point.energy
    matrix = torch.zeros(4, 4)
    matrix[point.edges[:, 0], point.edges[:, 1]] = point.couplings
    return PairwiseFunction(matrix + matrix.mT, point.fields, space)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("space", [StateSpace(4), StateSpace(4, states=(-1, 1)), StateSpace(4, 3)])
def test_subgradients_vanish_at_each_point(space, objective):
    """Oracle: autograd on the energy, and the definition of the subdifferential of a norm."""
    observations = Observations.of(correlated(space), space)
    estimator = Estimator(objective, "all")
    path = (BinaryPath if space.is_binary else PenalizedPath)(
        observations, estimator, tolerance=1e-6
    )
    largest = path.largest_penalty()
    for point in path.points([0.999 * largest, 0.3 * largest]):
        energy = energy_of(point, space)
        leaves = [t.detach().requires_grad_() for t in (energy.couplings, energy.fields)]
        leaf = type(energy)(*leaves, space)
        mean_objective(leaf, observations, estimator, backward=True)
        torch.testing.assert_close(leaves[1].grad, 0 * leaves[1].grad, atol=1e-5, rtol=0)
        for i in range(4):
            for j in range(i):
                pick = (i, j) if space.is_binary else (i, slice(None), j)
                other = (j, i) if space.is_binary else (j, slice(None), i)
                slope = leaves[0].grad[pick] + leaves[0].grad[other].transpose(0, -1)
                now = energy.couplings.detach()[pick]
                if now.norm() == 0:
                    assert slope.norm() <= point.penalty * (1 + 1e-5)
                else:
                    wanted = -point.penalty * now / now.norm()
                    torch.testing.assert_close(slope, wanted, atol=1e-5, rtol=0)
    assert 0 < len(point.edges) < 6


def test_no_coupling_at_the_largest_penalty():
    space = StateSpace(4)
    path = BinaryPath(Observations.of(correlated(space), space), Estimator(num_neighbors="all"))
    largest = path.largest_penalty()
    none, some = path.points([1.0001 * largest, 0.99 * largest])
    assert len(none.edges) == 0
    assert len(some.edges) > 0


def test_working_sets_are_grown_to_all_pairs_that_enter():
    """Penalties that fall at once make the strong rule miss pairs: the slopes of all find them."""
    space = StateSpace(12, states=(-1, 1))
    torch.manual_seed(3)
    drive = torch.randn(600, 3)
    x = torch.where(drive.repeat_interleave(4, 1) + torch.randn(600, 12) > 0.5, 1.0, -1.0)
    observations, estimator = Observations.of(x, space), Estimator(num_neighbors="all")
    path = BinaryPath(observations, estimator, tolerance=1e-6)
    largest = path.largest_penalty()
    sizes = [largest * share for share in (1.0, 0.5, 0.2, 0.05)]
    slowly = list(path.points(sizes))[-1]
    (at_once,) = BinaryPath(observations, estimator, tolerance=1e-6).points(sizes[-1:])
    assert torch.equal(slowly.edges, at_once.edges)
    assert 12 < len(slowly.edges) < 66
    torch.testing.assert_close(slowly.couplings, at_once.couplings, atol=1e-6, rtol=0)
    slopes = path._slopes_of_pairs(slowly).triu(1)
    assert slopes.max() <= sizes[-1] * (1 + 1e-5)


def test_the_mode_under_a_laplace_prior_is_the_penalized_fit():
    """AutoDelta minimizes the same function: up to the noise of subgradient steps."""
    space, penalty = StateSpace(4, states=(-1, 1)), 0.05
    x = correlated(space)
    (point,) = BinaryPath(
        Observations.of(x, space), Estimator(num_neighbors="all"), tolerance=1e-6
    ).points([penalty])
    low, high = torch.triu_indices(4, 4, 1)

    def model(x):
        scale = 1 / (len(x) * penalty)
        weight = pyro.sample("weight", dist.Laplace(torch.zeros(6), scale).to_event(1))
        fields = pyro.sample("fields", dist.Normal(torch.zeros(4), 1e4).to_event(1))
        upper = torch.zeros(4, 4).index_put((low, high), weight)
        with pyro.plate("data", len(x)):
            pyro.sample("x", Ising(upper + upper.mT, fields, states=(-1, 1)), obs=x)

    guide = AutoDelta(model, init_loc_fn=init_to_mean)
    steps = 600
    optimizer = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 1e-4 ** (1 / steps)})
    svi = SVI(model, guide, optimizer, pyro_rm.RatioMatchingLoss(num_neighbors="all"))
    for _ in range(steps):
        svi.step(x)
    median = guide.median()
    torch.testing.assert_close(
        median["weight"], energy_of(point, space).couplings[low, high], atol=2e-3, rtol=0
    )


def test_proximal_minimize_solves_a_lasso_with_a_rare_coordinate():
    """Oracle: coordinates are independent, so the lasso is a soft threshold."""
    curvature = torch.tensor([1.0, 100.0, 0.01])
    target = torch.tensor([2.0, 1.0, -300.0])

    def smooth(point, _):
        slope = curvature * (point - target)
        return 0.5 * float(slope @ (point - target)), slope

    def shrink(point, steps):
        return point - point.clamp(-steps, steps)

    found, _ = proximal_minimize(
        smooth, shrink, torch.zeros(3), curvature, tolerance=1e-9, curvature=1e-3
    )
    torch.testing.assert_close(found, target - (1 / curvature) * target.sign())
