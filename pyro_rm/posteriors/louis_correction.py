"""The sandwich of data with missing cells: averages over fills, and Louis' correction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm import trange

from pyro_rm.estimators import Estimator
from pyro_rm.missing.missing_data import GibbsFill
from pyro_rm.posteriors.sandwich import Sandwich, jacobian, sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.poutine import SiteLoss
from pyro_rm.poutine.messenger import SiteLosses, _loss_at
from pyro_rm.target import Target

_STEPS_TO_FORGET = 20


def sandwiches_over_fills(
    program: UnconstrainedProgram, flat: Tensor, num_fills: int, *, progress: bool = True
) -> tuple[Sandwich, Sandwich]:
    r"""Two sandwiches of data with missing cells: fills taken for data, and Louis' correction.

    An estimate from fills solves :math:`\sum_n \bar g_n + \nabla(-\log p) = 0`, with the scores
    :math:`g_n = \nabla L_n` of observed cells averaged over fills of the others. Fills depend on
    the parameters too, so that the equation's derivative is not the mean Hessian, but [1]

    .. math::

        A = \sum_n \overline{\nabla^2 L_n} - \operatorname{Cov}(g_n, \nabla E_n),

    with the covariance over fills.

    :param program: A program whose estimators are :class:`Fills`.
    :param flat: The estimate, ``(p,)``.
    :param num_fills: Fills to average over, at least 2.
    :param progress: Whether to show a progress bar.
    :returns: One with the mean Hessian, and one with :math:`A` in its place.

    .. note:: Costs two runs of the program and ``4 p`` backward passes a fill.

    **References**

    [1] Thomas Louis (1982) "Finding the observed information matrix when using the EM
        algorithm", Journal of the Royal Statistical Society B 44(2).
    """
    fills, point = program.estimators, flat.detach().requires_grad_()
    assert isinstance(fills, Fills)
    fills.sites.clear()  # chains start at the estimate
    hessian = product = scores = forces = torch.zeros((), dtype=torch.double, device=flat.device)
    for _ in trange(num_fills, desc="fill", disable=not progress):
        fills.drawn.clear()
        found = sandwich_at(program, flat)
        fills.give_energies = True
        force = jacobian(program.losses(point, scaled=False), point)  # scores have rows' weights
        fills.give_energies = False
        product = product + (found.ratios * found.scores.mT) @ force
        hessian, scores, forces = hessian + found.hessian, scores + found.scores, forces + force
    mean = replace(found, hessian=hessian / num_fills, scores=scores / num_fills)
    covariance = (product - (mean.ratios * mean.scores.mT) @ forces) / (num_fills - 1)
    return mean, replace(mean, hessian=mean.hessian - covariance)


class Fills:
    """What scores the sites of a program by fills of their missing cells.

    Fills stay the same until ``drawn`` is cleared; chains start anew once ``sites`` is.

    :param estimators: How sites score once they are filled, a
        :class:`~pyro_rm.infer.GibbsFill` or its estimator. Others score data as they are.
    """

    def __init__(self, estimators: SiteLosses) -> None:
        self.give_energies = False
        self._estimators = estimators
        self.sites: dict[str, SiteLoss] = {}
        self.drawn: dict[str, Tensor] = {}

    def __call__(self, site: str) -> SiteLoss:
        """What scores a site."""
        if site not in self.sites:
            chosen = _loss_at(self._estimators, site)
            if isinstance(chosen, Estimator):
                chosen = GibbsFill(chosen)
            if isinstance(chosen, GibbsFill):
                fill = GibbsFill(chosen.estimator, num_steps=_STEPS_TO_FORGET, step=chosen.step)
                chosen = _FilledSite(site, fill, self)
            self.sites[site] = chosen
        return self.sites[site]


@dataclass(eq=False)
class _FilledSite:
    """The fill of one site, scored by the objective or by the energy."""

    site: str
    fill: GibbsFill
    fills: Fills

    def is_deterministic(self, target: Target) -> bool:
        """Whether the same fill gives the same estimate."""
        return self.fill.estimator.is_deterministic(target)

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Losses or energies of the filled data, ``batch_shape``."""
        drawn = self.fills.drawn
        if target.active is not None and self.site not in drawn:
            drawn[self.site] = self.fill.filled(target, value, value.isnan() & ~target.active)
        filled = drawn.get(self.site, value)
        if self.fills.give_energies:
            return target(target.encode(filled))
        return self.fill.estimator(target, filled)
