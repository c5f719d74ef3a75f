"""Missing cells: fills, marginals and imputations against enumeration; MCAR, MAR; refusals."""

from itertools import product

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, autoguide
from torch import nn

import pyro_rm
from pyro_rm import Target
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PairwiseFunction
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.estimators import Estimator
from pyro_rm.infer import GibbsFill, Marginalized, calibrate, impute
from pyro_rm.markov_steps import GibbsSweep
from pyro_rm.poutine import ratio_matching
from pyro_rm.state_space import StateSpace

NAN = float("nan")


SPACES = {
    "binary": StateSpace(4),
    "spins": StateSpace(4, states=(-1, 1)),
    "categories": StateSpace(4, num_categories=(2, 3, 4, 3)),
}


class Table(nn.Module):
    """An energy for each state, without structure."""

    def __init__(self, space):
        super().__init__()
        self.state_space = space
        self.table = nn.Parameter(torch.randn(space.num_states))

    def forward(self, x, shift=None):
        energy = self.table[index_of(self.state_space, self.state_space.decode(x))]
        return energy if shift is None else energy * (1 + shift)


class TableWithGaps(Table):
    """The same with a gap table, binary only."""

    def gap_table(self, x):
        flips = sum(self.state_space.states) - 2 * x
        return self(x)[..., None] - self(x[..., None, :] + torch.diag_embed(flips))


def holes(space, count=12):
    """Data with up to three missing cells in a row."""
    x = states_at(space, torch.randint(space.num_states, (count,))).float()
    missing = torch.rand(count, 4) < 0.4
    missing[:, 0] = False
    missing[0] = torch.tensor([False, True, True, True])
    missing[1] = False
    return x.masked_fill(missing, NAN)


def sites_scored(energy, space, row, objective, context=()):
    """The objective of the marginal of the observed sites of one row, by brute force."""
    states = states_at(space, torch.arange(space.num_states))
    energies = energy(space.encode(states, torch.get_default_dtype()), *context)
    seen = ~row.isnan()

    def marginal(values):
        agrees = (states[:, seen] == values[seen]).all(-1)
        return -(-energies[agrees]).logsumexp(0)

    total = 0.0
    for site in seen.nonzero()[:, 0].tolist():
        gaps = []
        for category in range(space.categories[site]):
            value = space.states[category] if space.is_binary else category
            if value != row[site]:
                gaps.append(marginal(row) - marginal(row.index_fill(0, torch.tensor(site), value)))
        stacked = torch.stack(gaps)
        if objective.sampling_unit == "site":
            total = total + objective(stacked.logsumexp(0))
        else:
            total = total + objective(stacked).sum()
    return total


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching"])
@pytest.mark.parametrize("energy", [
    Table(SPACES["binary"]), Table(SPACES["spins"]), Table(SPACES["categories"]),
    TableWithGaps(SPACES["binary"]), TableWithGaps(SPACES["spins"]),
])  # fmt: skip
def test_marginals_by_brute_force(energy, objective):
    energy = energy.double()
    space = energy.state_space
    x = holes(space).double()
    scores = Marginalized(Estimator(objective, "all"))(Target(energy, space, active=~x.isnan()), x)
    form = Estimator(objective)._objective
    expected = torch.stack([sites_scored(energy, space, row, form) for row in x])
    torch.testing.assert_close(scores, expected)
    (gradient,) = torch.autograd.grad(scores.sum(), energy.table)
    (by_force,) = torch.autograd.grad(expected.sum(), energy.table)
    torch.testing.assert_close(gradient, by_force)


@pytest.mark.usefixtures("float64")
def test_marginals_with_context_and_plates_on_the_left():
    space = SPACES["categories"]
    energy = Table(space).double()
    x, shift = holes(space).double(), torch.rand(12)
    scores = Marginalized()(
        Target(energy, space, (shift.expand(2, 12),), ~x.isnan()), x.expand(2, 12, 4)
    )
    form = Estimator()._objective
    expected = [sites_scored(energy, space, r, form, (s,)) for r, s in zip(x, shift, strict=True)]
    torch.testing.assert_close(scores, torch.stack(expected).expand(2, 12))


def masks_and_chances(at_random):
    """Distributions of observed sites for each of 8 states: MCAR, or MAR by the first site."""
    states = states_at(StateSpace(3), torch.arange(8))
    masks = torch.tensor([[True, *rest] for rest in product([True, False], repeat=2)])
    plain = torch.tensor([0.4, 0.3, 0.2, 0.1])
    skewed = torch.tensor([0.1, 0.1, 0.1, 0.7])
    by_first = torch.where(states[:, :1] == 1, skewed, plain)
    return states, masks, (by_first if at_random else plain.expand(8, 4))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching"])
@pytest.mark.parametrize("at_random", [False, True])
def test_mean_gradients_vanish_at_the_truth(objective, at_random):
    """Fills: under MCAR and MAR. Marginals: under MCAR; under MAR they do not, and we say so."""
    energy = Table(StateSpace(3)).double()
    states, masks, chances = masks_and_chances(at_random)
    p = (-energy(states)).softmax(0).detach()
    estimator = Estimator(objective, "all")
    by_fills, by_marginals = torch.zeros(()), torch.zeros(())
    for k, mask in enumerate(masks):
        active = mask.expand(8, 3)
        weights = p * chances[:, k]
        same = ((states[:, None] == states) | ~mask).all(-1)  # agree where observed
        completed = (same * p) / (same * p).sum(-1, keepdim=True)  # the law of exact fills
        target = Target.of(energy, active=active)
        scores = estimator(target, states)
        by_fills = by_fills + (weights @ completed * scores).sum()
        marginal = Marginalized(estimator)(target, states.masked_fill(~active, NAN))
        by_marginals = by_marginals + (weights * marginal).sum()
    (gradient,) = torch.autograd.grad(by_fills, energy.table)
    assert gradient.abs().max() < 1e-12
    (gradient,) = torch.autograd.grad(by_marginals, energy.table)
    assert (gradient.abs().max() < 1e-12) == (not at_random)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_fills_and_imputations_follow_the_conditional(space):
    """Frequencies of 20 000 completions within 5 standard errors; fails in 1 of 1e4 seeds."""
    energy = Table(space).requires_grad_(False)
    row = torch.tensor([float(space.states[1]), NAN, NAN, float(space.states[0])])
    states = states_at(space, torch.arange(space.num_states)).float()
    agrees = ((states == row) | row.isnan()).all(-1)
    energies = energy(space.encode(states, torch.float32))
    p = (-energies).masked_fill(~agrees, -torch.inf).softmax(0)
    x = row.expand(20_000, 4)
    filled = GibbsFill(num_steps=15).filled(energy, x)
    drawn = impute(energy, row, num_fills=20_000, num_steps=15)
    for completed in (filled, drawn):
        counts = torch.bincount(index_of(space, completed), minlength=space.num_states)
        error = (counts / 20_000 - p).abs() / (p * (1 - p) / 20_000).sqrt().clamp(min=1e-6)
        assert error.max() < 5


def test_fills_go_on_where_data_come_again():
    steps = []

    class Counted(GibbsSweep):
        def __call__(self, *args, **kwargs):
            steps.append(1)
            return super().__call__(*args, **kwargs)

    energy, fill = IsingEnergy(4), GibbsFill(num_steps=7, step=Counted())
    x = holes(StateSpace(4))
    for value, expected in ((x, 7), (x, 1), (x.expand(1, 12, 4)[0], 1), (x.clone(), 7)):
        steps.clear()
        filled = fill.filled(energy, value)
        assert len(steps) == expected
        assert torch.equal(filled[~x.isnan()], x[~x.isnan()])
        assert not filled.isnan().any()


def ising_with_holes(x, weights=1.0):
    pairs = pyro.sample("pairs", dist.Normal(torch.zeros(6), 1.0).to_event(1))
    matrix = torch.zeros(4, 4).index_put(tuple(torch.triu_indices(4, 4, 1)), pairs)
    energy = PairwiseFunction(matrix + matrix.mT, torch.zeros(4), StateSpace(4))
    with pyro.plate("data", len(x)), poutine.scale(scale=weights):
        pyro.sample("x", EnergyModel(energy, active=~x.isnan()), obs=x)


def test_the_loss_fills_by_default_and_complete_data_stay_exact():
    guide = autoguide.AutoDelta(ising_with_holes)
    loss = pyro_rm.RatioMatchingLoss()
    svi = SVI(ising_with_holes, guide, pyro.optim.Adam({"lr": 0.05}), loss=loss)
    x = holes(StateSpace(4), 200)
    assert svi.step(x) > 0
    assert len({svi.evaluate_loss(x) for _ in range(5)}) > 1  # fills differ
    complete = states_at(StateSpace(4), torch.arange(16))
    assert svi.evaluate_loss(complete) == svi.evaluate_loss(complete)


def test_rows_by_their_own_estimators():
    x = holes(StateSpace(4))
    loss = pyro_rm.RatioMatchingLoss(estimators={"x": Marginalized()})
    guide = autoguide.AutoDelta(ising_with_holes)
    svi = SVI(ising_with_holes, guide, pyro.optim.Adam({"lr": 0.05}), loss=loss)
    assert svi.evaluate_loss(x) == svi.evaluate_loss(x)


def test_nuts_refuses_fills_and_takes_marginals():
    x = holes(StateSpace(4))
    with pytest.raises(ValueError, match=r"deterministic estimator.*GibbsFill.*Marginalized"):
        ratio_matching(ising_with_holes, GibbsFill(Estimator(num_neighbors="all")))(x)
    with pytest.raises(ValueError, match="deterministic estimator"):
        calibrate(ising_with_holes, (x,), estimator=GibbsFill())
    mcmc = MCMC(
        NUTS(ratio_matching(ising_with_holes, Marginalized())),
        num_samples=10, warmup_steps=10, disable_progbar=True,
    )  # fmt: skip
    mcmc.run(x)
    assert mcmc.get_samples()["pairs"].std(0).min() > 0.05


def test_clamped_cells_keep_their_value():
    energy = IsingEnergy(3)
    with torch.no_grad():
        energy.weight.normal_()
    x = torch.tensor([[1.0, 1.0, 0.0]])
    active = torch.tensor([True, False, True])
    everything = pyro_rm.estimate_terms(energy, x)
    some = pyro_rm.estimate(energy, x, active=active)
    torch.testing.assert_close(some, (everything.contributions * active[:, None]).sum(0))


def test_errors():
    with pytest.raises(ValueError, match="num_steps to be at least 1"):
        GibbsFill(num_steps=0)
    x = torch.full((2, 5), NAN)
    x[:, 0] = 1
    with pytest.raises(ValueError, match="at most 3 missing cells in a row, but got 4"):
        Marginalized(max_missing=3)(Target.of(MLPEnergy(5, (3,)), active=~x.isnan()), x)

    def undetermined(x):
        level = pyro.sample("level", dist.Normal(torch.zeros(2), 1.0).mask(False).to_event(1))
        energy = PairwiseFunction(torch.zeros(4, 4), level[..., :1].expand(4), StateSpace(4))
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, active=~x.isnan()), obs=x)

    with pytest.raises(ValueError, match="data and prior determine"):
        calibrate(
            undetermined, (holes(StateSpace(4)),), values={"level": torch.zeros(2)},
            num_fills=2, progress=False,
        )  # fmt: skip
