"""Regressions of ordinal sites on the others: values, derivatives, sandwiches and fills."""

import pytest
import torch

from pyro_rm.enumeration import states_at
from pyro_rm.estimators import Estimator
from pyro_rm.networks.curvature import derivatives, hessian
from pyro_rm.networks.fitter import Fitter
from pyro_rm.networks.missing_cells import refill, with_fills
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.pairwise_models import PairwiseModel, Sites, independent_model
from pyro_rm.networks.penalized_path import PenalizedPath
from pyro_rm.networks.sandwich import scores_and_curvature
from pyro_rm.networks.site_regressions import SiteRegressions, redrawn
from pyro_rm.objectives import as_objective

pytestmark = pytest.mark.usefixtures("float64")
SITES = [(-0.5, -0.2, 0.1, 0.5), (-0.5, 0.5), 3, (-0.5, 0.0, 0.5)]
EDGES = torch.tensor([[0, 1], [2, 0], [2, 3], [1, 3]])
ESTIMATOR = Estimator("pseudolikelihood", num_neighbors="all")
OBJECTIVE = as_objective("pseudolikelihood")
KINDS = [Sites(SITES), Sites(SITES, thresholds="blume_capel")]


def random_model(sites, edges=EDGES, scale=1.0):
    model = PairwiseModel(sites.energy(edges).requires_grad_(False), edges)
    torch.nn.init.normal_(model.energy.weight, std=scale).mul_(model.paired)
    torch.nn.init.normal_(model.energy.fields).mul_(model.exists)
    return model


def everything(model):
    """All states with their probabilities."""
    space = model.space
    states = states_at(space, torch.arange(space.num_states))
    chances = (-model.energy(space.encode(states, torch.float64))).softmax(0)
    return states.double(), chances


def drawn(model, size):
    states, chances = everything(model)
    return states[torch.multinomial(chances, size, replacement=True)]


def flat(model, theta):
    """An energy's parameters as functions of a vector."""
    count = model.energy.weight.numel()
    names = {"weight": theta[:count], "fields": theta[count:]}
    shapes = dict(model.energy.named_parameters())
    return {name: own.view_as(shapes[name]) for name, own in names.items()}


def losses(model, theta, encoded):
    """Sums over sites of minus the log conditional probabilities, by the energies of neighbors."""
    space, parts = model.space, flat(model, theta)
    total = torch.zeros(len(encoded))
    own = torch.func.functional_call(model.energy, parts, (encoded,))
    for site, kinds in enumerate(space.categories):
        others = []
        for category in range(kinds):
            moved = encoded.clone()
            moved[:, site] = torch.eye(space.max_categories)[category]
            others.append(-torch.func.functional_call(model.energy, parts, (moved,)))
        total = total + torch.stack(others).logsumexp(0) + own
    return total


@pytest.mark.parametrize("sites", KINDS)
def test_value_gradient_and_hessian_are_those_of_conditional_probabilities(sites):
    """Oracle: energies of all neighbors, differentiated twice by torch."""
    model = random_model(sites)
    weights = torch.rand(40)
    data = Observations.of(drawn(model, 40), model.space, weights)
    regressions = SiteRegressions(model, data)
    theta = regressions.parameters()

    def mean(theta):
        return weights @ losses(model, theta, data.encoded) / weights.sum()

    value, slope = regressions.look()
    assert value == pytest.approx(float(mean(theta)))
    torch.testing.assert_close(slope, torch.func.grad(mean)(theta))
    expected = torch.func.jacrev(torch.func.grad(mean))(theta)
    there = torch.cat([model.paired.flatten(), model.exists.flatten()])
    torch.testing.assert_close(regressions.hessian()[there][:, there], expected[there][:, there])
    x = model.coordinates_of(data.encoded)
    felt, bends = derivatives(model, data, OBJECTIVE)
    torch.testing.assert_close(regressions.slopes(), felt)
    torch.testing.assert_close(regressions.hessian(), hessian(model, x, bends))


@pytest.mark.parametrize("sites", KINDS)
@pytest.mark.parametrize("objective", ["pseudolikelihood", "squared_ratio"])
def test_a_fit_to_the_distribution_itself_is_the_model(sites, objective):
    """Consistency, exactly: all states, weighted by their probabilities."""
    model = random_model(sites, scale=0.7)
    states, chances = everything(model)
    data = Observations.of(states, model.space, 500 * chances, frequencies=True)
    fitter = Fitter(Estimator(objective, num_neighbors="all"), sites=sites)
    fit = fitter(data, EDGES)
    scale = as_objective(objective).kappa
    torch.testing.assert_close(
        fit.energy.weight.detach() * scale, model.energy.weight, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        fit.energy.fields.detach() * scale, model.energy.fields, atol=1e-3, rtol=0
    )
    assert fit.separated == ()


@pytest.mark.parametrize("sites", KINDS)
def test_the_sandwich_is_that_of_gradients_of_data(sites):
    """Oracle: per-datum gradients and the Hessian by torch; parameters that are not there drop."""
    model = random_model(sites, scale=0.7)
    data = Observations.of(drawn(model, 200), model.space)
    fit = Fitter(ESTIMATOR, sites=sites)(data, EDGES)
    theta = torch.cat([fit.energy.weight.flatten(), fit.energy.fields.flatten()]).detach()
    there = torch.cat([model.paired.flatten(), model.exists.flatten()])
    gradients = torch.func.jacrev(lambda t: losses(model, t, data.encoded))(theta)[:, there]
    bread = torch.func.jacrev(torch.func.grad(lambda t: losses(model, t, data.encoded).mean()))(
        theta
    )
    bread = torch.linalg.inv(bread[there][:, there])
    expected = bread @ (gradients.mT @ gradients / 200) @ bread / 200
    found = fit.sandwich.covariance[there][:, there]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (fit.sandwich.covariance[~there] == 0).all()


def test_blanks_lose_what_the_derivative_of_the_averaged_gradient_says():
    """Oracle: the mean gradient over all fills, weighed by the model, differentiated by torch."""
    model = random_model(KINDS[0], scale=0.7)
    values = drawn(model, 60)
    values[torch.rand(values.shape) < 0.2] = torch.nan
    values = values[~values.isnan().all(1)]
    data = refill(with_fills(values, model.space, None, 1000, model=model), model)
    assert not data.drawn.any()
    theta = SiteRegressions(model, data).parameters()

    def terms(theta, encoded, active):
        """Each observed cell's loss; a blank cell has none."""
        parts, total = flat(model, theta), torch.zeros(())
        own = -torch.func.functional_call(model.energy, parts, (encoded,))
        for site, kinds in enumerate(model.space.categories):
            moved = encoded.repeat(kinds, 1, 1)
            moved[:, site] = torch.eye(model.space.max_categories)[:kinds]
            others = -torch.func.functional_call(model.energy, parts, (moved,))
            total = total + active[site] * (others.logsumexp(0) - own)
        return total

    def gradient(theta):
        logits = -torch.func.functional_call(model.energy, flat(model, theta), (data.encoded,))
        odds = (logits - logits.detach()).exp() * data.weights  # right at theta, and its slope
        sums = torch.zeros(data.num_data).index_add(0, data.datum, odds)
        shares = odds / sums[data.datum] * data.data_weights[data.datum]
        rows = zip(data.encoded, data.active, strict=True)
        each = [torch.func.grad(terms)(theta, *row) for row in rows]
        return shares @ torch.stack(each)

    there = torch.cat([model.paired.flatten(), model.exists.flatten()])
    expected = torch.func.jacrev(gradient)(theta)[there][:, there]
    found = scores_and_curvature(model, data, OBJECTIVE)[1][there][:, there]
    torch.testing.assert_close(found, expected)


def test_sweeps_over_blanks_leave_the_conditional_distribution_as_it_is():
    """Fails by chance with probability below 1e-6: five standard errors of 48 frequencies."""
    model = random_model(KINDS[0])
    states, chances = everything(model)
    size, blank = 40_000, torch.tensor([True, False, True, False])
    start = states[torch.multinomial(chances, size, replacement=True)]
    encoded = model.space.encode(start, torch.float64)
    new = redrawn(model, encoded, blank.expand(size, -1), num_steps=1).argmax(-1)
    assert torch.equal(new[:, ~blank], start[:, ~blank].long())
    assert not torch.equal(new, start.long())
    number = {tuple(s): n for n, s in enumerate(states.long().tolist())}
    seen = torch.bincount(torch.tensor([number[tuple(s)] for s in new.tolist()]), minlength=72)
    errors = (chances * (1 - chances) / size).sqrt()
    assert ((seen / size - chances).abs() < 5 * errors + 1e-4).all()


@pytest.mark.parametrize("sites", KINDS)
def test_independent_sites_are_the_most_likely_ones(sites):
    """Oracle: the gradient of the log likelihood of each site alone is zero."""
    model = random_model(sites)
    data = Observations.of(drawn(model, 300), model.space)
    alone = independent_model(model.space, data.encoded_mean(), 1e12, sites)
    _, slope = SiteRegressions(alone, data).look()
    assert slope.abs().max() < 1e-8


def test_the_penalized_path_is_where_gradients_are_as_large_as_the_penalty():
    """Oracle: the conditions of the optimum, by torch's gradient of the mean objective."""
    sites = KINDS[0]
    pairs = torch.triu_indices(4, 4, 1).T
    model = random_model(sites, pairs)
    data = Observations.of(drawn(model, 300), model.space)
    path = PenalizedPath(data, ESTIMATOR, tolerance=1e-4, sites=sites)
    largest = path.largest_penalty()
    for penalty in (1.01 * largest, 0.2 * largest):
        *_, point = path.points([penalty])
        energy = sites.energy(pairs)
        matrix = point.energy.couplings.detach().transpose(1, 2)
        energy.weight.data.copy_(matrix[pairs[:, 0], pairs[:, 1]])
        energy.fields.data.copy_(point.energy.fields.detach())
        mean_objective(energy, data, ESTIMATOR, backward=True)
        norms = energy.weight.detach().flatten(1).norm(dim=1)
        slopes = energy.weight.grad.flatten(1)
        assert energy.fields.grad.abs().max() < 1e-3 * largest
        assert (slopes.norm(dim=1) < penalty * 1.001).all()
        there = norms > 0
        assert there.tolist() == [[*pair] in point.edges.tolist() for pair in pairs.tolist()]
        pull = energy.weight.detach().flatten(1)[there] / norms[there, None]
        torch.testing.assert_close(slopes[there], -penalty * pull, atol=2e-3 * penalty, rtol=0)
    assert there.any()
