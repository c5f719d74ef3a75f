"""Fast gaps against the generic path, and what rests on gradients in the data."""

import pytest
import torch

import pyro_rm
from pyro_rm.energies import (
    IsingEnergy,
    MLPEnergy,
    PottsEnergy,
    RBMEnergy,
    SumEnergy,
    restore_temperature,
    with_levels,
)
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.enumeration import states_at
from pyro_rm.generic_paths import evaluated_gaps
from pyro_rm.markov_steps import Chains, DiscreteLangevin, GibbsWithGradients
from pyro_rm.neighborhoods import all_neighbors, at_neighbors
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

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


def generic_gaps(energy, x, neighbors, context=(), space=None):
    """Gaps by evaluation, whatever the energy knows."""
    space = space or energy.state_space
    return evaluated_gaps(lambda x, c: energy(x, *c), space, x, neighbors, context)


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
        generic = generic_gaps(energy, x, neighbors)
        fast = Target.of(energy).gaps(x, neighbors)
        exact = generic_gaps(energy.double(), x.double(), neighbors)
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
    gaps = generic_gaps(energy, x, neighbors, (field, scale), space)
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
    generic, target = generic_gaps(energy, x, neighbors), Target.of(energy)
    if hasattr(energy, "gap_table"):
        table = target.gap_table(x)
        fast = at_neighbors(table, neighbors)
        torch.testing.assert_close(target.taylor_gaps(x), table, rtol=1e-4, atol=1e-4)
    else:
        fast = target.gaps(x, neighbors)
        chunked = target.gaps(x, neighbors, max_neighbors_per_chunk=20)
        torch.testing.assert_close(chunked, fast)
    tempered = Target.of(restore_temperature(energy, "squared_ratio"))
    torch.testing.assert_close(tempered.gaps(x, neighbors), 4 * fast)
    assert tempered.has_gap_table == target.has_gap_table
    if tempered.has_gap_table:
        torch.testing.assert_close(tempered.gap_table(x), 4 * table)
    bound = 32 * torch.finfo(dtype).eps * (1 + energy(x).abs().max())
    assert ((fast - generic)[exists.expand_as(generic)].abs() <= bound).all()


@pytest.mark.parametrize("make", ENERGIES)
def test_gaps_with_a_context_agree_with_the_generic_path(make):
    energy = with_levels(make(), 3)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter)
    space, level = energy.state_space, torch.randint(3, (2, 5))

    def plain(x, level):
        return energy(x, level)

    x = space.encode(states_at(space, torch.randint(space.num_states, (2, 5))), torch.float64)
    neighbors, exists = all_neighbors(space, x)
    expected = generic_gaps(energy, x, neighbors, (level,))
    for other in (energy, plain):
        target = Target(other, space, (level,))
        if not target.has_gap_table:
            torch.testing.assert_close(target.gaps(x, neighbors), expected)
        table = target.gap_table(x)
        assert table.shape == x.shape
        there = exists.expand_as(expected)
        torch.testing.assert_close(at_neighbors(table, neighbors)[there], expected[there])


def test_a_single_datum_fills_a_chunk():
    rows = []

    def energy(x):
        rows.append(len(x))
        return x.sum(-1)

    space, x = StateSpace(4), torch.zeros(4)
    Target(energy, space).gaps(x, all_neighbors(space, x)[0], max_neighbors_per_chunk=3)
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
        Target.of(Wrong()).gap_table(x)


GUIDED = [
    lambda: MLPEnergy(6, (4,)),
    lambda: MLPEnergy(6, (4,), num_categories=3),
    lambda: RBMEnergy(6, 3),
    lambda: with_levels(MLPEnergy(6, (4,)), 2),
]  # fmt: skip


def guided(energy, x, context):
    """What rests on a gradient in the data, after one seed."""
    torch.manual_seed(1)
    space = energy.state_space
    options = {"num_neighbors": 2, "context": context}
    encoded, target = space.encode(x, torch.float32), Target.of(energy, context=context)
    return [
        pyro_rm.estimate(energy, x, proposal="gradient", **options),
        pyro_rm.estimate(energy, x, control_variate=True, **options),
        Chains(target, encoded, GibbsWithGradients()).run(1).encoded,
        Chains(target, encoded, DiscreteLangevin()).run(1).encoded,
    ]


@pytest.mark.parametrize("make", GUIDED)
def test_guidance_works_in_inference_mode(make):
    energy, results = make().float(), []
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            x = torch.arange(30).view(5, 6) % 2
            level = (torch.tensor([0, 1, 0, 1, 1]),) if isinstance(energy, SumEnergy) else ()
            results.append(guided(energy, x, level))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert not any(result.requires_grad for result in results[1])


def test_what_a_model_lacks_is_given_beside_it_and_what_it_has_is_not():
    """A model of a target, with one half and the other of context and active sites."""
    space, field = StateSpace(3), torch.randn(2, 3)
    active = torch.tensor([True, False, True])

    def energy(x, field):
        return (x * field).sum(-1)

    bare = Target.of(energy, space)
    assert Target.of(bare) is bare
    assert Target.of(bare, StateSpace(3)) is bare
    with pytest.raises(EnergyError, match="model on StateSpace"):
        Target.of(bare, StateSpace(4))

    given = Target.of(bare, context=field)
    assert given.energy is energy
    assert given.context == (field,)
    assert given.active is None
    both = Target.of(given, active=active)
    assert both.context == (field,)
    assert both.active is active
    other = Target.of(Target.of(bare, active=active), context=field)
    assert other.context == (field,)
    assert other.active is active

    with pytest.raises(ValueError, match="Expected context once"):
        Target.of(given, context=field)
    with pytest.raises(ValueError, match="Expected active once"):
        Target.of(both, active=active)
