"""Metrics of samples beside what true data would score: a number with its floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.evaluation.hamming_mmd import (
    check_samples,
    exponential_hamming_mmd,
    linear_hamming_mmd,
)
from pyro_rm.evaluation.moments import first_moment_distance, second_moment_distance

Metric = Callable[[Tensor, Tensor], Tensor]

METRICS: Mapping[str, Metric] = {
    "linear_hamming_mmd": linear_hamming_mmd,
    "exponential_hamming_mmd": exponential_hamming_mmd,
    "first_moment_distance": first_moment_distance,
    "second_moment_distance": second_moment_distance,
}


@dataclass(frozen=True)
class Score:
    """A metric of samples, and of true data in their place.

    :param value: Mean over the splits, samples against a part of the data.
    :param floor: Mean over the splits, a disjoint part of the data against the same part.
    :param floor_standard_deviation: Of the floor of one split.

    Example:

        >>> print(Score(0.25, 0.01, 0.002))
        0.25000 (true data 0.01000 ± 0.00200)
    """

    value: float
    floor: float
    floor_standard_deviation: float

    def __str__(self) -> str:
        return (
            f"{self.value:.5f} (true data {self.floor:.5f} ± {self.floor_standard_deviation:.5f})"
        )


def sample_quality(
    samples: Tensor,
    data: Tensor,
    *,
    metrics: Mapping[str, Metric] = METRICS,
    num_splits: int = 20,
) -> dict[str, Score]:
    """Score samples by several metrics, each beside its floor.

    Every split divides the data at random: one part is the reference, and the other, as
    large as the samples, takes their place for the floor. Where the data are less than
    twice the samples, both parts are half of the data, and so many samples are drawn.

    :param samples: Data drawn from a model, ``(N, D)``.
    :param data: True data that the model has not seen, ``(M, D)``, in the same coding.
    :param metrics: Functions of two samples by name; the four of this package by default.
    :param num_splits: How many random splits, at least 2.
    :returns: A ``Score`` for each metric.
    :raises ValueError: If there are fewer than two splits, or too few data.

    Example:

        >>> data = torch.bernoulli(torch.full((400, 6), 0.5))
        >>> quality = sample_quality(torch.bernoulli(torch.full((200, 6), 0.5)), data)
        >>> list(quality)[:2]
        ['linear_hamming_mmd', 'exponential_hamming_mmd']

    .. note:: Each metric is computed twice a split.
    """
    check_samples(samples, data)
    check_counts(2, num_splits=num_splits)
    size = min(len(samples), len(data) // 2)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in metrics}
    for _ in range(num_splits):
        drawn = samples[torch.randperm(len(samples))[:size]]
        order = torch.randperm(len(data))
        stand_in, reference = data[order[:size]], data[order[size:]]
        for name, metric in metrics.items():
            pair = (metric(drawn, reference).item(), metric(stand_in, reference).item())
            results[name].append(pair)
    return {name: _score(torch.tensor(pairs)) for name, pairs in results.items()}


def _score(pairs: Tensor) -> Score:
    value, floor = pairs.mean(0).tolist()
    return Score(value, floor, pairs[:, 1].std().item())
