"""A program as a function of a flat vector: units, scales, transforms, refusals."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer.mcmc.util import initialize_model

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import IsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.poutine import ratio_matching

DATA = (torch.arange(24).reshape(8, 3) % 7 < 3).float()
FIELD = torch.tensor([0.3, -0.2, 0.5])
EXACT = Estimator(num_neighbors="all")
ROWS = torch.tensor([1.0, 0.5, 2.0, 1.0, 1.0, 1.0, 1.0, 3.0])


def prior():
    return pyro.sample("field", dist.Normal(0.0, 1.0).expand([3]).to_event(1))


def spins(field):
    return Ising(torch.zeros(3, 3), field)


def costs(x=DATA):
    return pyro_rm.estimate(spins(FIELD).energy, x)


def plain(x):
    field = prior()
    with pyro.plate("data", len(x)):
        pyro.sample("x", spins(field), obs=x)


def sequential(x):
    field = prior()
    for row in pyro.plate("data", len(x)):
        pyro.sample(f"x_{row}", spins(field), obs=x[row])


def subsampled(x):
    field = prior()
    with pyro.plate("data", len(x), subsample=torch.arange(2)) as rows:
        pyro.sample("x", spins(field), obs=x[rows])


def weighted(x):
    field = prior()
    with pyro.plate("data", len(x)), poutine.scale(scale=ROWS):
        pyro.sample("x", spins(field), obs=x)


def masked(x):
    field = prior()
    with pyro.plate("data", len(x)), poutine.mask(mask=ROWS > 0.7):
        pyro.sample("x", spins(field), obs=x)


def two_sites(x):
    field = prior()
    with pyro.plate("data", len(x)):
        pyro.sample("x", spins(field), obs=x)
        pyro.sample("y", spins(field), obs=1 - x)


def apart(x):
    field = prior()
    for name in ("a", "b"):
        with pyro.plate(name, len(x)):
            pyro.sample(f"x_{name}", spins(field), obs=x)


@pytest.mark.parametrize(("model", "losses", "ratio"), [
    (plain, costs(), 1.0),
    (sequential, costs(), 1.0),
    (subsampled, costs()[:2], 4.0),
    (weighted, ROWS * costs(), 1.0),
    (masked, (ROWS > 0.7) * costs(), 1.0),
    (two_sites, costs() + costs(1 - DATA), 1.0),
    (apart, costs().repeat(2), 1.0),
])  # fmt: skip
def test_units(model, losses, ratio):
    program = UnconstrainedProgram(model, EXACT, (DATA,))
    torch.testing.assert_close(program.losses(FIELD), losses)
    torch.testing.assert_close(program.ratios, torch.full_like(losses, ratio))


@pytest.mark.parametrize(("units", "dim"), [(("rows",), 1), (("columns",), 0)])
def test_units_are_members_of_chosen_plates(units, dim):
    def model(x):
        field = prior()
        with pyro.plate("columns", x.shape[1], dim=-1), pyro.plate("rows", x.shape[0], dim=-2):
            pyro.sample("x", spins(field), obs=x)

    data = DATA.view(2, 4, 3)
    program = UnconstrainedProgram(model, EXACT, (data,), units=units)
    torch.testing.assert_close(program.losses(FIELD), costs(data).sum(dim))


def constrained(x):
    scale = pyro.sample("scale", dist.HalfNormal(1.0))
    shares = pyro.sample("shares", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(0.0, scale), obs=torch.arange(len(x)) / 5)
        pyro.sample("x", spins(scale * shares), obs=x)


def test_potential_is_that_of_nuts():
    program = UnconstrainedProgram(constrained, EXACT, (DATA,))
    flat = torch.tensor([0.3, -0.4, 0.7])
    _, potential, _, _ = initialize_model(ratio_matching(constrained, EXACT, weight=0.7), (DATA,))
    expected = potential({"scale": flat[0], "shares": flat[1:]})
    torch.testing.assert_close(program.potential(flat, 0.7), expected)
    draws = program.unflatten(torch.stack([flat, 2 * flat]))
    assert draws["shares"].sum(-1).allclose(torch.ones(2))
    torch.testing.assert_close(program.flatten(draws), torch.stack([flat, 2 * flat]))
    with pytest.raises(
        ValueError, match=r"draws of all latent sites, but got none of \['shares'\]"
    ):
        program.flatten({"scale": draws["scale"]})


def drawn_rows(x):
    field = prior()
    with pyro.plate("data", len(x), subsample_size=2) as rows:
        pyro.sample("x", spins(field), obs=x[rows])


def discrete(x):
    k = pyro.sample("k", dist.Bernoulli(0.5))
    with pyro.plate("data", len(x)):
        pyro.sample("x", spins(k * FIELD), obs=x)


def without_latents(x):
    with pyro.plate("data", len(x)):
        pyro.sample("x", spins(FIELD), obs=x)


def without_plate(x):
    pyro.sample("x", spins(prior()), obs=x[0])


def latent_energy(x):
    prior()
    pyro.sample("x", EnergyModel(IsingEnergy(3)))


@pytest.mark.parametrize(("model", "message"), [
    (drawn_rows, "the same data at each run"),
    (discrete, "continuous latent sites, but 'k'"),
    (without_latents, "Expected latent sites"),
    (without_plate, "inside a plate of independent units"),
    (latent_energy, "to be observed"),
])  # fmt: skip
def test_errors(model, message):
    with pytest.raises(ValueError, match=message):
        UnconstrainedProgram(model, EXACT, (DATA,))


def test_sampled_estimates_are_refused():
    with pytest.raises(ValueError, match="deterministic"):
        UnconstrainedProgram(plain, Estimator(num_neighbors=1), (DATA,))
