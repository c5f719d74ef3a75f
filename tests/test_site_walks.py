"""Each energy's own walk over sites against the generic one."""

import pytest
import torch

from pyro_rm.energies import (
    IsingEnergy,
    MLPEnergy,
    OrdinalEnergy,
    PairwiseFunction,
    PottsEnergy,
    RBMEnergy,
)
from pyro_rm.enumeration import states_at
from pyro_rm.site_walks import SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


def batched_ising():
    couplings = torch.randn(3, 1, 5, 5)
    couplings = (couplings + couplings.mT) * (1 - torch.eye(5))
    return PairwiseFunction(couplings, torch.randn(3, 1, 5), StateSpace(5))


ENERGIES = {
    "ising": lambda: IsingEnergy(5, states=(-1, 1)),
    "batched ising": batched_ising,
    "potts": lambda: PottsEnergy(4, (2, 3, 4, 2)),
    "ordinal": lambda: OrdinalEnergy([(-0.5, 0.5), (-0.5, 0.0, 0.5), 4, (0, 1)]),
    "tempered ordinal": lambda: 0.3 * OrdinalEnergy([(0, 1, 2), 3, (0, 1), (0, 2, 3)]),
    "rbm": lambda: RBMEnergy(5, 3, states=(-1, 1)),
    "categorical rbm": lambda: RBMEnergy(4, 3, num_categories=(2, 3, 4, 2)),
    "mlp": lambda: MLPEnergy(5, (6, 4)),
    "categorical mlp": lambda: MLPEnergy(4, (6, 4), num_categories=3),
    "tempered": lambda: torch.tensor([[1.0], [0.5], [0.2]]) * IsingEnergy(5),
    "tempered mlp": lambda: 0.3 * MLPEnergy(4, (5,), num_categories=3),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ENERGIES)
def test_own_walks_see_what_the_generic_one_sees(name):
    energy = ENERGIES[name]()
    if isinstance(energy, torch.nn.Module):
        for parameter in energy.parameters():
            torch.nn.init.normal_(parameter)
    space = energy.state_space
    draw = lambda: space.encode(  # noqa: E731
        states_at(space, torch.randint(space.num_states, (3, 7))), torch.float64
    )
    chains = draw()
    own = Target.of(energy).walk(chains)
    generic = SiteWalk(Target(lambda x: energy(x), space), chains)
    assert type(own) is not SiteWalk
    exists = None if space.is_binary else space.category_mask()
    for block in [slice(1, 2), torch.tensor([0, 3]), slice(0, 3), torch.tensor([2])]:
        got, expected = own.gaps(block), generic.gaps(block)
        if exists is not None:
            got = got * exists[block]
        torch.testing.assert_close(got, expected)
        values = own.at(draw(), block)
        own.move(block, values)
        generic.move(block, values)
        torch.testing.assert_close(own.encoded, generic.encoded)
    assert not torch.equal(own.encoded, chains)  # the chains given are not touched


def test_a_context_reaches_the_generic_walk():
    def energy(x, field):
        return -(field * x).sum(-1)

    field = torch.randn(4, 3)
    walk = Target(energy, StateSpace(3), (field,)).walk(torch.zeros(4, 3))
    torch.testing.assert_close(walk.gaps(torch.tensor([0, 2])), field[:, [0, 2]])
