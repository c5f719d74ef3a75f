"""Do two groups have the same network: Wald tests, and permutations of who is in which group."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.networks.batched_fits import BatchedFits, can_be_batched
from pyro_rm.networks.columns import row_weights
from pyro_rm.networks.contrasts import of_numbers
from pyro_rm.networks.intervals import chi_square_tail, two_sided
from pyro_rm.networks.table_kinds import frame

_DRAWS = 4000


class GroupTest(NamedTuple):
    """A test of no difference.

    :param statistic: What is large if there is one: a difference, or a chi-square.
    :param p_value: The probability of as large a statistic without one.
    :param standard_error: Of a difference, else NaN.
    :param degrees_of_freedom: Of a chi-square, else 1.
    """

    statistic: float
    p_value: float
    standard_error: float = float("nan")
    degrees_of_freedom: int = 1


@dataclass(frozen=True, eq=False)
class Comparison:
    r"""What differs between the networks of two groups, a minus b.

    Wald tests divide differences of estimates by their standard errors, from the two sandwich
    covariances. Those by permutation compare them with the differences between random groups of
    the same sizes, and hold exactly where groups are alike, whatever the model. See
    :func:`compare`.

    :param names: Names of the columns.
    :param edges: Pairs of column numbers, ``(E, 2)``.
    :param differences: Of the couplings, ``(E,)``; NaN where one has no finite estimate, or is a
        matrix, as of nominal columns, of which there are tests only.
    :param standard_errors: Of the differences, ``(E,)``; NaN where they are.
    :param p_values: By Wald's test of each coupling, ``(E,)``: of a matrix of all its entries.
    :param global_strength: Wald's test of the sums of absolute couplings, with the variance that
        absolute values have. It errs towards no difference where many couplings are zero.
    :param all_edges: Wald's test of all couplings together.
    :param level: Nominal level of the intervals.
    :param permuted_edges: p-values of each edge by permutation, ``(E,)``, or None.
    :param permuted_strength: The same test of the global strength by permutation, or None.
    :param permuted_maximum: That of the largest difference of a coupling, or None.

    Example:

        >>> one = GroupTest(0.4, 0.0455, 0.2)
        >>> of_edges = (np.array([0.4]), np.array([0.2]), np.array([0.0455]))
        >>> comparison = Comparison(["a", "b"], [[0, 1]], *of_edges, one, one)
        >>> comparison.table.upper.round(3).tolist()
        [0.729]
    """

    names: list[Any]
    edges: Any
    differences: Any
    standard_errors: Any
    p_values: Any
    global_strength: GroupTest
    all_edges: GroupTest
    _: KW_ONLY
    level: float = 0.9
    permuted_edges: Any = None
    permuted_strength: GroupTest | None = None
    permuted_maximum: GroupTest | None = None

    @property
    def table(self) -> Any:
        """A ``pandas.DataFrame``, a row an edge.

        Its columns are ``source``, ``target``, ``difference``, ``standard_error``, ``lower``,
        ``upper``, ``p_value`` by Wald's test, ``p_adjusted`` for all edges by Holm's method [1],
        and ``p_permuted`` where groups were permuted.

        **References**

        [1] Sture Holm (1979) "A simple sequentially rejective multiple test procedure",
            Scandinavian Journal of Statistics 6(2).
        """
        wide = NormalDist().inv_cdf(0.5 + self.level / 2) * self.standard_errors
        columns = {
            "source": [self.names[a] for a, _ in self.edges],
            "target": [self.names[b] for _, b in self.edges],
            "difference": self.differences,
            "standard_error": self.standard_errors,
            "lower": self.differences - wide,
            "upper": self.differences + wide,
            "p_value": self.p_values,
            "p_adjusted": _holm(self.p_values),
        }
        if self.permuted_edges is not None:
            columns["p_permuted"] = self.permuted_edges
        return frame("pandas", list(columns), list(columns.values()))


def compare(
    a: Any,
    b: Any,
    *,
    data: tuple[Any, Any] | None = None,
    sample_weight: tuple[Any, Any] = (None, None),
    paired: bool = False,
    num_permutations: int = 1000,
    level: float = 0.9,
    random_state: int = 0,
) -> Comparison:
    """Compare the Ising or ordinal networks of two groups by Wald tests and by permutation [1].

    Both need the same columns, in the same coding, and the same pairs: all of them, by
    ``selection=None``, or those of a given graph. No row is dropped for its blanks.

    :param a: The network of one group.
    :param b: That of the other.
    :param data: What they were fitted to, for tests by permutation; None: Wald's tests only, which
        take the groups as independent.
    :param sample_weight: The weights of their rows, each ``(N,)`` or None. They stay with the row.
    :param paired: Whether row n of one group is the same person as row n of the other: who changes
        groups is then drawn within pairs.
    :param num_permutations: How many.
    :param level: Nominal level of the intervals of differences.
    :param random_state: Seed of the permutations.
    :returns: The comparison.
    :raises ValueError: If networks have different columns or edges, or selected ones, or pairs do
        not match.

    Example:

        >>> from pyro_rm.networks import IsingNetwork
        >>> x = torch.bernoulli(torch.full((300, 3), 0.5))
        >>> y = x.clone()
        >>> y[:, 1] = torch.where(torch.rand(300) < 0.7, x[:, 0], x[:, 1])
        >>> a, b = (IsingNetwork(selection=None).fit(group) for group in (x, y))
        >>> compare(a, b).all_edges.p_value < 0.01
        True

    .. note:: A permutation costs two fits, many of which are done at once.

    **References**

    [1] Claudia van Borkulo et al. (2023) "Comparing network structures on three aspects: a
        permutation test", Psychological Methods 28(6).
    """
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
    _check_alike(a, b)
    first, spread, owners = a._coordinates()
    second, other, _ = b._coordinates()
    gaps, covariance, num_edges = first - second, spread + other, len(a.edges_)
    gaps[(a._is_separated | b._is_separated)[owners]] = np.nan
    errors = np.where(np.isfinite(gaps), np.sqrt(np.diag(covariance)), np.nan)
    of_edges = [(owners == edge).nonzero()[0] for edge in range(num_edges)]
    tests = [_wald(gaps[own], covariance[np.ix_(own, own)]) for own in of_edges]
    differences = of_numbers(gaps, owners, num_edges)
    estimated = np.isfinite(differences)
    known = np.isin(owners, estimated.nonzero()[0])
    permuted: dict[str, Any] = {}
    if data is not None:
        check_counts(num_permutations=num_permutations)
        rng = torch.Generator().manual_seed(random_state)
        permuted = _permuted(a, data, sample_weight, paired, num_permutations, rng)
    return Comparison(
        a._columns, a.edges_, differences, of_numbers(errors, owners, num_edges),
        np.array([test.p_value for test in tests]),
        _strength(
            [network.weights_[estimated] for network in (a, b)],
            [own[np.ix_(known, known)] for own in (spread, other)],
        ),
        _wald(gaps, covariance), level=level, **permuted,
    )  # fmt: skip


def _check_alike(a: Any, b: Any) -> None:
    for network in (a, b):
        network._check_fitted()
        if not can_be_batched(network):
            raise ValueError(
                "Expected Ising or ordinal networks fitted by the pseudolikelihood, but got "
                f"{network!r}."
            )
        network._check_given_edges()
    alike = {
        "columns": a._columns == b._columns,
        "codings": a._coding == b._coding,
        "edges": np.array_equal(a.edges_, b.edges_),
    }
    for what, same in alike.items():
        if not same:
            raise ValueError(
                f"Expected two networks of the same {what}, but these differ. Fit both with the "
                "same columns, states= and graph=; merge answers that only one group gives."
            )


def _strength(weights: list[Any], spreads: list[Any]) -> GroupTest:
    """Wald's test of the difference of sums of absolute couplings."""
    first, second = (float(np.abs(own).sum()) for own in weights)
    error = sqrt(sum(map(_variance_of_strength, weights, spreads)))
    return GroupTest(first - second, two_sided((first - second) / error if error else 0.0), error)


def _variance_of_strength(weights: Any, spread: Any) -> float:
    """Of the sum of absolute values of normal estimates.

    Those about zero vary less than normal ones. Estimates are too large to stand for their
    means, by their variance; the positive part of the square that is left is the mean's.
    """
    if len(weights) == 0:
        return 0.0
    means = weights * np.sqrt(np.clip(1 - np.diag(spread) / weights**2, 0, None))
    draws = np.random.default_rng(0).multivariate_normal(means, spread, _DRAWS)
    return float(np.abs(draws).sum(1).var())


def _wald(differences: Any, covariance: Any) -> GroupTest:
    """Wald's test of the differences that are known together; NaN if there is none."""
    known = np.isfinite(differences)
    solved = np.linalg.solve(covariance[known][:, known], differences[known])
    square, freedom = float(differences[known] @ solved), int(known.sum())
    tail = chi_square_tail(torch.tensor(square), torch.tensor(freedom)) if freedom else np.nan
    return GroupTest(square, float(tail), degrees_of_freedom=freedom)


def _permuted(
    network: Any,
    data: tuple[Any, Any],
    sample_weight: tuple[Any, Any],
    paired: bool,
    num_permutations: int,
    rng: torch.Generator,
) -> dict[str, Any]:
    """Tests by permutation, as options of a comparison; the first grouping is the given one."""
    groups = [network._read_like(table) for table in data]
    first, second = map(len, groups)
    if paired and first != second:
        raise ValueError(f"Expected pairs of rows, but got {first} and {second} of them.")
    weights = [
        torch.ones(len(rows), dtype=torch.float64) if given is None else given
        for rows, given in zip(
            groups, map(row_weights, sample_weight, (first, second), data), strict=True
        )
    ]
    given = torch.arange(first + second) < first
    draws = torch.rand(num_permutations, first if paired else first + second, generator=rng)
    if paired:
        moved = draws < 0.5
        shuffled = torch.cat([~moved, moved], 1)
    else:
        shuffled = given[draws.argsort(1)]
    member = torch.cat([given[None], shuffled])
    fits = BatchedFits.of(network, torch.cat(groups))
    found = [fits(torch.cat(weights) * side)[0] for side in (member, ~member)]
    couplings = [network._weights_of(raw).cpu() for raw in found]
    gaps = couplings[0] - couplings[1]
    strengths = couplings[0].abs().sum(1) - couplings[1].abs().sum(1)
    largest = gaps.abs().amax(1)
    return {
        "permuted_edges": _shares(gaps).numpy(),
        "permuted_strength": GroupTest(float(strengths[0]), float(_shares(strengths))),
        "permuted_maximum": GroupTest(float(largest[0]), float(_shares(largest))),
    }


def _shares(statistics: Tensor) -> Tensor:
    """The share of groupings whose statistic is at least the first one's, itself included."""
    sizes = statistics.abs()
    return (sizes >= sizes[0] * (1 - 1e-6)).double().mean(0)


def _holm(p_values: Any) -> Any:
    """p-values that hold for all tests together; NaN stays."""
    result = np.full(len(p_values), np.nan)
    order = [k for k in np.argsort(p_values) if p_values[k] == p_values[k]]
    running = 0.0
    for rank, k in enumerate(order):
        running = max(running, min(1.0, float(p_values[k]) * (len(order) - rank)))
        result[k] = running
    return result
