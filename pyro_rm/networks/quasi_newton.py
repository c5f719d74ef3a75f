"""Quasi-Newton minimization of one smooth function or of many at once, in a given metric."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_HISTORY = 10
_HALVINGS = 30


@torch.no_grad()
def quasi_newton(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    metric: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    r"""Minimize by L-BFGS [1] whose first guess of the inverse Hessian is a given metric.

    :param function: From points, ``(B, p)``, to values, ``(B,)``, and gradients, ``(B, p)``, one
        function for each row.
    :param metric: From gradients to steps, both ``(B, p)``; a positive definite map of each row.
    :param start: Where to start, ``(B, p)``.
    :param tolerance: Of the gradient's entries.
    :param max_steps: Bound on steps.
    :returns: Points, ``(B, p)``, and which of them arrived, ``(B,)``.

    Example:

        >>> curvature = torch.tensor([1.0, 9.0])
        >>> bowl = lambda x: ((curvature * x * x).sum(1) / 2, curvature * x)
        >>> point, arrived = quasi_newton(
        ...     bowl, lambda g: g / curvature, torch.ones(1, 2), tolerance=1e-6, max_steps=5)
        >>> point, arrived
        (tensor([[0., 0.]]), tensor([True]))

    .. note:: Costs one value and gradient a step, more where the function rises and a step is
        halved, and one metric.

    **References**

    [1] Dong Liu, Jorge Nocedal (1989) "On the limited memory BFGS method for large scale
        optimization", Mathematical Programming 45.
    """
    point, history = start, _History()
    value, slope = function(point)
    left = slope.abs().amax(1)
    for _ in range(max_steps):
        if bool((left <= tolerance).all()):
            break
        move = history.direction(slope, metric)
        fall = (slope * move).sum(1)
        rounding = 10 * torch.finfo(value.dtype).eps * value.abs()
        share = (left > tolerance).to(value)  # what has arrived stays
        for _ in range(_HALVINGS):
            new = point - share[:, None] * move
            after, gradient = function(new)
            rises = ~(after <= value - 1e-4 * share * fall + rounding)
            if not bool(rises.any()):
                break
            share = torch.where(rises, share / 2, share)
        else:
            share = torch.where(rises, 0, share)  # no step is small enough: these stay
            new = point - share[:, None] * move
            after, gradient = function(new)
            if not bool((share > 0).any()):
                break
        history.add(new - point, gradient - slope)
        point, value, slope = new, after, gradient
        left = slope.abs().amax(1)
    return point, left <= tolerance


class _History:
    """The last steps and changes of gradients, and the direction that follows from them."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a pair, for the functions that it shows to be convex there."""
        product = (step * change).sum(1)
        inverse = torch.where(product > 0, 1 / product, 0)
        self.pairs = [*self.pairs, (step, change, inverse)][-_HISTORY:]

    def direction(self, slope: Tensor, metric: Callable[[Tensor], Tensor]) -> Tensor:
        """The inverse Hessian, as far as it is known, times a gradient."""
        result, shares = slope, []
        for step, change, inverse in reversed(self.pairs):
            shares.append(inverse * (step * result).sum(1))
            result = result - shares[-1][:, None] * change
        result = metric(result)
        for step, change, inverse in self.pairs:
            share = shares.pop() - inverse * (change * result).sum(1)
            result = result + share[:, None] * step
        return result
