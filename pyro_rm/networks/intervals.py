"""Couplings of a fitted network with their intervals, and words for those that have none."""

from __future__ import annotations

from itertools import product
from math import erfc, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rm.networks.profiles import one_sided


def couplings_of(network: Any, level: float) -> list[dict[str, Any]]:
    """Each edge with its coupling, standard error, interval and whether it is separated.

    :param network: A fitted network.
    :param level: Nominal level of the intervals, between 0 and 1.
    :returns: One dictionary an edge, in the order of ``edges_``.
    :raises ValueError: If the level is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
    wide = NormalDist().inv_cdf(0.5 + level / 2)
    names = network.feature_names_in_.tolist()
    separated = [tuple(edge) for edge in network.separated_.tolist()]
    profiles = dict(zip(separated, network.profiles_, strict=False))
    rows = []
    columns = (network.edges_.tolist(), network.weights_, network.standard_errors_)
    for (first, second), weight, error in zip(*columns, strict=True):
        lower, upper = float(weight - wide * error), float(weight + wide * error)
        if (first, second) in profiles:
            # of a count of mean m, zero has probability exp(-m), and the statistic is 2 m
            threshold = -2 * log((1 - level) / 2)
            lower, upper = one_sided(profiles[first, second], threshold)
        rows.append({
            "source": names[first],
            "target": names[second],
            "coupling": float(weight),
            "standard_error": float(error),
            "lower": lower,
            "upper": upper,
            "separated": (first, second) in separated,
        })  # fmt: skip
    return rows


def chi_square_tail(squares: Tensor, freedom: Tensor) -> Tensor:
    """Probabilities that chi-squares are larger.

    :param squares: The chi-squares.
    :param freedom: Their degrees of freedom, one or more.
    :returns: Of the shape of both.
    """
    return torch.special.gammaincc(freedom.double() / 2, squares.double() / 2)


def two_sided(z: float) -> float:
    """Probability that a standard normal variable is larger in absolute value; NaN stays."""
    return float("nan") if z != z else erfc(abs(z) / sqrt(2))


def separation_warning(table: Any, first: int, second: int) -> str:
    """What is said of two columns whose coupling has no finite estimate.

    :param table: What was fitted.
    :param first: Number of a column.
    :param second: Number of the other.
    :returns: A sentence that names the pairs of answers that no row has.
    """
    names = [table.names[number] for number in (first, second)]
    pairs = table.values[:, [first, second]]
    pairs = pairs[~pairs.isnan().any(1)].unique(dim=0).tolist()
    own = [sorted({pair[side] for pair in pairs}) for side in range(2)]
    empty = [pair for pair in product(*own) if list(pair) not in pairs]
    labels = [[table.label(first, a), table.label(second, b)] for a, b in empty]
    words = [f"{names[0]!r} = {_said(a)} with {names[1]!r} = {_said(b)}" for a, b in labels]
    cells = ", as no row has " + " or ".join(words[:3]) if words else ", given the other columns"
    return (
        f"The coupling between {names[0]!r} and {names[1]!r} has no finite estimate{cells} "
        "(separation). It got a ridge that bounds it, and no standard error; the others are as "
        "without it."
    )


def _said(label: Any) -> str:
    return f"{label:g}" if isinstance(label, int | float | np.number) else str(label)
