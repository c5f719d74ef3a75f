"""Unusable energies at every entry point: each cell of the table is a clear error."""

import pyro
import pytest
import torch
from torch import nn

import pyro_rm
from pyro_rm import evaluation, infer, markov_steps
from pyro_rm.distributions import EnergyModel, IntractableLikelihoodError, NormalizedModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, SumEnergy, with_levels
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.poutine import ratio_matching
from pyro_rm.target import Target

SPACE = pyro_rm.StateSpace(4)
X = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
BLANKS = torch.where(X == 1, torch.nan, X)


class Energy(nn.Module):
    """What a function of the input and a weight gives."""

    def __init__(self, function, space=SPACE):
        super().__init__()
        self.function, self.state_space = function, space
        self.weight = nn.Parameter(torch.ones(4))
        self.dropout = nn.Dropout(0.5 if function is dropped else 0.0)

    def forward(self, x):
        return self.function(self.dropout(x), self.weight)


def dropped(x, w):
    return x @ w


def ising_with_nan():
    energy = IsingEnergy(4)
    nn.init.constant_(energy.weight, torch.nan)
    return energy


BAD = {
    "a value a site": lambda: Energy(lambda x, w: x * w),
    "a number for all": lambda: Energy(lambda x, w: (x @ w).sum()),
    "a column": lambda: Energy(lambda x, w: (x @ w)[..., None]),
    "nan": lambda: Energy(lambda x, w: x @ w * torch.nan),
    "infinite": lambda: Energy(lambda x, w: x @ w + torch.inf),
    "minus infinite": lambda: Energy(lambda x, w: x @ w - torch.inf),
    "integer": lambda: Energy(lambda x, w: x.sum(-1).long()),
    "complex": lambda: Energy(lambda x, w: (x @ w).to(torch.complex64)),
    "a float": lambda: Energy(lambda x, w: 1.0),
    "nothing": lambda: Energy(lambda x, w: None),
    "dropout": lambda: Energy(dropped),
    "nan parameters": ising_with_nan,
    "another space": lambda: IsingEnergy(5),
}


def program(energy):
    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy, state_space=SPACE), obs=x)

    return model


def no_guide(x):
    pass


def svi(energy):
    optimizer, loss = pyro.optim.Adam({"lr": 0.1}), pyro_rm.RatioMatchingLoss(num_neighbors=2)
    return pyro.infer.SVI(program(energy), no_guide, optimizer, loss).step(X)


def bayes(energy):
    def model(x):
        scale = pyro.sample("scale", pyro.distributions.Normal(1, 1))
        with pyro.plate("data", len(x)):
            scaled = SumEnergy((scale, energy), state_space=SPACE)
            pyro.sample("x", EnergyModel(scaled), obs=x)

    return infer.calibrate(model, (X.repeat(5, 1),), num_draws=5, progress=False)


def annealed(energy):
    base = evaluation.IndependentSites.uniform(SPACE)
    return evaluation.annealed_importance_sampling(
        energy, base, num_chains=4, inverse_temperatures=3, state_space=SPACE, progress=False
    )


def chains(energy):
    kernel = infer.MarkovKernel(EnergyModel(energy, state_space=SPACE), sample_shape=(2,))
    return pyro.infer.MCMC(kernel, num_samples=1, warmup_steps=0, disable_progbar=True).run()


def sampled(step):
    return lambda e: pyro_rm.MarkovSampler(2, step)(e, SPACE, torch.Size([3]))


def filled(fill):
    return lambda e: fill(Target.of(e, SPACE, active=~BLANKS.isnan()), BLANKS)


def estimated(**options):
    return lambda e: pyro_rm.estimate(e, X, state_space=SPACE, **options)


def lost(loss):
    return lambda e: loss.loss(program(e), no_guide, X)


sweep = markov_steps.GibbsSweep()
ENTRIES = {
    "sampled": estimated(num_neighbors=2),
    "guided": estimated(num_neighbors=2, proposal="gradient"),
    "exact": estimated(num_neighbors="all"),
    "loss": lost(pyro_rm.RatioMatchingLoss()),
    "loss of a model": lambda e: pyro_rm.RatioMatchingLoss()(program(e), no_guide)(X),
    "SVI": svi,
    "contrastive divergence": lost(pyro_rm.ContrastiveDivergence()),
    "handler": lambda e: pyro.poutine.trace(ratio_matching(program(e), stochastic=True)).get_trace(
        X
    ),
    "calibrate": bayes,
    "Gibbs": sampled(sweep),
    "guided steps": sampled(markov_steps.GibbsWithGradients()),
    "Langevin": sampled(markov_steps.DiscreteLangevin()),
    "colors": sampled(markov_steps.ColoredGibbs((0, 1, 0, 1))),
    "tempering": sampled(markov_steps.ParallelTempering(sweep, (1.0, 0.5))),
    "MCMC": chains,
    "levels": lambda e: infer.sample_by_levels(
        with_levels(e, 2, state_space=SPACE), X, num_levels=2, progress=False
    ),
    "partition": lambda e: evaluation.log_partition(e, state_space=SPACE),
    "exact draws": lambda e: evaluation.exact_samples(e, 3, state_space=SPACE),
    "likelihood": lambda e: evaluation.log_likelihood(e, X, state_space=SPACE, progress=False),
    "annealing": annealed,
    "normalized": lambda e: NormalizedModel(EnergyModel(e, state_space=SPACE)).log_prob(X),
    "impute": lambda e: infer.impute(
        EnergyModel(e, state_space=SPACE), BLANKS, num_fills=2, num_steps=1
    ),
    "fill": filled(infer.GibbsFill()),
    "marginalized": filled(infer.Marginalized()),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("bad", BAD)
def test_energies(bad, entry):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        ENTRIES[entry](BAD[bad]())


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "calibrate"])
def test_a_good_energy_passes(entry):
    ENTRIES[entry](Energy(lambda x, w: x @ w))


GUIDED = ["guided", "guided steps", "Langevin"]


@pytest.mark.parametrize("entry", GUIDED)
def test_energies_without_the_gradient_that_is_needed(entry):
    with pytest.raises(ValueError, match="Expected an energy that is differentiable in x"):
        ENTRIES[entry](Energy(lambda x, w: x.round().detach() @ w))


@pytest.mark.parametrize("loss", [pyro_rm.RatioMatchingLoss(), pyro_rm.ContrastiveDivergence()])
def test_programs_without_an_energy(loss):
    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", pyro.distributions.Bernoulli(0.5).expand([4]).to_event(1), obs=x)

    with pytest.raises(ValueError, match="Expected an observed energy-based site"):
        loss.loss(model, no_guide, X)
    with pytest.raises(ValueError, match="Expected"):
        infer.calibrate(model, (X,), progress=False)


@pytest.mark.parametrize(("space", "way_out"), [
    (pyro_rm.StateSpace(4), r"x.flatten\(0, -2\), and ends with .view\(x.shape\[:-1\]\)"),
    (pyro_rm.StateSpace(4, 3), r"x.flatten\(0, -3\), and ends with .view\(x.shape\[:-2\]\)"),
])  # fmt: skip
def test_networks_of_one_batch_dimension_learn_what_to_write(space, way_out):
    event_dim = len(space.encoded_shape)

    def flat(x):
        return x.flatten(0, -event_dim - 1).flatten(1).sum(-1)

    def right(x):
        return flat(x).view(x.shape[:-event_dim])

    with pytest.raises(EnergyError, match=way_out):
        pyro_rm.estimate(flat, X, state_space=space)
    assert pyro_rm.estimate(right, X, state_space=space).shape == X.shape[:-1]


def test_an_energy_of_a_name_that_is_taken_learns_why():
    pyro.module("energy", IsingEnergy(4))
    energy = IsingEnergy(4)

    def model(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    svi = pyro.infer.SVI(model, no_guide, pyro.optim.Adam({"lr": 0.1}), pyro_rm.RatioMatchingLoss())
    with pytest.raises(ValueError, match="clear_param_store"):
        svi.step(X)
    pyro.clear_param_store()
    svi.step(X)


def test_codes_that_start_at_one_are_told():
    space = pyro_rm.StateSpace(2, num_categories=3)
    with pytest.raises(ValueError, match="pass x - 1"):
        space.validate(torch.tensor([[1, 2], [3, 1]]))


def test_likelihoods_that_are_unknown():
    with pytest.raises(IntractableLikelihoodError, match="Expected a normalized distribution"):
        EnergyModel(IsingEnergy(4)).log_prob(X)


def test_draws_without_a_sampler_are_refused_in_our_words_under_predictive():
    def program():
        pyro.sample("x", EnergyModel(MLPEnergy(30, (4,))))

    with pytest.raises(IntractableLikelihoodError, match=r"sampler=pyro_rm\.MarkovSampler"):
        pyro.infer.Predictive(program, num_samples=2)()


@pytest.mark.parametrize("step", [markov_steps.BlockGibbs(), markov_steps.ColoredGibbs((0, 1))])
def test_energies_that_a_step_does_not_fit(step):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        sampled(step)(IsingEnergy(4))


class OverTheBatch(nn.Module):
    """Normalizes over the batch by a function, which no layer declares."""

    def __init__(self):
        super().__init__()
        self.layer, self.state_space = nn.Linear(4, 4), pyro_rm.StateSpace(4)

    def forward(self, x):
        features = nn.functional.batch_norm(self.layer(x).reshape(-1, 4), None, None, training=True)
        return features.square().mul(torch.arange(4)).sum(-1).view(x.shape[:-1])


def test_energies_that_depend_on_the_other_data_are_refused():
    with pytest.raises(EnergyError, match="other data in half of its batch"):
        pyro_rm.estimate(OverTheBatch(), torch.eye(4), num_neighbors="all")


@pytest.mark.parametrize("use", [
    lambda e, x: pyro_rm.estimate(e, x, state_space=SPACE),
    lambda e, x: pyro_rm.estimate(e, x, state_space=SPACE, num_neighbors="all"),
    lambda e, x: evaluation.log_likelihood(e, x, state_space=SPACE),
    lambda e, x: pyro_rm.MarkovSampler(2)(e, SPACE, torch.Size([3])),
], ids=["sampled", "all", "likelihood", "sampler"])  # fmt: skip
@pytest.mark.parametrize("change", [lambda x: x.mul_(2), lambda x: x[..., 0].zero_()])
@pytest.mark.parametrize("kind", [nn.Module, object])
def test_energies_that_change_their_data_are_refused(use, change, kind):
    """Without a word, the gaps would be those of other states."""

    class Changing(kind):
        def forward(self, x):
            change(x)
            return x.sum(-1)

        def __call__(self, x):
            return self.forward(x)

    with pytest.raises(EnergyError, match=r"changed the data in place.*x = x\.clone\(\)"):
        use(Changing(), X.clone())


@pytest.mark.parametrize("space", [4, (4,), "4", (0, 1)])
def test_what_is_no_space_is_refused(space):
    with pytest.raises(TypeError, match=r"state_space as a StateSpace, but got .*StateSpace\(num"):
        pyro_rm.estimate(lambda x: x.sum(-1), X, state_space=space)
