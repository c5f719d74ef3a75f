"""What the ends of annealed chains say: bounds and errors that hold as often as stated."""

import math

import pytest
import torch

from pyro_rm.evaluation import AISEstimate, IndependentSites, annealed_importance_sampling
from pyro_rm.evaluation.ais_estimate import AISEnd

pytestmark = pytest.mark.usefixtures("float64")


def test_bound_is_the_smallest_group_with_the_markov_margin():
    log_weights = torch.linspace(-1, 1, 16)
    means = log_weights.view(4, 4).logsumexp(1) - math.log(4)
    margin = math.log(0.01) / 4
    assert AISEnd(log_weights, 1).bound(0.01) == pytest.approx((means.min() + margin).item())
    assert AISEnd(log_weights, -1).bound(0.01) == pytest.approx(-(means.min() + margin).item())


def test_bounds_fail_no_more_often_than_stated():
    """Weights 4 with probability 1/4, else 0+: Markov's inequality is tight for one chain.

    The mean weight is 1: about 500 of 2 000 bounds may fail; 640 have probability below 1e-11.
    """
    failures = 0
    for _ in range(2000):
        log_weights = torch.where(torch.rand(1) < 0.25, math.log(4), -50.0)
        failures += AISEnd(log_weights, 1).bound(0.2501) > 0
    assert 0 < failures < 640


def test_errors_of_the_ends():
    weights = torch.tensor([0.0, 0.0, 0.0])
    assert AISEnd(weights, 1).standard_error == 0
    assert AISEnd(weights, 1).effective_sample_size == pytest.approx(3)
    one = AISEnd(torch.tensor([0.0, -100.0, -100.0]), 1)
    assert one.effective_sample_size == pytest.approx(1)
    estimate = AISEstimate(one)
    assert math.isnan(estimate.gap)
    assert estimate.bounds()[1] == math.inf
    assert "lower" in str(estimate)


@pytest.mark.parametrize("target", ["ising"], indirect=True)
def test_standard_error_is_the_spread_of_repeated_runs(target):
    """Ratio of two standard deviations over 60 runs: within a factor 2 fails below 1e-6."""
    base = IndependentSites.uniform(target.state_space)
    runs = [
        annealed_importance_sampling(
            target, base, inverse_temperatures=4, num_chains=200, progress=False
        ).lower
        for _ in range(60)
    ]
    spread = torch.tensor([run.log_partition for run in runs]).std().item()
    stated = sum(run.standard_error for run in runs) / len(runs)
    assert 0.5 < spread / stated < 2
