"""Handled programs behave as Pyro programs do: pickled, spawned, masked, loaded, traced."""

import functools
import io
import pickle
import subprocess
import sys
import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import HMC, MCMC, NUTS, SVI, JitTrace_ELBO, Predictive
from torch import nn
from torch.nn.functional import alpha_dropout, dropout, multi_head_attention_forward

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.infer import calibrate
from pyro_rm.poutine import ratio_matching

BITS = torch.bernoulli(torch.full((20, 3), 0.5), generator=torch.Generator().manual_seed(0))


def program(x):
    fields = pyro.sample("fields", dist.Normal(0, 1).expand([3]).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", Ising(torch.zeros(3, 3), fields), obs=x)


class Program(pyro.nn.PyroModule):
    def forward(self, x):
        return program(x)


def short_run(model, **options):
    mcmc = MCMC(NUTS(model), num_samples=2, warmup_steps=2, disable_progbar=True, **options)
    mcmc.run(BITS)
    return mcmc


class Scaled:
    """A program with numbers of its own, as an object."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        with pyro.poutine.scale(scale=self.scale):
            return program(x)


HANDLED = {
    "function": program,
    "module": Program(),
    "partial": functools.partial(program),
    "object": Scaled(0.5),
    "handled by Pyro": pyro.poutine.scale(program, scale=0.5),
}


@pytest.mark.parametrize("model", list(HANDLED.values()), ids=list(HANDLED))
def test_what_can_be_pickled_can_be_pickled_when_handled(model):
    handled = ratio_matching(model)
    trace = pyro.poutine.trace(pickle.loads(pickle.dumps(handled))).get_trace(BITS)
    assert torch.isfinite(trace.log_prob_sum())


SPAWNED = """
import pyro, pyro.distributions as dist, torch
import torch.multiprocessing as mp
from pyro.infer import HMC, MCMC, NUTS
from pyro_rm.distributions import Ising
from pyro_rm.poutine import ratio_matching

def model(x):
    h = pyro.sample("h", dist.Normal(0, 1).expand([3]).to_event(1))
    with pyro.plate("d", len(x)):
        pyro.sample("x", Ising(torch.zeros(3, 3), h), obs=x)

if __name__ == "__main__":
    mp.cpu_count = lambda: 4
    run = MCMC({kernel}, num_samples=2, warmup_steps=2, num_chains=2, mp_context="{way}",
               disable_progbar=True)
    run.run(torch.bernoulli(torch.full((20, 3), 0.5)))
    print(tuple(run.get_samples(group_by_chain=True)["h"].shape))
"""


@pytest.mark.parametrize(("way", "kernel"), [
    ("spawn", "NUTS(ratio_matching(model))"), ("fork", "NUTS(ratio_matching(model))"),
    ("spawn", "HMC(ratio_matching(model), num_steps=2)"),
])  # fmt: skip
def test_chains_run_in_processes_of_their_own(way, kernel, tmp_path):
    path = tmp_path / "chains.py"
    path.write_text(SPAWNED.replace("{kernel}", kernel).replace("{way}", way))
    ran = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert ran.stdout.split("\n")[0] == "(2, 2, 3)", ran.stderr


def test_results_of_chains_can_be_saved():
    mcmc = short_run(ratio_matching(program))
    buffer = io.BytesIO()
    torch.save(mcmc.get_samples(), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True)["fields"].shape == (2, 3)
    again = pickle.loads(pickle.dumps(mcmc.kernel.model))
    assert torch.isfinite(pyro.poutine.trace(again).get_trace(BITS).log_prob_sum())


BAD = {"codes from one": BITS + 1, "spins": 2 * BITS - 1, "halves": BITS / 2, "wide": BITS[:, :2]}


@pytest.mark.parametrize("bad", list(BAD), ids=str)
def test_each_new_data_set_is_checked_where_validation_is_off(bad):
    handled = ratio_matching(program)
    with pyro.validation_enabled(False):
        handled(BITS)
        handled(BITS)  # the same data: not again
        with pytest.raises(ValueError, match="Expected"):
            handled(BAD[bad])


def test_data_that_changed_in_place_are_checked_again():
    handled, data = ratio_matching(program), BITS.clone()
    with pyro.validation_enabled(False):
        handled(data)
        data[3, 1] = 7.0
        with pytest.raises(ValueError, match="but got 7"):
            handled(data)


LOSSES = {
    "ratio matching": lambda model: pyro_rm.RatioMatchingLoss().loss(model, no_guide, BITS),
    "contrastive divergence": lambda model: pyro_rm.ContrastiveDivergence().loss(
        model, no_guide, BITS
    ),
    "handler": lambda model: ratio_matching(model)(BITS),
    "SVI": lambda model: SVI(
        model, no_guide, pyro.optim.Adam({}), pyro_rm.RatioMatchingLoss()
    ).step(BITS),
}  # fmt: skip


def no_guide(x):
    pass


@pytest.mark.parametrize("way", list(LOSSES))
@pytest.mark.parametrize("rows", [torch.arange(20) < 8, torch.zeros(20, dtype=torch.bool)])
def test_masks_of_observations_are_refused_by_their_name(way, rows):
    def masked(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(IsingEnergy(3)), obs=x, obs_mask=rows)

    with pytest.raises(
        ValueError, match=r"site 'x' to be observed, but got obs_mask.*mask=.*isnan"
    ):
        LOSSES[way](masked)


TRACED = {
    "NUTS": lambda: MCMC(
        NUTS(ratio_matching(program), jit_compile=True), num_samples=1, disable_progbar=True
    ).run(BITS),
    "NUTS without warnings": lambda: MCMC(
        NUTS(ratio_matching(program), jit_compile=True, ignore_jit_warnings=True),
        num_samples=1, disable_progbar=True,
    ).run(BITS),
    "HMC": lambda: MCMC(
        HMC(ratio_matching(program), num_steps=2, jit_compile=True),
        num_samples=1, disable_progbar=True,
    ).run(BITS),
    "torch.jit.trace": lambda: torch.jit.trace(
        ratio_matching(Program()), (BITS,), check_trace=False
    ),
    "an ELBO": lambda: pyro_rm.RatioMatchingLoss(elbo=JitTrace_ELBO()),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # torch's tracer warns of much
@pytest.mark.parametrize("way", list(TRACED))
def test_traces_of_torch_are_refused(way):
    with pytest.raises(ValueError, match=r"torch\.jit|without jit"):
        TRACED[way]()


class Noisy(nn.Module):
    """A network with noise that no layer declares."""

    def __init__(self, noise):
        super().__init__()
        self.first, self.last, self.noise = nn.Linear(3, 8), nn.Linear(8, 1), noise

    def forward(self, x):
        return self.last(self.noise(self.first(x).tanh(), self.training)).squeeze(-1)


def attention(hidden, training):
    """Attention of each datum to itself, with dropout of its weights."""
    flat = hidden.reshape(1, -1, 8)
    result, _ = multi_head_attention_forward(
        flat, flat, flat, 8, 2, torch.ones(24, 8) * 0.3, None, None, None, False,
        0.5, torch.eye(8), None, training=training,
    )  # fmt: skip
    return result.view_as(hidden)


NOISES = {
    "dropout": lambda hidden, training: dropout(hidden, 0.5, training),
    "alpha": lambda hidden, training: alpha_dropout(hidden, 0.5, training),
    "attention": attention,
    "gaussian": lambda hidden, training: hidden + training * torch.randn_like(hidden),
}


@pytest.mark.parametrize("noise", list(NOISES), ids=str)
def test_random_energies_are_refused_whatever_their_noise(noise):
    energy, space = Noisy(NOISES[noise]), pyro_rm.StateSpace(3)
    with pytest.raises(ValueError, match="two evaluations differ"):
        pyro_rm.estimate(energy, BITS, state_space=space)
    quiet = pyro_rm.estimate(energy.eval(), BITS, state_space=space, num_neighbors="all")
    assert torch.isfinite(quiet).all()
    with pytest.raises(ValueError, match="two evaluations differ"):  # in the other mode again
        pyro_rm.estimate(energy.train(), BITS, state_space=space)


PAIRS = {
    "spins into bits": (lambda: IsingEnergy(4, states=(-1, 1)), lambda: IsingEnergy(4)),
    "bits into spins": (lambda: RBMEnergy(4, 2), lambda: RBMEnergy(4, 2, states=(-1, 1))),
    "networks": (lambda: MLPEnergy(4, (5,), states=(-1, 1)), lambda: MLPEnergy(4, (5,))),
    "categories": (lambda: PottsEnergy(2, (3, 4)), lambda: PottsEnergy(2, 4)),
    "sums": (lambda: 2 * IsingEnergy(4, states=(-1, 1)), lambda: 2 * IsingEnergy(4)),
}


@pytest.mark.parametrize("pair", list(PAIRS), ids=str)
def test_parameters_of_another_space_are_not_loaded(pair):
    saved, other = PAIRS[pair][0](), PAIRS[pair][1]()
    buffer = io.BytesIO()
    torch.save(saved.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    with pytest.raises(ValueError, match=r"parameters of an energy on StateSpace.*those of one on"):
        other.load_state_dict(state)
    same = PAIRS[pair][0]()
    same.load_state_dict(state)


def svi(energy, **options):
    def model(x):
        pyro.module("energy", energy, **options)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    optimizer = pyro.optim.Adam({"lr": 0.05})
    return SVI(model, lambda x: None, optimizer, pyro_rm.RatioMatchingLoss())


@pytest.mark.parametrize("make", [
    lambda: MLPEnergy(3, (8,)), lambda: RBMEnergy(3, 2), lambda: IsingEnergy(3),
    lambda: 2 * MLPEnergy(3, (4,)),
], ids=["network", "RBM", "Ising", "sum"])  # fmt: skip
def test_loaded_parameter_stores_say_how_to_use_them(tmp_path, make):
    trained = svi(make())
    for _ in range(20):
        trained.step(BITS)
    reached = trained.evaluate_loss(BITS)
    pyro.get_param_store().save(str(tmp_path / "store"))
    pyro.clear_param_store()
    pyro.get_param_store().load(str(tmp_path / "store"))
    fresh = svi(make())
    with pytest.warns(UserWarning, match="update_module_params=True"):
        fresh.evaluate_loss(BITS)
    with pytest.raises(ValueError, match="update_module_params=True"):
        fresh.step(BITS)
    loaded = svi(make(), update_module_params=True)
    assert loaded.evaluate_loss(BITS) == pytest.approx(reached)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.step(BITS)


OTHER_SPACES = {
    "coding": (lambda: IsingEnergy(3), lambda: IsingEnergy(3, states=(-1, 1)), BITS),
    "network": (lambda: MLPEnergy(3, (4,)), lambda: MLPEnergy(3, (4,), states=(-1, 1)), BITS),
    "RBM": (lambda: RBMEnergy(3, 2), lambda: RBMEnergy(3, 2, states=(-1, 1)), BITS),
    "sum": (
        lambda: 2 * MLPEnergy(3, (4,)), lambda: 2 * MLPEnergy(3, (4,), states=(-1, 1)), BITS
    ),
    "categories": (lambda: PottsEnergy(3, 3), lambda: PottsEnergy(3, (3, 2, 2)), BITS.long()),
}  # fmt: skip


@pytest.mark.parametrize(("make", "make_other", "data"), OTHER_SPACES.values(), ids=OTHER_SPACES)
@pytest.mark.parametrize("by_file", [True, False])
def test_parameter_stores_of_another_space_are_refused(tmp_path, make, make_other, data, by_file):
    svi(make()).step(data)
    store = pyro.get_param_store()
    state = store.get_state()
    names = list(store.keys())
    store.save(str(tmp_path / "store"))
    store.clear()
    store.load(str(tmp_path / "store")) if by_file else store.set_state(state)
    assert list(store.keys()) == names
    other = 2 * data - 1 if make_other().state_space.states[0] == -1 else data
    for use in ("evaluate_loss", "step"):
        wrong = svi(make_other(), update_module_params=True)
        with pytest.raises(ValueError, match=r"an energy on StateSpace.*but got those of one on"):
            getattr(wrong, use)(other)
    assert svi(make(), update_module_params=True).step(data) > 0
    store.clear()
    assert svi(make_other()).step(other) > 0


def test_posterior_predictive_of_a_handled_program():
    samples = short_run(ratio_matching(program)).get_samples()
    drawn = Predictive(ratio_matching(program), samples)(BITS)
    assert drawn["x"].shape == (2, 20, 3)
    assert calibrate(program, (BITS,)).intervals()["fields"][0].shape == (3,)
