"""Every entry point that takes data x every form of data: the right result or a clear error."""

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import scipy.sparse as sp
import torch

import pyro_rm
from pyro_rm import Target, energies, evaluation, infer, networks
from pyro_rm.distributions import EnergyModel, NormalizedModel
from pyro_rm.evaluation.moments import first_moment_distance, second_moment_distance
from pyro_rm.markov_steps.chains import starting_data
from pyro_rm.poutine import ratio_matching

NUM_DATA, NUM_SITES = 20, 4
NUMBERS = torch.arange(80).view(NUM_DATA, NUM_SITES)
CATEGORIES = torch.tensor([2, 3, 4, 3])


class Case:
    """A state space with data, models on it, and every entry point as a function of data."""

    def __init__(self, data, space):
        self.data, self.space = data, space
        kinds = space.num_categories
        self.energy = energies.MLPEnergy(NUM_SITES, (5,), num_categories=kinds)
        self.energy.requires_grad_(False)
        self.leveled = energies.with_levels(self.energy, 2, state_space=space)
        self.model = EnergyModel(self.energy)
        self.options = {"selection": None, "ridge": 0.1, "num_fills": 1, "num_rounds": 1}
        self.sites = evaluation.IndependentSites.fit(data, space)
        self.tree = evaluation.ChowLiuTree.fit(data, space)

    def program(self, x):
        with pyro.plate("data", NUM_DATA, dim=-1):
            pyro.sample("x", self.model, obs=x)

    def no_guide(self, x):
        pass

    def bayes(self, x):
        """A program that multiplies an energy by a parameter."""
        scale = pyro.sample("scale", dist.LogNormal(0.0, 0.5))
        energy = energies.SumEnergy((scale, self.energy))
        with pyro.plate("data", NUM_DATA, dim=-1):
            pyro.sample("x", EnergyModel(energy), obs=x)

    def estimate(self, x, **options):
        return pyro_rm.estimate(self.energy, x, **options)

    def sampled(self, x):
        return self.estimate(x, num_neighbors=2)

    def guided(self, x):
        return self.estimate(x, num_neighbors=2, proposal="gradient")

    def terms(self, x):
        return pyro_rm.estimate_terms(self.energy, x).contributions

    def loss(self, x):
        return pyro_rm.RatioMatchingLoss().loss(self.program, self.no_guide, x)

    def contrastive(self, x):
        return pyro_rm.ContrastiveDivergence().loss(self.program, self.no_guide, x)

    def persistent(self, x):
        loss = pyro_rm.ContrastiveDivergence(persistent=True)
        return loss.loss(self.program, self.no_guide, x)

    def handled(self, x):
        handled = ratio_matching(self.program, pyro_rm.Estimator(num_neighbors="all"))
        return pyro.poutine.trace(handled).get_trace(x).log_prob_sum()

    def calibrated(self, x):
        return infer.calibrate(self.bayes, (x,), num_draws=9, progress=False).draws["scale"]

    def calibrated_fills(self, x):
        values = {"scale": torch.tensor(1.0)}
        return infer.calibrate(
            self.bayes, (x,), values=values, num_fills=2, num_draws=4, progress=False
        ).draws["scale"]

    def gibbs_fill(self, x):
        return infer.GibbsFill()(Target.of(self.energy), x)

    def filled(self, x):
        missing = torch.zeros(NUM_DATA, NUM_SITES, dtype=torch.bool)
        return infer.GibbsFill().filled(self.energy, x, missing)

    def marginalized(self, x):
        return infer.Marginalized()(Target.of(self.energy), x)

    def imputed(self, x):
        return infer.impute(self.model, x, num_fills=2, num_steps=1)

    def started(self, x):
        sampler = pyro_rm.MarkovSampler(1, initial=x)
        return sampler(self.energy, sample_shape=(NUM_DATA,))

    def starting(self, x):
        shape = torch.Size([NUM_DATA])
        return starting_data(Target.of(self.energy), shape, x)

    def kernel(self, x):
        kernel = infer.MarkovKernel(self.model, sample_shape=(NUM_DATA,), initial=x)
        return kernel.sample(kernel.initial_params)["x"]

    def corrupted(self, x):
        return infer.NoiseLevels((0.5,)).corrupt(self.space, x, torch.tensor(0))

    def by_levels(self, x):
        return infer.sample_by_levels(self.leveled, x, num_levels=2)

    def trained(self, x):
        energy = energies.MLPEnergy(NUM_SITES, (3,), num_categories=self.space.num_categories)
        optimizer = torch.optim.SGD(energy.parameters(), lr=0.1)
        infer.train(
            lambda x: pyro_rm.estimate(energy, x).mean(), optimizer, x, num_steps=2, progress=False
        )
        return energy.weight

    def normalized(self, x):
        return NormalizedModel(self.model).log_prob(x)

    def likelihood(self, x):
        return evaluation.log_likelihood(self.energy, x, progress=False).per_datum

    def annealed(self, x):
        return evaluation.annealed_importance_sampling(
            self.energy, self.sites, exact_samples=x, num_chains=4, inverse_temperatures=3,
            max_gap=99.0, progress=False,
        ).lower.log_weights  # fmt: skip

    def mmd(self, x):
        return evaluation.exponential_hamming_mmd(x, self.data)

    def linear_mmd(self, x):
        return evaluation.linear_hamming_mmd(self.data, x)

    def first_moments(self, x):
        return first_moment_distance(x, self.data)

    def second_moments(self, x):
        return second_moment_distance(self.data, x)

    def quality(self, x):
        return evaluation.sample_quality(x, self.data, num_splits=2)["linear_hamming_mmd"].value

    def sites_fit(self, x):
        return evaluation.IndependentSites.fit(x, self.space).logits

    def sites_log_prob(self, x):
        return self.sites.log_prob(x)

    def tree_fit(self, x):
        return evaluation.ChowLiuTree.fit(x, self.space).log_tables

    def tree_log_prob(self, x):
        return self.tree.log_prob(x)

    def network(self, x):
        if self.space.is_binary:
            fields = networks.IsingNetwork(**self.options).fit(x).fields_
        else:
            kinds = tuple(CATEGORIES.tolist())
            fields = networks.PottsNetwork(num_categories=kinds, max_steps=2).fit(x).fields_
        return torch.from_numpy(fields)

    def weighted(self, x):
        return networks.sequence_weights(x)

    def validated(self, x):
        self.space.validate(x)
        return 0.0


ENTRIES = [
    name for name in vars(Case) if name[0] != "_" and name not in ("program", "no_guide", "bayes")
]
GOOD = {
    "float64": lambda x: x.double(),
    "float16": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "int64": lambda x: x.long(),
    "uint8": lambda x: x.to(torch.uint8),
    "columns first": lambda x: x.mT.contiguous().mT,
    "strided": lambda x: x.repeat_interleave(2, 0)[::2],
    "with gradient": lambda x: x.float().clone().requires_grad_(),
}
BAD = {
    "blank": lambda x: x.float().masked_fill(NUMBERS % 9 == 0, torch.nan),
    "infinite": lambda x: x.float().masked_fill(NUMBERS % 9 == 0, torch.inf),
    "negative": lambda x: -x - 1,
    "a fraction": lambda x: x / 2 + 0.25,
    "too wide": lambda x: torch.cat([x, x], 1),
    "no sites": lambda x: x[:, :0],
    "no data": lambda x: x[:0],
    "a scalar": lambda x: x[0, 0],
    "complex": lambda x: x.to(torch.complex64),
    "a list": lambda x: x.tolist(),
    "an array": lambda x: x.numpy(),
    "a frame": lambda x: pd.DataFrame(x.numpy()),
    "a masked array": lambda x: np.ma.array(x.numpy(), mask=NUMBERS.numpy() % 9 == 0),
    "words": lambda x: np.array(["no", "yes", "maybe", "never"])[x.long().numpy()],
    "a scipy matrix": lambda x: sp.csr_array(x.numpy()),
    "a sparse tensor": lambda x: x.to_sparse(),
    "sparse rows": lambda x: x.float().to_sparse_csr(),
    "nothing": lambda x: None,
    "text": lambda x: "answers.csv",
}
TABLES = (
    "a list",
    "an array",
    "words",
    "a frame",
    "a scipy matrix",
    "a sparse tensor",
    "sparse rows",
)
AT_WILL = {"started", "starting", "kernel"}  # unknown sites start at random, the same everywhere
TAKES = {
    "blank": {"imputed", "filled"} | AT_WILL,
    "a scalar": AT_WILL,
    "nothing": {"annealed"} | AT_WILL,
    **{form: {"network"} for form in TABLES},
    "too wide": {"weighted"},  # any number of positions
}
with torch.random.fork_rng():
    torch.manual_seed(0)
    BITS = Case((NUMBERS * 7 % 11 < 5).float(), pyro_rm.StateSpace(NUM_SITES))
    CODES = Case(NUMBERS * 7 % 11 % CATEGORIES, pyro_rm.StateSpace(NUM_SITES, tuple(CATEGORIES)))
cases = pytest.mark.parametrize("case", [BITS, CODES], ids=["bits", "codes"])


def result(case, entry, data):
    pyro.set_rng_seed(3)
    value = getattr(case, entry)(data)
    return torch.as_tensor(value).detach().double()


@cases
@pytest.mark.parametrize("entry", ENTRIES)
def test_forms_that_mean_the_same(case, entry):
    expected = result(case, entry, case.data)
    for name, form in GOOD.items():
        got = result(case, entry, form(case.data))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4, msg=f"{name}: {got}")


@cases
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("form", BAD)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_forms_that_mean_nothing(case, entry, form):
    masked = (entry, form) == ("network", "a masked array") and case.space.is_binary
    if masked or entry in TAKES.get(form, ()) or (entry, form) == ("network", "blank"):
        result(case, entry, BAD[form](case.data))
        return
    by_torch = "sparse" in form  # Pyro expands and indexes data before they are ours
    errors = (TypeError, ValueError, *([RuntimeError] if by_torch else []))
    with pytest.raises(errors, match="Expected|[Ss]parse" if by_torch else "Expected"):
        result(case, entry, BAD[form](case.data))


def test_booleans_are_bits():
    for entry in ENTRIES:
        torch.testing.assert_close(
            result(BITS, entry, BITS.data.bool()), result(BITS, entry, BITS.data)
        )


OF_PLATES = {"loss", "contrastive", "persistent", "handled", "calibrated", "calibrated_fills"}


@pytest.mark.parametrize(
    "entry", sorted(set(ENTRIES) - AT_WILL - OF_PLATES - {"weighted", "filled"})
)
def test_one_hot_data_are_told_from_codes_even_where_shapes_agree(entry):
    with pytest.raises((TypeError, ValueError), match="Expected"):
        result(CODES, entry, CODES.space.encode(CODES.data, torch.float32))


@pytest.mark.parametrize("bits", [BITS.data, BITS.data.long()])
def test_samples_in_two_codings_are_refused(bits):
    for metric in (evaluation.exponential_hamming_mmd, first_moment_distance):
        with pytest.raises(ValueError, match="Expected samples in the same coding"):
            metric(2 * bits - 1, bits)
    assert first_moment_distance(2 * bits - 1, 2 * bits - 1) == 0
