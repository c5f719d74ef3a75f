"""Latent energy-based sites: their posterior by enumeration, what trains, refusals."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI
from pyro.infer.autoguide import AutoDelta

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising, NormalizedModel
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.infer import LatentFill, MarkovKernel, calibrate
from pyro_rm.markov_steps import GibbsSweep, MarkovSampler
from pyro_rm.poutine import ratio_matching
from pyro_rm.state_space import StateSpace

SPACES = {
    "binary": StateSpace(3),
    "spins": StateSpace(3, states=(-1, 1)),
    "categories": StateSpace(3, num_categories=(2, 3, 2)),
}


def log_joint(space, table, slope, y):
    """Log prior and log likelihood of all states, up to a constant, ``(len(y), states)``."""
    states = states_at(space, torch.arange(space.num_states)).float()
    return -table + dist.Normal(states @ slope, 1.0).log_prob(y[:, None])


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_draws_follow_the_posterior(space):
    """Frequencies of 8 000 draws for each of two data within 5 standard errors; fails in 1 of
    1e4 seeds. The slope is another latent, whose value the draws must see."""
    table, slope = torch.randn(space.num_states), torch.tensor([1.0, -1.5, 0.5])

    def energy(z):
        return table[index_of(space, space.decode(z))]

    def model(y):
        weights = pyro.sample("slope", dist.Normal(torch.zeros(3), 9.0).to_event(1))
        with pyro.plate("data", len(y), subsample_size=len(y) // 2) as rows:
            z = pyro.sample("z", EnergyModel(energy, state_space=space))
            pyro.sample("y", dist.Normal(z.float() @ weights, 1.0), obs=y[rows])

    y = torch.tensor([0.4, -0.7]).repeat_interleave(8000)
    filled = poutine.condition(LatentFill(model, "z", num_steps=15), {"slope": slope})
    run = poutine.trace(filled).get_trace(y)
    z, seen = run.nodes["z"]["value"], run.nodes["y"]["value"]
    for datum in (0.4, -0.7):
        here = seen == datum
        p = log_joint(space, table, slope, torch.tensor([datum])).softmax(-1)[0]
        counts = torch.bincount(index_of(space, z[here]), minlength=space.num_states)
        error = (counts / here.sum() - p).abs() / (p * (1 - p) / here.sum()).sqrt()
        assert error.max() < 5


@pytest.mark.usefixtures("float64")
def test_the_mean_gradient_vanishes_at_the_truth():
    """Over data of the model and draws of the posterior, in the energy and the likelihood."""
    space = StateSpace(2)
    table = torch.randn(4, requires_grad=True)
    logits = torch.randn(2, 3, requires_grad=True)
    z, y = states_at(space, torch.arange(4)), states_at(StateSpace(3), torch.arange(8))

    def energy(x):
        return table[index_of(space, x)]

    likelihood = (
        dist.Bernoulli(logits=z.double() @ logits).to_event(1).log_prob(y[:, None].double())
    )
    joint = (likelihood - energy(z)).flatten().softmax(0).view(8, 4).detach()
    posterior = joint / joint.sum(1, keepdim=True)
    weights = joint.sum(1, keepdim=True) * posterior  # chance of a datum and its draw
    loss = (weights * (pyro_rm.estimate(energy, z.double(), state_space=space) - likelihood)).sum()
    for gradient in torch.autograd.grad(loss, [table, logits]):
        assert gradient.abs().max() < 1e-12


TRUE = torch.tensor([[0.0, 0.8, -0.6], [0.8, 0.0, 0.0], [-0.6, 0.0, 0.0]])


def noisy_spins(y):
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    upper = torch.zeros(3, 3).index_put(tuple(torch.triu_indices(3, 3, 1)), pairs)
    with pyro.plate("data", len(y)):
        z = pyro.sample("z", Ising(upper + upper.mT, torch.zeros(3), states=(-1, 1)))
        pyro.sample("y", dist.Normal(z, scale).to_event(1), obs=y)


def test_energy_and_likelihood_are_learned_together():
    """Spins seen through noise. Three couplings within 4 standard errors of 0.048 (0.068 with half
    as many data, by repetition): fails in 1 of 5e3 seeds. Signs of data would be off by 0.28."""
    z = NormalizedModel(Ising(TRUE, torch.zeros(3), states=(-1, 1))).sample((2000,))
    y = z + 0.7 * torch.randn(z.shape)
    filled = LatentFill(noisy_spins, "z")
    guide = AutoDelta(filled)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.98})
    svi = SVI(filled, guide, optimizer, loss=pyro_rm.RatioMatchingLoss())
    found = []
    for _ in range(120):
        svi.step(y)
        found.append({name: value.detach().clone() for name, value in guide.median().items()})
    pairs = torch.stack([values["pairs"] for values in found[60:]]).mean(0)
    scale = torch.stack([values["scale"] for values in found[60:]]).mean()
    assert (pairs - torch.tensor([0.8, -0.6, 0.0])).abs().max() < 0.19
    assert abs(scale - 0.7) < 0.05


def test_chains_go_on_where_data_come_again():
    y, steps = torch.randn(6, 3), []

    class Counted(GibbsSweep):
        def __call__(self, target, state):
            steps.append(1)
            return super().__call__(target, state)

    filled = LatentFill(noisy_spins, "z", num_steps=5, step=Counted())
    for data, expected in ((y, 5), (y, 1), (y.clone(), 5)):
        steps.clear()
        poutine.trace(filled).get_trace(data)
        assert len(steps) == expected


def test_masked_rows_are_drawn_from_the_prior():
    """4 000 rows: a frequency of 1/2 within 5 standard errors."""

    def masked(y):
        with pyro.plate("data", len(y)):
            z = pyro.sample("z", Ising(torch.zeros(2, 2), states=(-1, 1)))
            with poutine.mask(mask=torch.arange(len(y)) % 2 == 0):
                pyro.sample("y", dist.Normal(9 * z, 1.0).to_event(1), obs=y)

    y = torch.full((8000, 2), 9.0)
    z = poutine.trace(LatentFill(masked, "z")).get_trace(y).nodes["z"]["value"]
    assert (z[::2] == 1).all()
    assert z[1::2].mean().abs() < 5 / 8000**0.5


def test_errors():
    y = torch.zeros(4, 3)
    observed = poutine.condition(noisy_spins, {"z": torch.ones(4, 3)})
    with pytest.raises(ValueError, match="num_steps to be at least 1"):
        LatentFill(noisy_spins, "z", num_steps=0)
    with pytest.raises(ValueError, match="the program has none of that name"):
        LatentFill(observed, "w")(y)
    with pytest.raises(ValueError, match="it is observed or not an EnergyModel"):
        LatentFill(observed, "y")(y)
    for refused in (lambda: ratio_matching(LatentFill(noisy_spins, "z"))(y),
                    lambda: calibrate(LatentFill(noisy_spins, "z"), (y,))):  # fmt: skip
        with pytest.raises(ValueError, match="silently breaks NUTS and calibration"):
            refused()

    def plain(y):
        with pyro.plate("data", 4):
            z = pyro.sample("z", Ising(torch.zeros(3, 3), states=(-1, 1)))
            pyro.sample("y", dist.Normal(z, 1.0).to_event(1), obs=y)

    with (
        pyro.plate("particles", 2, dim=-2),
        pytest.raises(ValueError, match="Use particles that are not vectorized"),
    ):
        LatentFill(plain, "z")(y)

    def more_plates(y):
        with pyro.plate("data", 4, dim=-2):
            z = pyro.sample("z", Ising(torch.zeros(3, 3), states=(-1, 1)))
            with pyro.plate("parts", 3, dim=-1):
                pyro.sample("y", dist.Normal(z.squeeze(-2), 1.0), obs=y)

    def outside(y):
        with pyro.plate("data", 4):
            z = pyro.sample("z", Ising(torch.zeros(3, 3), states=(-1, 1)))
            pyro.sample("y", dist.Normal(z, 1.0).to_event(1), obs=y)
        pyro.sample("total", dist.Normal(z.sum((-2, -1)), 1.0), obs=torch.tensor(0.0))

    def no_data(y):
        with pyro.plate("data", 4):
            pyro.sample("z", Ising(torch.zeros(3, 3), states=(-1, 1)))

    for model, message in (
        (more_plates, r"'y' in the plates of 'z', but it is in more: \['data', 'parts'\]"),
        (outside, "'total', which is not, depends on it"),
        (no_data, "Expected observed sites in the plates of 'z'"),
    ):
        with pytest.raises(ValueError, match=message):
            LatentFill(model, "z")(y)


CHAIN = torch.tensor([[0.0, 0.8, 0.0], [0.8, 0.0, -0.6], [0.0, -0.6, 0.0]])


def latent_energy(y):
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("data", len(y)):
        z = pyro.sample("z", Ising(CHAIN, torch.zeros(3), states=(-1, 1), sampler=MarkovSampler(2)))
        pyro.sample("y", dist.Normal(z.sum(-1), scale), obs=y)


def test_latent_energy_based_sites_are_refused():
    y = torch.zeros(3)
    with pytest.raises(ValueError, match=r"'z' to be observed.*LatentFill\(model, 'z'\)"):
        pyro_rm.RatioMatchingLoss().loss(latent_energy, lambda y: None, y)
    with pytest.raises(ValueError, match="Expected an observed energy-based site"):
        NUTS(ratio_matching(latent_energy)).setup(1, y)
    with pytest.raises(ValueError, match=r"'z' to be observed.*LatentFill\(model, 'z'\)"):
        calibrate(latent_energy, (y,))


def test_latents_with_an_energy_prior_are_drawn_by_their_conditional_energy():
    """What the refusal advises: the posterior of z is an energy-based model with known energy."""
    prior = Ising(CHAIN, torch.zeros(3), states=(-1, 1)).energy
    y = torch.tensor(2.0)

    def conditional_energy(z):
        return prior(z) - dist.Normal(z.sum(-1), 1.0).log_prob(y)

    model = EnergyModel(conditional_energy, state_space=prior.state_space)
    kernel = MarkovKernel(model, sample_shape=(400,))
    mcmc = MCMC(kernel, num_samples=10, warmup_steps=10, disable_progbar=True)
    mcmc.run()
    drawn_mean = mcmc.get_samples()["x"].mean((0, 1))
    exact = NormalizedModel(model).sample((4000,)).mean(0)
    assert (drawn_mean - exact).abs().max() < 0.1
