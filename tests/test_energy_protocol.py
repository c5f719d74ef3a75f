"""What an energy says of itself, and what is refused of what it gives."""

import re

import pytest
import torch
from torch import nn

import pyro_rm
from pyro_rm import StateSpace
from pyro_rm.energies import MLPEnergy, PairwiseFunction
from pyro_rm.energy_checks import check_context, check_energies, check_layers
from pyro_rm.energy_protocol import EnergyError, energy_device, energy_dtype, space_of, wide
from pyro_rm.missing.marginal_energy import MarginalEnergy
from pyro_rm.target import Target


class Counted(nn.Module):
    """An integer parameter before those that it computes with."""

    def __init__(self, dtype):
        super().__init__()
        self.seen = nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False)
        self.weight = nn.Parameter(torch.zeros(3, dtype=dtype))


def test_the_type_is_what_the_energy_says_or_its_parameters_or_the_data():
    said = Counted(torch.float64)
    said.dtype = torch.bfloat16
    floats, integers = torch.zeros(3, dtype=torch.float16), torch.zeros(3, dtype=torch.int64)
    assert energy_dtype(said, floats) == torch.bfloat16
    assert energy_dtype(Counted(torch.float64), floats) == torch.float64
    for without in (torch.sum, nn.Identity()):
        assert energy_dtype(without, floats) == torch.float16
        assert energy_dtype(without, integers) == torch.get_default_dtype()


def test_wrappers_without_parameters_compute_as_what_they_wrap():
    couplings = torch.zeros(3, 3, dtype=torch.float64)
    x = torch.zeros(2, 3, dtype=torch.float32)
    ising = PairwiseFunction(couplings, couplings[0], StateSpace(3))
    meta = PairwiseFunction(couplings.to("meta"), couplings[0].to("meta"), StateSpace(3))
    missing = torch.tensor([True, False, False])
    for wrap in (
        lambda energy: 0.5 * energy,
        lambda energy: 0.5 * (0.5 * energy),
        lambda energy: MarginalEnergy(energy, StateSpace(3), missing, 1),
    ):
        assert energy_dtype(wrap(ising), x) == torch.float64
        assert energy_device(wrap(meta)) == torch.device("meta")
        assert energy_dtype(MarginalEnergy(torch.sum, StateSpace(3), missing, 1), x) == x.dtype
        assert pyro_rm.estimate(wrap(ising), x).dtype == torch.float64
    assert energy_device(MLPEnergy(3, (4,)).to("meta")) == torch.device("meta")
    assert energy_device(torch.sum) is None


@pytest.mark.parametrize(("narrow", "wider"), [
    (torch.bfloat16, torch.float32), (torch.float16, torch.float32),
    (torch.float32, torch.float32), (torch.float64, torch.float64),
])  # fmt: skip
def test_wide_is_single_precision_or_more(narrow, wider):
    assert wide(torch.ones(2, dtype=narrow)).dtype == wider


@pytest.mark.parametrize(("result", "message"), [
    (torch.zeros(5, 2), r"the table of an input of shape \(5, 2, 3\) .* \(5,\), but got \(5, 2\)"),
    (torch.zeros(5, 1), r"but got \(5, 1\).* End it with .squeeze\(-1\)\.$"),
    (torch.zeros(()), r"but got \(\)\. .*\(particles, 1, ...\)\.$"),
    (1.0, r"but got float\."),
    (torch.zeros(5, dtype=torch.int64), r"floating point type, but got torch.int64"),
    (torch.tensor([0, torch.nan, 1, torch.inf, 2]), r"got nan \(2 of 5\)"),
])  # fmt: skip
def test_unusable_results_are_refused_with_what_is_wrong(result, message):
    with pytest.raises(EnergyError, match=message):
        check_energies(result, torch.Size([5]), (5, 2, 3), "table")


@pytest.mark.parametrize(("event_shape", "flat", "back"), [((3,), -2, -1), ((3, 4), -3, -2)])
def test_a_network_of_one_batch_dimension_is_told_how_to_take_more(event_shape, flat, back):
    x = torch.zeros(2, 5, *event_shape)
    result = x.flatten(0, flat).flatten(1).sum(-1)
    assert result.view(x.shape[:back]).shape == (2, 5)
    told = f"takes one batch dimension only gets x.flatten(0, {flat}), and ends with .view(x.shape"
    with pytest.raises(EnergyError, match=re.escape(f". A network that {told}[:{back}])") + r"\.$"):
        check_energies(result, torch.Size([2, 5]), tuple(x.shape))


def test_energies_are_checked_where_validation_is_on():
    x = torch.zeros(2, 3)
    assert Target(lambda x, c: x.sum(-1) + c, StateSpace(3), (torch.ones(2),))(x).sum() == 2
    with pytest.raises(EnergyError, match=r"the energy of an input of shape \(2, 3\)"):
        Target(torch.sum, StateSpace(3))(x)
    torch.distributions.Distribution.set_default_validate_args(False)
    assert Target(torch.sum, StateSpace(3))(x).shape == ()


def test_the_space_is_what_the_energy_says_or_what_is_given():
    energy = MLPEnergy(3, (4,))
    for given in (None, StateSpace(3)):
        assert space_of(energy, given) == StateSpace(3)
    assert space_of(torch.sum, StateSpace(4)) == StateSpace(4)
    with pytest.raises(EnergyError, match=r"Expected an energy on .*=4.*, but got one on .*=3"):
        space_of(energy, StateSpace(4))
    with pytest.raises(ValueError, match="Expected an energy with a state_space"):
        space_of(torch.sum)


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d, lambda: nn.BatchNorm1d(3)])
def test_layers_that_see_more_than_a_state_are_refused_in_training(layer):
    energy = nn.Sequential(nn.Linear(3, 3), nn.Sequential(layer()))
    name = type(energy[1][0]).__name__
    with pytest.raises(EnergyError, match=f"but got {name} at '1.0'"):
        check_layers(energy)
    check_layers(energy.eval())
    check_layers(nn.Sequential(nn.Dropout(0.0), nn.LayerNorm(3)))


def test_energies_of_another_space_are_refused():
    with pytest.raises(EnergyError, match="Expected an energy on"):
        Target.of(MLPEnergy(3, (4,)), StateSpace(4))


@pytest.mark.parametrize(("context", "fits"), [
    ((2, 3), True), ((2, 3, 4), True), ((1, 3), True), ((2, 1, 7), True), ((1, 1), True),
    ((3,), False), ((2,), False), ((), False), ((3, 3), False), ((2, 2), False), ((4, 3, 2), False),
])  # fmt: skip
def test_context_has_the_rank_of_the_batch(context, fits):
    if fits:
        check_context((torch.zeros(2, 3), torch.zeros(context)), torch.Size([2, 3]))
        return
    with pytest.raises(ValueError, match="Expected context whose leading dimensions"):
        check_context((torch.zeros(2, 3), torch.zeros(context)), torch.Size([2, 3]))
