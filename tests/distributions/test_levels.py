"""Models with levels of noise are normalized: their log probabilities, in programs and mixtures."""

import copy
import pickle
import sys
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO, config_enumerate
from torch.distributions import constraints

import pyro_rm
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.distributions.energy_model import IntractableLikelihoodError
from pyro_rm.energies import IsingEnergy, MLPEnergy
from pyro_rm.enumeration import index_of
from pyro_rm.evaluation import ChowLiuTree, IndependentSites, read_off
from pyro_rm.infer import NoiseLevels
from pyro_rm.state_space import StateSpace

sys.path.insert(0, str(Path(__file__).parents[1]))
from level_tables import LevelTable, every_state, level_marginals

LEVELS = NoiseLevels((0.0, 0.4, 1.0))
SPACE = StateSpace(4)


def component(p, constant):
    """A perfect fit of a distribution, up to its constant."""
    table = -level_marginals(LEVELS, SPACE, p).log() + constant
    return EnergyModel(LevelTable(SPACE, table), levels=LEVELS)


def tilted(slope):
    x = every_state(SPACE)
    return (slope * x.sum(-1) + x[:, 0] * x[:, 1]).double().softmax(0)


def test_log_probabilities_are_exact_where_the_fit_is():
    p = tilted(0.7)
    model, x = component(p, 5.0), every_state(SPACE)
    found = model.log_prob(x)
    torch.testing.assert_close(found, p.log(), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.exp().sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(found, NormalizedModel(model).log_prob(x), atol=1e-6, rtol=0)


def test_they_are_the_same_in_each_call_and_leave_the_generator_alone():
    energy = MLPEnergy(4, (8,), num_levels=3)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    model, x = EnergyModel(energy, levels=LEVELS), every_state(SPACE)
    before = torch.random.get_rng_state()
    first = model.log_prob(x)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(model.log_prob(x), first)
    assert not first.requires_grad
    energy.layers[-1].bias.data += 1  # a constant of all levels changes nothing
    torch.testing.assert_close(model.log_prob(x), first)


def test_shapes_are_those_of_a_distribution():
    model = component(tilted(0.2), 0.0)
    x = every_state(SPACE)
    assert model.log_prob(x[0]).shape == ()
    assert model.expand([3]).log_prob(x[0]).shape == (3,)
    assert model.expand([3]).log_prob(x[:6].view(2, 3, 4)).shape == (2, 3)
    assert model.expand([16]).to_event(1).log_prob(x).shape == ()
    torch.testing.assert_close(model.expand([16]).log_prob(x), model.log_prob(x))


def test_values_outside_the_space_are_refused():
    with pytest.raises(ValueError, match="Expected"):
        component(tilted(0.2), 0.0).log_prob(torch.full((4,), 0.5))


def test_models_without_levels_say_what_gives_a_value():
    with pytest.raises(IntractableLikelihoodError, match="levels of noise, wrap a small model"):
        EnergyModel(IsingEnergy(4)).log_prob(torch.zeros(4))


class Chosen(torch.nn.Module):
    """One of two tables, as the context says."""

    num_levels = 3

    def __init__(self, tables):
        super().__init__()
        self.tables, self.state_space = torch.nn.ModuleList(tables), SPACE

    def forward(self, x, which, level=None):
        first, second = (table(x, level) for table in self.tables)
        return torch.where(which[..., 0] == 0, first, second)


@pytest.mark.usefixtures("float64")
def test_each_context_has_its_own_constant():
    tables = [tilted(0.7), tilted(-1.2)]
    chosen = Chosen([component(p, c).energy for p, c in zip(tables, (5.0, -2.0), strict=True)])
    x = every_state(SPACE)
    which = (torch.arange(len(x)) % 2)[:, None]
    model = EnergyModel(chosen, state_space=SPACE, context=which, levels=LEVELS)
    expected = torch.where(which[:, 0] == 0, tables[0].log(), tables[1].log())
    torch.testing.assert_close(model.log_prob(x), expected, atol=1e-6, rtol=0)
    assert model.log_prob(x[3]).shape == (16,)
    found = read_off(model, given=x, num_draws=3)
    torch.testing.assert_close(found.log_partition, torch.where(which[:, 0] == 0, -5.0, 2.0))
    with pytest.raises(ValueError, match="Expected one model of all sites"):
        read_off(model)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("space", [StateSpace(3), StateSpace(3, (2, 3, 2))])
@pytest.mark.parametrize("fitted", [True, False])
def test_active_sites_are_normalized_given_the_others(space, fitted):
    """Oracle: noise on two sites, given the third; its background is theirs."""
    x, table = every_state(space), torch.zeros(3, space.num_states)
    background, part = None, StateSpace(2, space.categories[:2])
    own, expected = None, torch.zeros(space.num_states)
    if fitted:
        background = IndependentSites.fit(x[torch.arange(len(x)) % 3 > 0], space)
        own = IndependentSites(background.logits[:2], part)
    for value in range(2):
        rows = x[:, 2] == value
        p = torch.linspace(0.0, 2.0 - value, part.num_states).softmax(0)
        levels = NoiseLevels(LEVELS.probabilities, own)
        at = index_of(part, x[rows][:, :2])
        table[:, rows] = 7.0 * value - level_marginals(levels, part, p).log()[:, at]
        expected[rows] = p.log()[at]
    model = EnergyModel(
        LevelTable(space, table),
        levels=NoiseLevels(LEVELS.probabilities, background),
        active=torch.tensor([True, True, False]),
    )
    torch.testing.assert_close(model.log_prob(x), expected)
    assert model.log_prob(x[0]).shape == ()


def test_other_backgrounds_have_no_known_conditionals():
    x = torch.bernoulli(torch.full((50, 4), 0.5))
    levels = NoiseLevels((0.0, 1.0), ChowLiuTree.fit(x, SPACE))
    energy = MLPEnergy(4, (8,), num_levels=2)
    active = torch.tensor([True, True, True, False])
    model = EnergyModel(energy, levels=levels, active=active)
    with pytest.raises(ValueError, match="independent sites beside inactive sites, but got Chow"):
        model.log_prob(x)


def test_copies_have_the_same_levels():
    model, x = component(tilted(0.2), 1.0), every_state(SPACE)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other.log_prob(x), model.log_prob(x))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("vectorized", [True, False])
def test_weights_of_a_mixture_become_right_in_an_enumerated_program(vectorized):
    """Components with other constants of their energies, which plain energies would mistake.

    Fails with probability below 1e-7: the data are all states by their probabilities, and the
    weights are those of the mixture that the data have, to .01.
    """
    parts, weights = [tilted(1.5), tilted(-1.0)], torch.tensor([0.7, 0.3], dtype=torch.float64)
    models = [component(parts[0], 4.0), component(parts[1], -2.0)]
    for model in models:
        model.energy.requires_grad_(False)
    mixture = (weights[:, None] * torch.stack(parts)).sum(0)
    count = (mixture * 2000).round().long()
    x = every_state(SPACE).repeat_interleave(count, 0)

    @config_enumerate(default="parallel")
    def model(x):
        share = pyro.param("share", torch.tensor([0.5, 0.5]), constraint=constraints.simplex)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Categorical(share))
            if vectorized:
                pyro.sample("x", dist.MaskedMixture(z.bool(), *models), obs=x)
            else:
                each = torch.stack([m.log_prob(x) for m in models])
                pyro.factor("x", torch.where(z == 0, each[0], each[1]))

    svi = SVI(
        model, lambda x: None, pyro.optim.Adam({"lr": 0.05}),
        loss=TraceEnum_ELBO(max_plate_nesting=1),
    )  # fmt: skip
    for _ in range(200):
        svi.step(x)
    assert (pyro.param("share").detach() - weights).abs().max() < 0.01


def test_a_loss_still_fits_it():
    """The loss replaces the log probability, so that a gradient reaches the energy."""
    energy = MLPEnergy(4, (8,), num_levels=3)

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, levels=LEVELS), obs=x)

    loss = pyro_rm.RatioMatchingLoss(num_neighbors="all")
    loss.loss_and_grads(model, lambda x: None, every_state(SPACE))
    assert all(p.grad.abs().sum() > 0 for p in energy.parameters())
