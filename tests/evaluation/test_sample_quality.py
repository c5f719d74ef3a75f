"""Metrics against double loops and known moments; floors against true data."""

import pytest
import torch

from pyro_rm.evaluation import exponential_hamming_mmd, linear_hamming_mmd, sample_quality
from pyro_rm.evaluation.moments import first_moment_distance, second_moment_distance

pytestmark = pytest.mark.usefixtures("float64")
CODINGS = {
    "bits": torch.tensor([0.0, 1.0]),
    "spins": torch.tensor([-1.0, 1.0]),
    "codes": torch.arange(4),
}


@pytest.fixture(params=CODINGS.values(), ids=CODINGS.keys())
def samples(request):
    values = request.param
    return tuple(values[torch.randint(len(values), (n, 5))] for n in (7, 11))


def loops(x, y, kernel, unbiased):
    def mean(a, b, same):
        pairs = [
            kernel(int((a[i] != b[j]).sum()))
            for i in range(len(a))
            for j in range(len(b))
            if not (same and unbiased and i == j)
        ]
        return sum(pairs) / len(pairs)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("statistic", ["U", "V"])
def test_discrepancies_equal_double_loops(samples, statistic):
    x, y = samples
    linear = loops(x, y, lambda d: torch.tensor(5.0 - d), statistic == "U")
    torch.testing.assert_close(linear_hamming_mmd(x, y, statistic=statistic), linear)
    exponential = loops(x, y, lambda d: torch.tensor(-0.7 * d).exp(), statistic == "U")
    value = exponential_hamming_mmd(x, y, bandwidth=0.7, statistic=statistic, chunk_size=3)
    torch.testing.assert_close(value, exponential)


def test_linear_discrepancy_sees_means_only():
    x, y = (torch.bernoulli(torch.full((n, 6), 0.4)) for n in (30, 50))
    expected = 2 * (x.mean(0) - y.mean(0)).square().sum()
    torch.testing.assert_close(linear_hamming_mmd(x, y, statistic="V"), expected)
    alike = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    opposite = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert linear_hamming_mmd(alike, opposite, statistic="V").abs() < 1e-12
    assert exponential_hamming_mmd(alike, opposite, statistic="V") > 1e-3


def test_moment_distances(samples):
    x, y = samples
    values = torch.cat([x, y]).unique()
    first, second = [], []
    for a in values:
        first.append((x == a).double().mean(0) - (y == a).double().mean(0))
        for b in values:
            for i in range(5):
                for j in range(i):
                    both = [((z[:, i] == a) & (z[:, j] == b)).double().mean() for z in (x, y)]
                    second.append(both[0] - both[1])
    root_mean_square = torch.stack(first).square().mean().sqrt()
    torch.testing.assert_close(first_moment_distance(x, y), root_mean_square)
    torch.testing.assert_close(
        second_moment_distance(x, y), torch.stack(second).norm() / len(second) ** 0.5
    )


def test_scores_tell_a_wrong_sampler_from_the_truth():
    """Six standard deviations of the floor, for both: fails with probability below 1e-7."""

    def truth(size):
        first = torch.bernoulli(torch.full((size, 1), 0.5)).expand(size, 8)
        return torch.where(torch.rand(size, 8) < 0.1, 1 - first, first)

    data = truth(1500)
    good = sample_quality(truth(400), data)
    independent = torch.bernoulli(data.mean(0).expand(400, 8))
    bad = sample_quality(independent, data)
    for name, score in good.items():
        assert abs(score.value - score.floor) < 6 * score.floor_standard_deviation, name
    for name in ("exponential_hamming_mmd", "second_moment_distance"):
        assert bad[name].value - bad[name].floor > 6 * bad[name].floor_standard_deviation, name
    assert "true data" in str(good["linear_hamming_mmd"])


def test_floor_is_the_metric_between_parts_of_the_data():
    data = torch.arange(10.0)[:, None]
    sizes = []

    def metric(x, y):
        sizes.append((len(x), len(y)))
        return x.mean() - y.mean()

    score = sample_quality(torch.zeros(8, 1), data, metrics={"mean": metric}, num_splits=30)
    assert set(sizes) == {(5, 5)}
    assert score["mean"].value == pytest.approx(-4.5, abs=2.5)
    assert score["mean"].floor_standard_deviation > 0
    sizes.clear()
    sample_quality(torch.zeros(3, 1), data, metrics={"mean": metric}, num_splits=2)
    assert set(sizes) == {(3, 7)}


def test_errors():
    x = torch.zeros(4, 3)
    with pytest.raises(ValueError, match="two samples"):
        linear_hamming_mmd(x, torch.zeros(4, 2))
    with pytest.raises(ValueError, match="two samples"):
        first_moment_distance(x[:1], x)
    with pytest.raises(ValueError, match="'U' or 'V'"):
        linear_hamming_mmd(x, x, statistic="W")
    with pytest.raises(ValueError, match="bandwidth"):
        exponential_hamming_mmd(x, x, bandwidth=0.0)
    with pytest.raises(ValueError, match="num_splits"):
        sample_quality(x, x, num_splits=1)
