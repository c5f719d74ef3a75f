"""Maximum pseudolikelihood of graph models: logistic regression on change statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyro_rm.graphs.dyads import Dyads
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.nodes import Array
from pyro_rm.graphs.terms import Terms

_MOST_STEPS = 60
_WIDE = 1 << 26  # numbers of the table from which it is kept in single precision


class Derivatives(NamedTuple):
    """Log pseudolikelihood, its gradient ``(K,)`` and minus its Hessian ``(K, K)``."""

    value: float
    gradient: Array
    information: Array


class ChangeTable:
    """Change statistics of all active pairs, in chunks, beside whether they are connected.

    :param terms: The terms.
    :param graph: The networks.
    :param dyads: The active pairs.
    :param offset: Known coefficients, ``(K,)``, NaN where they are to be learned; None: all are.
    :param copy: Which of the copies.
    """

    def __init__(
        self,
        terms: Terms,
        graph: EdgeSets,
        dyads: Dyads,
        offset: Array | None = None,
        copy: int = 0,
    ) -> None:
        dtype = np.float32 if dyads.count * len(terms) > _WIDE else np.float64
        free = np.ones(len(terms), bool) if offset is None else np.isnan(offset)
        self.chunks: list[tuple[Array, Array, Array]] = []
        start = copy * graph.num_nodes
        for i, j in dyads.chunks():
            pairs = Pairs(graph, i + start, j + start)
            change = terms.change(pairs)
            shift = change[:, ~free] @ offset[~free] if offset is not None else np.zeros(len(i))
            self.chunks.append((change[:, free].astype(dtype), pairs.there, shift))

    def derivatives(self, coefficients: Array) -> Derivatives:
        """At some coefficients, ``(K,)``."""
        size = len(coefficients)
        value, gradient, information = 0.0, np.zeros(size), np.zeros((size, size))
        for change, there, shift in self.chunks:
            change = change.astype(float, copy=False)
            logit = change @ coefficients + shift
            value += float(np.sum(logit[there]) - np.logaddexp(0, logit).sum())
            chance = _sigmoid(logit)
            gradient += (there - chance) @ change
            information += (change * (chance * (1 - chance))[:, None]).T @ change
        return Derivatives(value, gradient, information)

    def gram(self) -> Array:
        """Sums of products of change statistics, ``(K, K)``."""
        wide = (change.astype(float, copy=False) for change, _, _ in self.chunks)
        return sum(change.T @ change for change in wide)

    def separates(self, direction: Array) -> bool:
        """Whether all pairs, as far as it says something, are as a direction tells."""
        largest, wrong = 0.0, 0.0
        for change, there, _ in self.chunks:
            side = np.where(there, 1, -1) * (change @ direction)
            largest = max(largest, float(side.max(initial=0)))
            wrong = max(wrong, float(-side.min(initial=0)))
        return largest > 0 and wrong <= 1e-5 * largest


def _sigmoid(logit: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))


def maximum_pseudolikelihood(
    table: ChangeTable, labels: Sequence[str], start: Array | None = None
) -> tuple[Array, Derivatives]:
    """Maximize the pseudolikelihood by Newton's method.

    :param table: Change statistics.
    :param labels: What the columns are called.
    :param start: Coefficients to start from; None: zeros.
    :returns: The estimate, and derivatives there.
    :raises ValueError: If columns are collinear, or there is no finite estimate, each named.

    .. note:: Costs some seven passes over the table.
    """
    _check_collinear(table, labels)
    point = np.zeros(len(labels)) if start is None else start
    now = table.derivatives(point)
    for number in range(_MOST_STEPS):
        step = _solve(now.information, now.gradient)
        decrement = float(step @ now.gradient)
        if decrement < 1e-18 * (1 + abs(now.value)):
            return point, now
        ahead, length = table.derivatives(point + step), 1.0
        while ahead.value < now.value - 1e-12 * abs(now.value) and length > 1e-6:
            length /= 2
            ahead = table.derivatives(point + length * step)
        point, now = point + length * step, ahead
        if number >= 12 and table.separates(step):
            raise ValueError(_no_estimate(step * _scales(table), labels))
        if decrement < 1e-12:  # quadratic convergence: this step was the last that matters
            return point, now
    raise ValueError(
        "Expected the pseudolikelihood to have a maximum, but Newton's method did not "
        "find it. Scale covariates to a standard deviation of about one."
    )


def _solve(matrix: Array, vector: Array) -> Array:
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix / scale / scale[:, None]
    return np.linalg.lstsq(scaled, vector / scale, rcond=1e-13)[0] / scale


def _scales(table: ChangeTable) -> Array:
    return np.sqrt(np.diag(table.gram()))


def _check_collinear(table: ChangeTable, labels: Sequence[str]) -> None:
    gram = table.gram()
    scale = np.sqrt(np.diag(gram))
    if (scale == 0).any():
        zero = [label for label, size in zip(labels, scale, strict=True) if size == 0]
        raise ValueError(
            f"Expected terms that active pairs can change, but {zero} are the same whatever the "
            "edges are. Drop them."
        )
    values, vectors = np.linalg.eigh(gram / scale / scale[:, None])
    if values[0] < 1e-11 * len(labels):
        involved = [
            label for label, entry in zip(labels, vectors[:, 0], strict=True) if abs(entry) > 1e-4
        ]
        raise ValueError(
            f"Expected terms of which none follows from the others, but {involved} are collinear. "
            "Drop one of them."
        )


def _no_estimate(direction: Array, labels: Sequence[str]) -> str:
    largest = np.abs(direction).max()
    parts = [
        f"{label} to {'plus' if entry > 0 else 'minus'} infinity"
        for label, entry in zip(labels, direction, strict=True)
        if abs(entry) > 1e-3 * largest
    ]
    return (
        "Expected a network for which the estimate exists, but the pseudolikelihood rises without "
        f"bound as coefficients go: {', '.join(parts)} (separation). These statistics are at the "
        "least or the largest value that they can have. Drop the terms, or hold the pairs that "
        "they tell apart fixed by active."
    )
