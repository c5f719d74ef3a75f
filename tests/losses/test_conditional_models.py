"""Energies that take covariates: subsampled, by mini-batches, categorical."""

from itertools import combinations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.infer.autoguide import AutoDelta

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.state_space import StateSpace

SITES = 4


def by_fields(slopes):
    """Fields linear in covariates; a conditional random field on a chain."""
    chain = torch.diag_embed(torch.full((SITES - 1,), 0.5), 1)

    def energy(x, covariates):
        fields = (covariates[..., None, :] * slopes).sum(-1)
        return -(x * fields).sum(-1) - ((x @ chain) * x).sum(-1)

    energy.state_space = StateSpace(SITES, states=(-1, 1))
    return energy


def conditional(x, covariates, rows=None):
    prior = dist.Normal(torch.zeros(SITES, 2), 1.0).to_event(2)
    slopes = pyro.sample("slopes", prior)
    with pyro.plate("data", len(x), subsample=rows) as chosen:
        context = covariates[chosen]
        pyro.sample("x", EnergyModel(by_fields(slopes), context=context), obs=x[chosen])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("num_neighbors", ["all", 4])
def test_gradients_of_subsampled_plates_are_unbiased(num_neighbors):
    """The mean over every subsample of 2 rows of 6 is the gradient of all rows."""
    x, covariates = 2.0 * torch.randint(2, (6, SITES)) - 1, torch.randn(6, 2)
    loss = pyro_rm.RatioMatchingLoss(num_neighbors=num_neighbors)
    slopes = torch.randn(SITES, 2, requires_grad=True)
    fixed = poutine.condition(conditional, {"slopes": slopes})

    def gradient(rows):
        total = loss.differentiable_loss(fixed, lambda *_: None, x, covariates, rows)
        return torch.autograd.grad(total, slopes)[0]

    each = [gradient(torch.tensor(rows)) for rows in combinations(range(6), 2)]
    torch.testing.assert_close(torch.stack(each).mean(0), gradient(torch.arange(6)))


def test_conditional_models_learn_slopes_from_minibatches():
    true = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.5, 0.5], [0.0, 0.0]])
    covariates = torch.randn(2000, 2)
    sampler = MarkovSampler(20)
    x = EnergyModel(by_fields(true), context=covariates, sampler=sampler).sample()
    guide = AutoDelta(conditional)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.99})
    svi = SVI(conditional, guide, optimizer, loss=pyro_rm.RatioMatchingLoss(num_neighbors="all"))
    for _ in range(300):
        svi.step(x, covariates, torch.randint(2000, (200,)))
    # standard errors are about 0.04
    assert (guide.median()["slopes"] - true).abs().max() < 0.25


def test_categorical_models_with_covariates():
    space = StateSpace(3, num_categories=4)
    slopes = torch.randn(3, 4)

    def energy(x, covariate):
        return -(x * slopes * covariate[..., None, None]).sum((-2, -1))

    energy.state_space = space
    covariate = torch.randn(7)
    x = torch.randint(4, (7, 3))

    def model():
        with pyro.plate("data", 7):
            pyro.sample("x", EnergyModel(energy, context=covariate, context_event_dim=0), obs=x)

    logits = slopes * covariate[:, None, None]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="sum")
    assert pyro_rm.RatioMatchingLoss(num_neighbors="all").loss(model, lambda: None) == (
        pytest.approx(expected.item(), rel=1e-5)
    )
