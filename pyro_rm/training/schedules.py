"""Learning rates over a run."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from pyro_rm.checks import check_counts


def warmup_cosine(
    optimizer: Optimizer, num_steps: int, *, num_warmup_steps: int = 200, final_share: float = 0.0
) -> LambdaLR:
    """A linear rise to the optimizer's learning rate, then half a cosine down [1].

    :param optimizer: Its learning rates are the peak.
    :param num_steps: Length of the run.
    :param num_warmup_steps: Length of the rise.
    :param final_share: The share of the peak that is left at the end, in [0, 1].
    :returns: A schedule to step once a step.
    :raises ValueError: If an option is out of range.

    Example:

        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = warmup_cosine(optimizer, 4, num_warmup_steps=2)
        >>> rates = [schedule.get_last_lr()[0]]
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     schedule.step()
        ...     rates.append(schedule.get_last_lr()[0])
        >>> rates
        [0.5, 1.0, 1.0, 0.5, 0.0]

    **References**

    [1] Ilya Loshchilov, Frank Hutter (2017) "SGDR: stochastic gradient descent with warm
        restarts", ICLR.
    """
    check_counts(num_steps=num_steps)
    check_counts(0, num_warmup_steps=num_warmup_steps)
    if num_warmup_steps >= num_steps:
        raise ValueError(
            f"Expected num_warmup_steps from 0 to num_steps - 1 = {num_steps - 1}, "
            f"but got {num_warmup_steps}."
        )
    if not 0 <= final_share <= 1:
        raise ValueError(f"Expected final_share in [0, 1], but got {final_share}.")

    def share(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / num_warmup_steps
        fallen = min(1.0, (step - num_warmup_steps) / (num_steps - num_warmup_steps))
        return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * fallen))

    return LambdaLR(optimizer, share)
