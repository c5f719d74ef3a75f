"""Log-likelihoods, exact or by the pessimistic end."""

import pytest
import torch

from pyro_rm.distributions import EnergyModel
from pyro_rm.enumeration import states_at
from pyro_rm.evaluation import log_likelihood

pytestmark = pytest.mark.usefixtures("float64")


def test_log_likelihood_is_exact_or_takes_the_pessimistic_end(target):
    space = target.state_space
    data = states_at(space, torch.arange(space.num_states))
    encoded = space.encode(data, torch.float64)
    exact = log_likelihood(EnergyModel(target), data)
    torch.testing.assert_close(exact.per_datum.logsumexp(0), torch.tensor(0.0), atol=1e-9, rtol=0)
    assert exact.annealed is None
    assert exact.optimistic_mean == exact.mean
    error = exact.per_datum.var() / len(data)
    assert exact.standard_error**2 == pytest.approx(error.item())
    bracket = log_likelihood(
        target,
        data,
        max_states=1,
        num_chains=300,
        inverse_temperatures=30,
        num_steps=5,
        progress=False,
    )
    assert bracket.annealed is not None
    assert bracket.mean <= bracket.optimistic_mean
    ends = (bracket.annealed.lower.log_partition, bracket.annealed.upper.log_partition)
    assert bracket.log_partition == max(ends)
    torch.testing.assert_close(bracket.per_datum, -target(encoded) - max(ends))
    assert abs(bracket.mean - exact.mean) < 0.5
    given = log_likelihood(target, data, partition=bracket.annealed)
    torch.testing.assert_close(given.per_datum, bracket.per_datum)
    assert log_likelihood(target, data, partition=0.0).log_partition == 0
