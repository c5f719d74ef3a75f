"""Modes of generalized posteriors, and the bootstrap of them."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import trange

from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram


def posterior_mode(
    program: UnconstrainedProgram, start: Tensor, weights: Tensor | float = 1.0
) -> Tensor:
    """The mode of a program's posterior in unconstrained space, by L-BFGS.

    :param program: The program.
    :param start: Where to start, ``(p,)``.
    :param weights: Learning rates, one number or one for each unit.
    :returns: Shape ``(p,)``.
    :raises ValueError: If no finite mode was found.

    .. note:: Costs some tens of runs of the program, forward and backward.
    """
    point = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [point],
        max_iter=300,
        history_size=20,
        tolerance_grad=torch.finfo(point.dtype).eps ** 0.5 * program.num_units**0.5,
        tolerance_change=torch.finfo(point.dtype).eps,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        potential = program.potential(point, weights)
        (point.grad,) = torch.autograd.grad(potential, point)
        return potential

    optimizer.step(closure)
    if not point.isfinite().all():
        raise ValueError(
            "Expected a posterior with a finite mode, but the search diverged. Use proper "
            "priors, or pass a sampler such as NUTS."
        )
    return point.detach()


def bootstrap_modes(
    program: UnconstrainedProgram, start: Tensor, num_draws: int, *, progress: bool = True
) -> Tensor:
    """Modes under random weights of the units: the Bayesian bootstrap of an estimate [1].

    Needs neither curvature nor a learning rate, and is valid for any loss. The prior is not
    reweighted.

    :param program: The program.
    :param start: A point near the modes, ``(p,)``.
    :param num_draws: How many modes.
    :param progress: Whether to show a progress bar.
    :returns: Shape ``(num_draws, p)``.

    .. note:: Costs ``num_draws`` searches for a mode.

    **References**

    [1] S. P. Lyddon, C. C. Holmes, S. G. Walker (2019) "General Bayesian updating and the
        loss-likelihood bootstrap", Biometrika 106(2).
    """
    modes = []
    for _ in trange(num_draws, desc="bootstrap", disable=not progress):
        weights = torch.empty_like(program.ratios).exponential_()
        modes.append(posterior_mode(program, start, weights / weights.mean()))
    return torch.stack(modes)
