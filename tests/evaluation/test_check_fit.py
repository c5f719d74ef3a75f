"""The check of a fit finds what it should and nothing else."""

import sys
from pathlib import Path

import pytest
import torch

from pyro_rm import MarkovSampler
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy
from pyro_rm.evaluation import FitCheck, check_fit, exact_samples
from pyro_rm.evaluation.sample_comparison import SampleComparison, _excess
from pyro_rm.infer import NoiseLevels
from pyro_rm.markov_steps import GibbsSweep
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

sys.path.insert(0, str(Path(__file__).parents[1]))
from level_tables import LevelTable, every_state, level_marginals

FEW = {"num_samples": 300, "num_steps": 40, "progress": False}


def coupled(num_sites, scale=0.3):
    energy = IsingEnergy(num_sites)
    with torch.no_grad():
        energy.weight.copy_(scale * torch.randn(energy.weight.shape))
        energy.fields.copy_(-1 + scale * torch.randn(num_sites))
    return energy


def sparse_words(count, num_sites):
    """Independent rare ones."""
    return torch.bernoulli(torch.full((count, num_sites), 0.1))


def phantom(num_sites):
    """Rare ones, and as much probability again where nearly all sites are on."""

    def energy(x):
        on = x.sum(-1)
        field = 2.2
        first = -field * on
        second = -field * (num_sites - on)
        return -torch.stack([first, second]).logsumexp(0)

    return energy


@pytest.mark.parametrize("num_sites", [12, 30])
def test_a_phantom_mode_is_found_and_weighed(num_sites):
    """By exact draws, and by chains; half of the probability, within .1."""
    x = sparse_words(500, num_sites)
    found = check_fit(phantom(num_sites), x, state_space=StateSpace(num_sites), **FEW)
    assert not found.ok
    assert abs(found.share_outside - 0.5) < 0.1
    assert "Probability where no datum is: about" in str(found)
    assert str(found).startswith("Not right:")


def test_wrong_masses_of_modes_are_found():
    x = torch.zeros(500, 10)
    x[:250] = 1
    x = torch.where(torch.rand(500, 10) < 0.05, 1 - x, x)

    def energy(x):
        on = 3 * x.sum(-1)
        return -torch.stack([-on, on - 30 + 2]).logsumexp(0)

    found = check_fit(energy, x, state_space=StateSpace(10), **FEW)
    assert not found.ok
    assert any("rates differ" in problem for problem in found.problems)


def test_missing_correlations_are_found():
    x = torch.bernoulli(torch.full((500, 1), 0.5)).expand(500, 6).contiguous()
    found = check_fit(IsingEnergy(6), x, **FEW)
    assert not found.ok
    assert any("correlations differ" in problem for problem in found.problems)


MODELS = {
    "pairs": (lambda: coupled(8), 600),
    "pairs by chains": (lambda: coupled(24, 0.1), 600),
    "spins": (lambda: IsingEnergy(8, states=(-1, 1)), 300),
    "categories": (lambda: PottsEnergy(6, 3), 300),
    "mixed categories by chains": (lambda: PottsEnergy(16, (2, 3) * 8), 300),
    "hidden units": (lambda: RBMEnergy(20, 3), 300),
    "a network": (lambda: MLPEnergy(7, (6,)), 300),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_correct_models_are_left_alone(name, seed):
    """Each fails with probability below .001; the data are the model's own draws."""
    torch.manual_seed(seed)
    make, count = MODELS[name]
    energy = make()
    if energy.state_space.num_states < 2**16:
        x = exact_samples(energy, count)
    else:
        x = MarkovSampler(300, progress=False)(energy, sample_shape=(count,))
    found = check_fit(energy, x, **FEW)
    assert found.ok, str(found)
    assert found.share_outside == 0
    assert str(found).startswith("No difference between model and data was found.")


def test_the_same_answer_twice_and_the_generator_is_left_alone():
    energy, x = coupled(20), sparse_words(200, 20)
    before = torch.random.get_rng_state()
    first = check_fit(energy, x, **FEW)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(9)
    second = check_fit(energy, x, **FEW)
    assert str(first) == str(second)
    assert first.log_likelihood == second.log_likelihood
    other = check_fit(energy, x, seed=1, **FEW)
    assert str(other) != str(first)


def test_words_say_what_was_found():
    problems = ["It is wrong."]
    found = FitCheck(problems, ["By the way."], 0.4, {}, (-3.0, -2.5), -2.0)
    assert str(found).splitlines() == [
        "Not right:",
        "It is wrong.",
        "By the way.",
        "Log-likelihood of a datum between -3.000 and -2.500; independent sites -2.000.",
    ]
    assert "of a datum -3.000;" in str(FitCheck([], [], 0.0, {}, (-3.0, -3.0), -2.0))


def test_exact_likelihoods_are_said():
    energy, x = coupled(6), sparse_words(100, 6)
    found = check_fit(energy, x, **FEW)
    log_z = (-energy(every_state(StateSpace(6)))).logsumexp(0)
    expected = (-energy(x) - log_z).mean().item()
    assert found.log_likelihood == pytest.approx((expected, expected), abs=1e-5)
    assert list(found.samples) == ["exact draws"]


def test_independent_sites_that_are_likelier_are_said():
    x = sparse_words(500, 20)
    energy = IsingEnergy(20)
    found = check_fit(energy, x, **FEW)
    assert any("likelier under independent sites" in problem for problem in found.problems)


def test_levels_are_read_off_and_chains_start_at_the_background():
    """A fitted table whose data level has a phantom state that no level knows."""
    levels = NoiseLevels((0.0, 0.2, 0.5, 1.0))
    small = StateSpace(6)
    p = (-1.5 * every_state(small).sum(-1)).double().softmax(0)
    energy = LevelTable(small, -level_marginals(levels, small, p).log())
    x = exact_samples(EnergyModel(energy, levels=levels), 400)
    assert check_fit(EnergyModel(energy, levels=levels), x, **FEW).ok
    network = MLPEnergy(20, (4,), num_levels=4)
    for parameter in network.layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    model = EnergyModel(network, levels=levels)
    found = check_fit(model, torch.bernoulli(torch.full((400, 20), 0.5)), **FEW)
    assert found.ok, str(found)
    assert list(found.samples) == ["the data", "the background"]
    assert any(r.startswith("Log-likelihood read off the levels: -13.86") for r in found.remarks)
    shifted = MLPEnergy(20, (4,), num_levels=4)
    for parameter in shifted.layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    shifted.layers[-1].bias.data[0] = -5.0  # level 0 has five nats more than the levels know of
    wrong = check_fit(
        EnergyModel(shifted, levels=levels), torch.bernoulli(torch.full((400, 20), 0.5)), **FEW
    )
    assert any("nats more probability than the levels know" in p for p in wrong.problems)


def test_a_step_of_ones_own_is_taken():
    calls = []

    class Counting(GibbsSweep):
        def __call__(self, target, state):
            calls.append(1)
            return super().__call__(target, state)

    check_fit(coupled(20), sparse_words(100, 20), step=Counting(), **FEW)
    assert len(calls) > 3 * 40


def test_the_largest_excess_is_that_of_the_distribution_functions():
    drawn, known = torch.tensor([0.0, 0.0, 3.0, 3.0]), torch.tensor([0.0, 1.0, 1.0, 3.0])
    weights = torch.tensor([0.25, 0.25, 0.25, 0.25])
    assert _excess(drawn, weights, known) == (0.25, "above 1")
    assert _excess(drawn, torch.tensor([0.5, 0.5, 0.0, 0.0]), known) == (0.75, "up to 0")
    assert _excess(known, weights, known)[0] == 0.0


def test_weights_count():
    """Samples with a weight of zero are as good as absent."""
    target = Target.of(IsingEnergy(5))
    x = torch.bernoulli(torch.full((400, 5), 0.3))
    noise = torch.ones(400, 5)
    weights = torch.cat([torch.full((400,), 1 / 400), torch.zeros(400)])
    found = SampleComparison.of(target, torch.cat([x, noise]), x, weights=weights)
    alone = SampleComparison.of(target, x, x)
    torch.testing.assert_close(found.rates, alone.rates)
    torch.testing.assert_close(found.correlations, alone.correlations)
    assert found.share_outside == 0
    assert not found.differences


def test_a_figure():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    energy = coupled(20)
    axes = check_fit(energy, sparse_words(100, 20), **FEW).plot()
    assert [axis.get_xlabel() for axis in axes] == [
        "rates, data",
        "pair correlations, data",
        "sites off their commonest value",
        "energy",
    ]
    names = [text.get_text() for text in axes[-1].get_legend().get_texts()]
    assert names == ["data", "the data", "independent sites", "noise"]
    pyplot.close("all")


BITS = torch.zeros(30, 4)
REFUSED = {
    "few data": (lambda: check_fit(IsingEnergy(4), BITS[:19]), "at least 20 data"),
    "one datum": (lambda: check_fit(IsingEnergy(4), BITS[0]), "at least 20 data"),
    "another space": (lambda: check_fit(IsingEnergy(4), BITS + 2), "Expected"),
    "blanks": (lambda: check_fit(IsingEnergy(4), BITS + torch.nan), "Expected"),
    "few samples": (lambda: check_fit(IsingEnergy(4), BITS, num_samples=19), "num_samples"),
    "few steps": (lambda: check_fit(IsingEnergy(4), BITS, num_steps=1), "num_steps"),
    "no tensor": (lambda: check_fit(IsingEnergy(4), BITS.tolist()), "Expected"),
    "no space": (lambda: check_fit(lambda x: x.sum(-1), BITS), "Expected an energy with"),
    "inactive sites": (
        lambda: check_fit(EnergyModel(IsingEnergy(4), active=torch.tensor([True] * 3 + [False])),
                          BITS),
        "Expected one model of all sites",
    ),
    "context": (
        lambda: check_fit(
            EnergyModel(lambda x, c: (x * c).sum(-1), state_space=StateSpace(4),
                        context=torch.zeros(30, 4)), BITS),
        "Expected one model of all sites",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_checked_is_refused(what):
    call, message = REFUSED[what]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
