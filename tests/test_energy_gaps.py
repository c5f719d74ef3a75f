"""Fast gaps against the generic path."""

import pytest
import torch

from pyro_rm.energies import (
    IsingEnergy,
    LeveledEnergy,
    MLPEnergy,
    PottsEnergy,
    RBMEnergy,
    restore_temperature,
)
from pyro_rm.energy_gaps import (
    energy_gaps,
    exact_gap_table,
    gap_table,
    generic_energy_gaps,
    has_gap_table,
)
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.enumeration import states_at
from pyro_rm.neighborhoods import all_neighbors, at_neighbors
from pyro_rm.state_space import StateSpace
from pyro_rm.taylor_gaps import taylor_gaps

pytestmark = pytest.mark.usefixtures("float64")
ENERGIES = [
    lambda: MLPEnergy(6, (8, 8)),
    lambda: MLPEnergy(6, (8,), states=(-1, 1)),
    lambda: MLPEnergy(4, (8, 8), num_categories=(2, 3, 4, 3)),
    lambda: RBMEnergy(6, 5),
    lambda: RBMEnergy(4, 5, num_categories=3),
    lambda: IsingEnergy(6),
    lambda: IsingEnergy(6, states=(-1, 1)),
    lambda: PottsEnergy(4, (2, 3, 4, 3)),
]  # fmt: skip


@pytest.mark.parametrize("make", ENERGIES)
def test_single_precision_gaps_are_no_further_from_double_than_generic_ones(make):
    """Root mean square over all gaps of 40 models with unit weights."""
    fast_error = generic_error = 0.0
    for _ in range(40):
        energy = make().float()
        for parameter in energy.parameters():
            torch.nn.init.normal_(parameter)
        space = energy.state_space
        x = space.encode(states_at(space, torch.randint(space.num_states, (16,))), torch.float32)
        neighbors, exists = all_neighbors(space, x)
        generic = generic_energy_gaps(energy, space, x, neighbors)
        if has_gap_table(energy):
            fast = at_neighbors(gap_table(energy, x), neighbors)
        else:
            fast = energy_gaps(energy, space, x, neighbors)
        exact = generic_energy_gaps(energy.double(), space, x.double(), neighbors)
        there = exists.expand_as(exact)
        fast_error += (fast - exact)[there].square().mean().item()
        generic_error += (generic - exact)[there].square().mean().item()
    assert fast_error <= generic_error


def test_generic_gaps_take_a_context_over_several_batch_dimensions():
    """Each datum with its own part of it, and one that is shared along a dimension."""

    def energy(x, field, scale):
        return scale * (x * field).sum(-1)

    space, field, scale = StateSpace(4), torch.randn(2, 3, 4), torch.randn(2, 1)
    x = states_at(space, torch.randint(16, (2, 3)))
    neighbors, _ = all_neighbors(space, x)
    gaps = generic_energy_gaps(energy, space, x, neighbors, (field, scale))
    expected = (2 * x - 1) * field * scale[..., None]
    torch.testing.assert_close(gaps, expected.movedim(-1, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", ENERGIES)
def test_fast_gaps_agree_with_the_generic_path(make, dtype):
    energy = make().to(dtype)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space = energy.state_space
    x = space.encode(states_at(space, torch.randint(space.num_states, (3, 5))), dtype)
    neighbors, exists = all_neighbors(space, x)
    generic = generic_energy_gaps(energy, space, x, neighbors)
    if hasattr(energy, "gap_table"):
        table = gap_table(energy, x)
        fast = at_neighbors(table, neighbors)
        torch.testing.assert_close(taylor_gaps(energy, space, x), table, rtol=1e-4, atol=1e-4)
    else:
        fast = energy_gaps(energy, space, x, neighbors)
        chunked = energy_gaps(energy, space, x, neighbors, max_neighbors_per_chunk=20)
        torch.testing.assert_close(chunked, fast)
    tempered = restore_temperature(energy, "squared_ratio")
    torch.testing.assert_close(energy_gaps(tempered, space, x, neighbors), 4 * fast)
    assert has_gap_table(tempered) == has_gap_table(energy)
    if has_gap_table(tempered):
        torch.testing.assert_close(gap_table(tempered, x), 4 * table)
    bound = 32 * torch.finfo(dtype).eps * (1 + energy(x).abs().max())
    assert ((fast - generic)[exists.expand_as(generic)].abs() <= bound).all()


@pytest.mark.parametrize("make", ENERGIES)
def test_gaps_with_a_context_agree_with_the_generic_path(make):
    energy = LeveledEnergy(make(), 3)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space, level = energy.state_space, torch.randint(3, (2, 5))

    def plain(x, level):
        return energy(x, level)

    x = space.encode(states_at(space, torch.randint(space.num_states, (2, 5))), torch.float64)
    neighbors, exists = all_neighbors(space, x)
    expected = generic_energy_gaps(plain, space, x, neighbors, (level,))
    if not has_gap_table(energy):
        torch.testing.assert_close(energy_gaps(energy, space, x, neighbors, (level,)), expected)
    for other in (energy, plain):
        table = exact_gap_table(other, space, x, (level,))
        assert table.shape == x.shape
        there = exists.expand_as(expected)
        torch.testing.assert_close(at_neighbors(table, neighbors)[there], expected[there])


def test_a_single_datum_fills_a_chunk():
    rows = []

    def energy(x):
        rows.append(len(x))
        return x.sum(-1)

    space, x = StateSpace(4), torch.zeros(4)
    energy_gaps(energy, space, x, all_neighbors(space, x)[0], max_neighbors_per_chunk=3)
    assert rows == [1 + 3, 1 + 1]


@pytest.mark.parametrize("name", ["gap_table", "energy_gaps"])
def test_gaps_of_a_wrong_shape_are_refused(name):
    class Wrong:
        state_space = StateSpace(3)

        def __call__(self, x):
            return x.sum(-1)

    setattr(Wrong, name, lambda *_: torch.zeros(7))
    x, what = torch.zeros(2, 3), "gap table" if name == "gap_table" else "energy"
    expected = (
        rf"the {what} of an input of shape \(2, 3\) to have shape \([23], [23]\), but got \(7,"
    )
    with pytest.raises(EnergyError, match=expected):
        exact_gap_table(Wrong(), StateSpace(3), x)
