"""Standard errors of estimates from filled data, by Louis' correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm import trange

from pyro_rm.checks import check_counts
from pyro_rm.estimators import Estimator
from pyro_rm.missing.missing_data import GibbsFill
from pyro_rm.posteriors.sandwich import gradient, jacobian, symmetric, variability_of
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.target import Target

_STEPS_TO_FORGET = 20


def filled_posterior(
    model: Any,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    values: Mapping[str, Tensor],
    fill: GibbsFill | None = None,
    num_fills: int = 50,
    num_draws: int = 1000,
    units: tuple[str, ...] | None = None,
    corrected: bool = True,
    progress: bool = True,
) -> dict[str, Tensor]:
    r"""Draws around an estimate from data with missing cells, as wide as its error.

    The estimate solves :math:`\sum_n \bar g_n + \nabla(-\log p) = 0`, with the scores
    :math:`g_n = \nabla L_n` of observed cells averaged over fills of the others. Fills depend on
    the parameters too, so that the equation's derivative is not the mean Hessian, but [1]

    .. math::

        A = \sum_n \overline{\nabla^2 L_n} - \operatorname{Cov}(g_n, \nabla E_n),

    with the covariance over fills. Draws are normal in unconstrained space, with covariance
    :math:`(A + P)^{-1} (K + P) (A + P)^{-\top}`, where :math:`K` is the variability of
    :math:`\bar g_n` and :math:`P` the prior's curvature. Without the correction, the covariance
    over fills, intervals are too short. Weights of rows (``poutine.scale``) enter :math:`L_n`.

    :param model: A Pyro program, as for :func:`~pyro_rm.infer.calibrate`, with NaN in inactive
        cells where data are missing.
    :param model_args: What the program is called with.
    :param model_kwargs: The same, by name.
    :param values: The estimate, latent sites by name, e.g. ``AutoDelta.median()``.
    :param fill: How it was fitted; :class:`~pyro_rm.infer.GibbsFill` with the exact sum of the
        pseudolikelihood if None.
    :param num_fills: Fills to average over, at least 2.
    :param num_draws: Draws to return.
    :param units: Names of the plates whose members are independent; all plates if None.
    :param corrected: False takes fills for data, to see what the correction does.
    :param progress: Whether to show one.
    :returns: Latent sites by name, ``num_draws + ...``; their standard deviations are the
        standard errors.
    :raises ValueError: As :func:`~pyro_rm.infer.calibrate`, or if :math:`A + P` is singular.

    Example:

        >>> import pyro, pyro.distributions as dist
        >>> from pyro_rm.distributions import EnergyModel
        >>> from pyro_rm import StateSpace
        >>> from pyro_rm.energies import PairwiseFunction
        >>> def model(x):
        ...     field = pyro.sample("field", dist.Normal(0, 9).expand([2]).to_event(1))
        ...     energy = PairwiseFunction(torch.zeros(2, 2), field, StateSpace(2))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", EnergyModel(energy, active=~x.isnan()), obs=x)
        >>> x = torch.tensor([0.0, 1.0, torch.nan, torch.nan]).repeat(50).view(-1, 2)
        >>> draws = filled_posterior(model, (x,), values={"field": torch.zeros(2)})
        >>> draws["field"].shape
        torch.Size([1000, 2])

    .. note:: Costs ``3 p`` backward passes a fill. The noise of the fills in the estimate
        itself is not counted: average many iterations.

    **References**

    [1] Thomas Louis (1982) "Finding the observed information matrix when using the EM
        algorithm", Journal of the Royal Statistical Society B 44(2).
    """
    check_counts(num_draws=num_draws)
    check_counts(2, num_fills=num_fills)
    fill = GibbsFill(Estimator(num_neighbors="all")) if fill is None else fill
    chains: dict[str, _Chain] = {}

    def chain_at(site: str) -> _Chain:
        if site not in chains:
            chains[site] = _Chain(
                GibbsFill(fill.estimator, num_steps=_STEPS_TO_FORGET, step=fill.step)
            )
        return chains[site]

    program = UnconstrainedProgram(model, chain_at, model_args, model_kwargs, units=units)
    point = program.flatten({name: value[None] for name, value in values.items()})[0]
    moments = _moments(program, point, chains, num_fills, progress)
    covariance = _covariance(program, point, moments, corrected)
    factor = torch.linalg.cholesky(covariance)
    noise = torch.randn(num_draws, len(point), dtype=factor.dtype, device=factor.device)
    return program.unflatten((point + noise @ factor.mT).to(point.dtype))


def _covariance(
    program: UnconstrainedProgram, point: Tensor, moments: _Moments, corrected: bool
) -> Tensor:
    """The covariance of the estimate at a point."""
    slope = moments.slope if corrected else moments.hessian
    point = point.clone().requires_grad_()
    prior_hessian = symmetric(jacobian(gradient(program.terms(point)[1], point), point))
    informed = int((moments.scores != 0).any(0).sum())
    middle = variability_of(moments.scores, program.ratios, informed) + prior_hessian
    inverse, singular = torch.linalg.inv_ex(slope + prior_hessian)
    if singular or not inverse.isfinite().all():
        raise ValueError(
            "Expected an estimate that data and prior determine, but the curvature there is "
            "singular. Use proper priors."
        )
    return symmetric(inverse @ middle @ inverse.mT)


@dataclass(frozen=True)
class _Moments:
    """Over fills: mean Hessian and slope of the score, ``(p, p)``, and mean scores ``(N, p)``."""

    hessian: Tensor
    slope: Tensor
    scores: Tensor


def _moments(
    program: UnconstrainedProgram,
    point: Tensor,
    chains: dict[str, _Chain],
    num_fills: int,
    progress: bool,
) -> _Moments:
    """Draw fills, and what is averaged over them."""
    point = point.clone().requires_grad_()
    ratios = program.ratios.double()
    hessian = product = scores = forces = torch.zeros((), dtype=torch.double, device=point.device)
    for _ in trange(num_fills, desc="fill", disable=not progress):
        for chain in chains.values():
            chain.gives_energies, chain.moves = False, True
        losses = program.losses(point)
        for chain in chains.values():
            chain.gives_energies = True
        energies = program.losses(point, scaled=False)  # a row's weight is in its score
        score, force = jacobian(losses, point), jacobian(energies, point)
        hessian = hessian + jacobian(gradient(program.ratios @ losses, point), point)
        product = product + (ratios * score.mT) @ force
        scores, forces = scores + score, forces + force
    hessian, scores, forces = hessian / num_fills, scores / num_fills, forces / num_fills
    covariance = product / num_fills - (ratios * scores.mT) @ forces
    return _Moments(hessian, hessian - covariance, scores)


@dataclass(eq=False)
class _Chain:
    """The fills of one site: moved on demand, and scored by the objective or by the energy."""

    fill: GibbsFill
    moves: bool = True
    gives_energies: bool = False
    _filled: Tensor | None = field(default=None, init=False)

    def is_deterministic(self, target: Target) -> bool:
        """Between moves it is."""
        return self.fill.estimator.is_deterministic(target)

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Losses or energies of the filled data, ``batch_shape``."""
        if target.active is not None and (self.moves or self._filled is None):
            missing = value.isnan() & ~target.active
            self._filled, self.moves = self.fill.filled(target, value, missing), False
        filled = value if self._filled is None else self._filled
        if self.gives_energies:
            return target(target.encode(filled))
        return self.fill.estimator(target, filled)
