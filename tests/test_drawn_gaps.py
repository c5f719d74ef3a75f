"""Gaps of sampling units: those of neighbors, or the log odds of leaving a site."""

import pytest
import torch

from pyro_rm import StateSpace
from pyro_rm.designs import Draw
from pyro_rm.drawn_gaps import drawn_gaps, unit_gaps
from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.objectives import as_objective
from pyro_rm.target import Target

pytestmark = pytest.mark.usefixtures("float64")
SPACES = [StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, (2, 3, 4))]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio_matching"])
def test_units_gather_the_gaps_of_what_changes(space, objective):
    energy = MLPEnergy(
        space.num_sites, (5,), num_categories=space.num_categories, states=space.states
    )
    phi, x = as_objective(objective), states_at(space, torch.arange(6))
    encoded = space.encode(x, torch.float64)
    table = Target.of(energy).gap_table(encoded)
    expected = table
    if phi.sampling_unit == "site" and not space.is_binary:
        expected = torch.zeros(6, space.num_sites)
        for datum in range(6):
            for site, count in enumerate(space.categories):
                others = [k for k in range(count) if k != x[datum, site]]
                expected[datum, site] = table[datum, site, others].logsumexp(0)
    units = unit_gaps(space, encoded, table, phi)
    torch.testing.assert_close(units, expected)
    flat = units.flatten(1)
    other = torch.ones_like(flat, dtype=torch.bool)
    if flat.shape[1] > space.num_sites:
        other = (space.category_mask() & (encoded == 0)).flatten(1)
    index = other.int().argsort(dim=1, descending=True)[:, :2].T
    weights = torch.ones(2, 6)
    weights[1, ::2] = 0
    got = drawn_gaps(Target.of(energy), encoded, phi, Draw(index, weights))
    torch.testing.assert_close(got[0], flat.gather(1, index.T)[:, 0])
    torch.testing.assert_close(got[1, 1::2], flat.gather(1, index.T)[1::2, 1])
    assert got.isfinite().all()
