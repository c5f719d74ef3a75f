"""Would the picture survive another sample: bootstrap and case dropping of what networks say."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.networks.batched_fits import BatchedFits, can_be_batched
from pyro_rm.networks.columns import row_weights
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.table_kinds import frame

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_LEAST_WEIGHT = 1e-6  # of rows that were not drawn, so that no column becomes constant


@dataclass(frozen=True, eq=False)
class Resamples:
    """What a network says, on its data and on samples of them.

    :param names: Of the numbers that it says, such as pairs of columns.
    :param estimate: The numbers on the data, ``(S,)``.
    :param values: On each sample, ``(B, S)``.
    :param dropped: The share of the data that each sample leaves out, ``(B,)``; 0 of a bootstrap.
    :param level: Nominal level of the intervals.

    See :func:`resample`.

    Example:

        >>> values = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
        >>> samples = Resamples("abc", np.array([1.0, 2.0, 3.0]), values, np.array([0.1, 0.1]))
        >>> samples.correlations()
        array([1. , 0.5])
    """

    names: Sequence[Any]
    estimate: Any
    values: Any
    dropped: Any
    _: KW_ONLY
    level: float = 0.9

    @property
    def table(self) -> Any:
        """A ``pandas.DataFrame``, a row a number.

        Its columns are ``name``, ``estimate``, ``standard_error``, ``lower`` and ``upper``, which
        are of a bootstrap's samples (percentiles), and ``nonzero``, the share of samples where
        the number is not zero.
        """
        ends = np.nanquantile(self.values, [0.5 - self.level / 2, 0.5 + self.level / 2], axis=0)
        columns = {
            "name": list(self.names),
            "estimate": self.estimate,
            "standard_error": np.nanstd(self.values, axis=0, ddof=1),
            "lower": ends[0],
            "upper": ends[1],
            "nonzero": (self.values != 0).mean(0),
        }
        return frame("pandas", list(columns), list(columns.values()))

    def correlations(self) -> Any:
        """Correlation of each sample's numbers with those of the data, ``(B,)``.

        NaN where either does not vary.
        """
        left = self.values - self.values.mean(1, keepdims=True)
        right = self.estimate - self.estimate.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            return left @ right / np.sqrt((left**2).sum(1) * (right @ right))

    def stability(self, *, correlation: float = 0.7, probability: float = 0.95) -> float:
        """The correlation-stability coefficient [1].

        :param correlation: What counts as the same picture.
        :param probability: The share of samples that must show it.
        :returns: The largest share of the data that can be dropped so that samples correlate with
            the data at least so highly, at least so often; 0 if none. Above a half is stable,
            below a quarter is not, as a rule of thumb.
        :raises ValueError: If nothing was dropped, as by the bootstrap.

        **References**

        [1] Sacha Epskamp, Denny Borsboom, Eiko Fried (2018) "Estimating psychological networks and
            their accuracy", Behavior Research Methods 50.
        """
        if not self.dropped.any():
            raise ValueError(
                "Expected samples with cases dropped, but got a bootstrap. Say scheme='drop_cases'."
            )
        high = self.correlations() >= correlation
        best = 0.0
        for share in np.unique(self.dropped):
            if high[self.dropped == share].mean() < probability:
                break
            best = float(share)
        return best


def resample(
    network: Any,
    data: Any,
    statistic: Callable[[Any], Any] | None = None,
    *,
    scheme: str = "bootstrap",
    num_samples: int = 1000,
    shares: Sequence[float] = SHARES,
    sample_weight: Any = None,
    level: float = 0.9,
    random_state: int = 0,
) -> Resamples:
    """Fit a network to samples of its data, and see what changes [1].

    Ising networks of all pairs, or of a given graph, are fitted to many samples at once, and
    ordinal ones to one after the other, from the fit to the data. Others, and those whose edges
    were selected, are selected and fitted sample by sample.

    :param network: A fitted network.
    :param data: What it was fitted to.
    :param statistic: A function of a fitted network: a number, an array, or a dictionary such as
        centralities of ``network.to_networkx()``; None: the couplings of all pairs.
    :param scheme: ``"bootstrap"``, as many rows drawn with replacement; ``"drop_cases"``, some
        rows left out.
    :param num_samples: How many samples; of dropped cases, for each share.
    :param shares: Of the data to drop.
    :param sample_weight: Weights of the rows, ``(N,)``, which stay with them.
    :param level: Nominal level of the intervals.
    :param random_state: Seed of the samples.
    :returns: What the network says on each sample.
    :raises ValueError: If an option is out of range.

    Example:

        >>> from pyro_rm.networks import IsingNetwork
        >>> x = torch.bernoulli(torch.full((300, 3), 0.5))
        >>> x[:, 1] = torch.where(torch.rand(300) < 0.7, x[:, 0], x[:, 1])
        >>> network = IsingNetwork(selection=None).fit(x)
        >>> samples = resample(network, x, scheme="drop_cases", num_samples=20)
        >>> samples.stability() >= 0.5
        True

    .. note:: A sample costs a fit. Rare answers that a sample lacks are no error: couplings
        without a finite estimate get the ridge that the network would give them.

    **References**

    [1] Sacha Epskamp, Denny Borsboom, Eiko Fried (2018) "Estimating psychological networks and
        their accuracy", Behavior Research Methods 50.
    """
    if scheme not in ("bootstrap", "drop_cases"):
        raise ValueError(f"Expected scheme 'bootstrap' or 'drop_cases', but got {scheme!r}.")
    if not shares or not all(0 < share < 1 for share in shares):
        raise ValueError(f"Expected shares between 0 and 1, but got {shares}.")
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
    check_counts(2, num_samples=num_samples)
    values = network._read_like(data)
    rng = torch.Generator().manual_seed(random_state)
    counts, dropped = _counts(scheme, len(values), num_samples, shares, rng)
    own = row_weights(sample_weight, len(values), data)
    weights = counts if own is None else counts * own
    say = _couplings if statistic is None else statistic
    if can_be_batched(network) and not network._was_selected:
        fitted = _batched(network, values, weights)
    else:
        fitted = _one_by_one(network, data, weights)
    names, estimate = _numbers(say(network))
    if statistic is None:
        names = list(combinations(network._columns, 2))
    samples = np.stack([_numbers(say(sample))[1] for sample in fitted])
    return Resamples(names, estimate, samples, dropped, level=level)


def _counts(
    scheme: str, num_rows: int, num_samples: int, shares: Sequence[float], rng: torch.Generator
) -> tuple[Tensor, Any]:
    """How often each row is in each sample, ``(B, N)``, and the share that is left out."""
    if scheme == "bootstrap":
        drawn = torch.randint(num_rows, (num_samples, num_rows), generator=rng)
        counts = torch.zeros(num_samples, num_rows, dtype=torch.float64)
        return counts.scatter_add_(1, drawn, torch.ones_like(counts)), np.zeros(num_samples)
    parts = []
    for share in sorted(shares):
        ranks = torch.rand(num_samples, num_rows, generator=rng).argsort(1).argsort(1)
        parts.append((ranks < max(2, round((1 - share) * num_rows))).double())
    return torch.cat(parts), np.repeat(sorted(shares), num_samples)


def _batched(network: Any, values: Tensor, weights: Tensor) -> Iterator[Any]:
    couplings, fields = BatchedFits.of(network, values)(weights)
    edges, space = torch.as_tensor(network.edges_), network.energy_.state_space
    for of_edges, of_sites in zip(couplings, fields, strict=True):
        sample = copy.copy(network)
        model = PairwiseModel.on(space, edges, of_sites, network._sites)
        sample.energy_ = model.energy.requires_grad_(False)
        sample.energy_.weight.copy_(of_edges.view_as(sample.energy_.weight))
        sample.energy_.fields.copy_(of_sites.view_as(sample.energy_.fields))
        sample._publish_values()
        sample.covariance_ = sample.joint_covariance_ = sample.filler_ = None
        yield sample


def _one_by_one(network: Any, data: Any, weights: Tensor) -> Iterator[Any]:
    for weight in weights.clamp(min=_LEAST_WEIGHT):
        sample = type(network)(**network.get_params())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no finite estimate")
            yield sample.fit(data, sample_weight=weight.numpy())


def _couplings(network: Any) -> Any:
    """The couplings of all pairs, or their strengths, zero where there is no edge."""
    matrix = getattr(network, "strengths_", None)
    matrix = network.couplings_ if matrix is None else matrix
    return matrix[np.triu_indices(len(matrix), 1)]


def _numbers(said: Any) -> tuple[list[Any], Any]:
    """Names and numbers of what a statistic returns."""
    if isinstance(said, Mapping):
        return list(said), np.array([float(value) for value in said.values()])
    numbers = np.asarray(said, dtype=np.float64).ravel()
    return list(range(len(numbers))), numbers
