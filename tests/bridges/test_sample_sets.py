"""Effective models of sample sets, beside the models that were sampled."""

import warnings

import networkx as nx
import numpy as np
import pytest
import torch

from pyro_rm.bridges import from_bqm, from_sampleset, to_bqm
from pyro_rm.distributions import Ising, NormalizedModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.enumeration import Enumeration
from pyro_rm.target import Target

dimod = pytest.importorskip("dimod")
pytest.importorskip("pandas")
NAMES = [*"abcdefg", 0, ("q", 1)]


def programmed(vartype="SPIN", seed=0):
    """A lattice of nine spins with fields, under names of several kinds."""
    rng = np.random.default_rng(seed)
    lattice = nx.relabel_nodes(nx.grid_2d_graph(3, 3), dict(zip(
        nx.grid_2d_graph(3, 3), NAMES, strict=True
    )))  # fmt: skip
    bqm = dimod.BinaryQuadraticModel(
        {name: rng.normal(0, 0.3) for name in NAMES},
        {edge: rng.choice([-1, 1]) * rng.uniform(0.3, 1) for edge in lattice.edges},
        0.7,
        "SPIN",
    )
    return bqm.change_vartype(vartype, inplace=False)


def enumeration(bqm, temperature):
    energy, names = from_bqm(bqm)
    scaled = PairwiseFunction(
        energy.couplings / temperature, energy.fields / temperature, energy.state_space
    )
    return Enumeration(Target.of(scaled)), names


def drawn(bqm, temperature, num_reads):
    exact, names = enumeration(bqm, temperature)
    rows = exact.draw(num_reads).numpy().astype(int)
    return dimod.SampleSet.from_samples_bqm((rows, names), bqm)


def everything(bqm, temperature, size=1e6):
    """All states, as often as the model has them: no noise."""
    exact, names = enumeration(bqm, temperature)
    rows = torch.cat([exact._encoded(torch.arange(2 ** len(names)))])
    shares = (-exact.target(rows)).softmax(0)
    counts = (size * shares).round().long().numpy()
    keep = counts > 0
    return dimod.SampleSet.from_samples_bqm(
        (rows.numpy().astype(int)[keep], names), bqm, num_occurrences=counts[keep]
    )


@pytest.mark.parametrize("sampled", ["SPIN", "BINARY"])
@pytest.mark.parametrize("given", ["SPIN", "BINARY"])
def test_the_temperature_of_all_states_is_that_of_the_model(sampled, given):
    """Counts are rounded to a millionth, which moves no estimate by a hundredth."""
    effective = from_sampleset(everything(programmed(sampled), 1.5), programmed(given))
    low, high = effective.temperature_interval
    assert low < effective.temperature < high
    assert effective.temperature == pytest.approx(1.5, abs=0.005)
    np.testing.assert_allclose(effective.differences, 0, atol=0.02)
    assert list(effective.table.source[:2]) == list(effective.network.feature_names_in_[[0, 0]])
    again, _ = from_bqm(to_bqm(effective.network))
    scaled, _ = from_bqm(programmed(sampled))
    torch.testing.assert_close(again.couplings, scaled.couplings / 1.5, atol=0.02, rtol=0)


def test_counts_are_as_good_as_repeated_rows():
    bqm = programmed()
    samples = drawn(bqm, 1.2, 600)
    one, other = (from_sampleset(each, bqm) for each in (samples, samples.aggregate()))
    assert one.temperature == pytest.approx(other.temperature, abs=1e-6)
    assert one.inverse_error == pytest.approx(other.inverse_error, rel=1e-5)
    np.testing.assert_allclose(one.differences, other.differences, atol=1e-6)
    np.testing.assert_allclose(one.standard_errors, other.standard_errors, rtol=1e-5)


def test_errors_are_those_over_sample_sets():
    """Of 200 sets: shares of 90 % intervals that hold the truth.

    Temperatures are independent: outside of .83 and .96 with probability .002. Couplings of a set
    are nearly so, with 4 200 of them: .87 and .93 are far beyond noise.
    """
    bqm, temperature = programmed(), 1.5
    exact, names = enumeration(bqm, temperature)
    truth = exact.target.energy
    sums, held, compared = exact.log_block_sums(), [], []
    for _ in range(200):
        rows = exact.draw(1000, sums).numpy().astype(int)
        effective = from_sampleset(dimod.SampleSet.from_samples_bqm((rows, names), bqm), bqm)
        low, high = effective.temperature_interval
        first, second = effective.network.edges_.T
        values = np.concatenate([truth.couplings[first, second], truth.fields])
        table = effective.table
        held.append([low < temperature < high, *(table.lower < values) & (values < table.upper)])
        wide = 1.6449 * effective.standard_errors
        compared.append(np.abs(effective.differences) < wide)
    shares = np.array(held).mean(0)
    assert 0.83 < shares[0] < 0.96
    assert 0.87 < shares[1:].mean() < 0.93
    assert 0.87 < np.mean(compared) < 0.93


def test_what_differs_is_found_and_leaves_the_temperature_alone():
    """The false one is 20 standard errors off; another is called so with probability .05."""
    bqm = programmed()
    wrong = bqm.copy()
    pair = list(bqm.quadratic)[4]
    wrong.set_quadratic(*pair, bqm.quadratic[pair] + 1.5)
    crossed = (NAMES[0], NAMES[8])
    wrong.add_quadratic(*crossed, -1.0)
    graph = nx.Graph([*bqm.quadratic, crossed])
    effective = from_sampleset(everything(wrong, 1.5, 5000), bqm, graph=graph)
    table = effective.table
    found = table[table.p_adjusted < 0.05]
    assert {frozenset(edge) for edge in zip(found.source, found.target, strict=True)} == {
        frozenset(pair), frozenset(crossed)
    }  # fmt: skip
    assert effective.temperature == pytest.approx(1.5, abs=0.02)


def test_what_is_the_same_in_all_samples_is_taken_as_given():
    """Of all states those in which one spin is up, and another two are opposite."""
    bqm = programmed()
    samples = everything(bqm, 1.5)
    spins = dict(zip(samples.variables, samples.record.sample.T, strict=True))
    kept = (spins["c"] == 1) & (spins["d"] == -spins["g"])
    cold = dimod.SampleSet(samples.record[kept], samples.variables, {}, "SPIN")
    message = "1 variables are the same in all samples, and 1 go along with another one .* 'c'"
    with pytest.warns(UserWarning, match=message):
        effective = from_sampleset(cold, bqm)
    assert set(effective.network.feature_names_in_) == set(NAMES) - {"c", "g"}
    assert effective.temperature == pytest.approx(1.5, abs=0.01)
    np.testing.assert_allclose(effective.differences, 0, atol=0.02)
    with pytest.warns(UserWarning, match=message):
        effective = from_sampleset(cold, bqm, graph=nx.complete_graph(NAMES))
    assert len(effective.network.edges_) == 7 * 6 / 2
    with pytest.raises(ValueError, match="all of them are the same state"):
        from_sampleset(samples.truncate(1), bqm)


def test_what_cannot_be_compared_is_refused():
    bqm = programmed()
    samples = drawn(bqm, 1.5, 200)
    other = bqm.copy()
    other.remove_variable("a")
    with pytest.raises(ValueError, match="Expected samples of the 8 variables of the model"):
        from_sampleset(samples, other)
    with pytest.raises(ValueError, match="all of its biases are zero"):
        from_sampleset(samples, 0 * bqm)


def test_ground_states_have_no_temperature():
    """Each spin follows the field that it feels, and none is fixed by another one."""
    bqm = dimod.BinaryQuadraticModel({}, {"ab": -1, "bc": -1, "ac": 1}, "SPIN")
    energy, names = from_bqm(bqm)
    rows = NormalizedModel(Ising(torch.zeros(3, 3), states=(-1, 1))).enumerate_support()
    energies = energy(rows.double())
    ground = rows[energies == energies.min()].numpy().astype(int)
    samples = dimod.SampleSet.from_samples_bqm((ground, names), bqm)
    warnings.simplefilter("ignore")  # of separation; pytest restores
    with pytest.raises(ValueError, match="grows without bound"):
        from_sampleset(samples, bqm)


def test_cold_samples_have_a_temperature_and_no_tests():
    """Most couplings have no finite estimate, and those that have one err. Seeds are fixed."""
    bqm = programmed()
    for temperature in (0.3, 0.2):
        warnings.simplefilter("ignore")  # of separation, and of spins that go along
        effective = from_sampleset(drawn(bqm, temperature, 1000), bqm)
        assert effective.temperature == pytest.approx(temperature, rel=0.15)
        assert effective.table.p_value.isna().all()
