"""Minimize a smooth function plus a penalty with a proximal map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Smooth = Callable[[Tensor, bool], tuple[float, Tensor | None]]
ProximalMap = Callable[[Tensor, Tensor], Tensor]


def proximal_minimize(
    smooth: Smooth,
    proximal: ProximalMap,
    start: Tensor,
    metric: Tensor,
    *,
    tolerance: float,
    curvature: float = 1.0,
    max_steps: int = 500,
) -> tuple[Tensor, float]:
    r"""Accelerated proximal gradient descent with backtracking and restarts [1, 2].

    :param smooth: Takes a point and whether a gradient is wanted; returns value and gradient.
    :param proximal: Takes a point and steps, one a coordinate; returns the minimizer of the
        penalty plus :math:`\tfrac12 \sum_i (\theta_i - \text{point}_i)^2 / \text{steps}_i`.
    :param start: Where to start, a vector.
    :param metric: Positive curvatures, one a coordinate, up to a common factor.
    :param tolerance: Stop where no coordinate of the generalized gradient is larger.
    :param curvature: First guess of the common factor.
    :param max_steps: Bound on gradients.
    :returns: The minimizer and the common factor that was found.

    Example:

        >>> def smooth(point, gradient):
        ...     return float((point - 3) @ (point - 3)) / 2, point - 3
        >>> shrink = lambda point, steps: point - point.clamp(-steps, steps)  # |theta|
        >>> one = torch.ones(1)
        >>> proximal_minimize(smooth, shrink, 0 * one, one, tolerance=1e-6)[0]
        tensor([2.])

    .. note:: Costs one gradient and one value an iteration.

    **References**

    [1] Amir Beck, Marc Teboulle (2009) "A fast iterative shrinkage-thresholding algorithm
        for linear inverse problems", SIAM Journal on Imaging Sciences 2(1).
    [2] Brendan O'Donoghue, Emmanuel Candes (2015) "Adaptive restart for accelerated
        gradient schemes", Foundations of Computational Mathematics 15.
    """
    point, ahead, momentum = start, start, 1.0
    for _ in range(max_steps):
        value, gradient = smooth(ahead, True)
        assert gradient is not None
        rounding = 10 * torch.finfo(start.dtype).eps * abs(value)
        while True:
            steps = 1 / (curvature * metric)
            new = proximal(ahead - steps * gradient, steps)
            move = new - ahead
            bound = value + float(gradient @ move) + 0.5 * float(move @ (move / steps))
            if smooth(new, False)[0] <= bound + rounding or curvature > 1e12:
                break
            curvature *= 2
        if float((move / steps).abs().max()) <= tolerance:
            return new, curvature
        if float((ahead - new) @ (metric * (new - point))) > 0:
            momentum = 1.0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / following * (new - point)
        point, momentum = new, following
    return point, curvature
