"""Posteriors without a partition function whose intervals mean what they say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.estimators import Estimator
from pyro_rm.posteriors.affine_adjustment import affine_adjustment
from pyro_rm.posteriors.posterior_modes import bootstrap_modes, posterior_mode
from pyro_rm.posteriors.sandwich import Sandwich, sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.poutine import SiteLosses, ratio_matching

Method = Literal["affine", "scalar", "bootstrap"]
Sampler = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class CalibratedPosterior:
    """Draws whose marginal intervals are calibrated, and how they came about.

    Returned by :func:`calibrate`, whose example shows it.

    :param draws: Latent sites by name, ``num_draws + ...``; for ``Predictive`` and the like.
    :param uncalibrated: The same before the affine map; empty for the bootstrap.
    :param weight: Learning rate that the draws were sampled with; 1 for the bootstrap.
    :param eigenvalues: Of :math:`H^{-1} K` in the directions that data inform: all about 1 for
        a likelihood, and all equal where a learning rate alone calibrates. None if the
        curvature was not positive definite.
    :param method: What was done, ``"affine"``, ``"scalar"`` or ``"bootstrap"``.
    :param warnings: What to know before using the intervals.
    """

    draws: dict[str, Tensor]
    uncalibrated: dict[str, Tensor]
    weight: float
    eigenvalues: Tensor | None
    method: Method
    warnings: tuple[str, ...]

    def intervals(self, level: float = 0.9) -> dict[str, Tensor]:
        """Central credible intervals of each entry, stacked in front: ``(2,) + ...``.

        :param level: Their probability, between 0 and 1.
        :raises ValueError: If the level is out of range.
        """
        if not 0 < level < 1:
            raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2])
        return {name: draw.quantile(tails.to(draw), dim=0) for name, draw in self.draws.items()}


def calibrate(
    model: Any,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    estimator: SiteLosses | None = None,
    sampler: Sampler | None = None,
    method: Method = "affine",
    units: tuple[str, ...] | None = None,
    num_draws: int = 1000,
    progress: bool = True,
) -> CalibratedPosterior:
    r"""Draw from a generalized posterior and calibrate the draws.

    The posterior of a loss that is no likelihood, :math:`p(\theta) e^{-w \sum_n L_n(\theta)}`,
    is too narrow or too wide, in each direction by another factor. Two steps repair that:

    1. the learning rate :math:`w = p / \operatorname{tr}(H^{-1} K)` [1], with which the
       posterior is sampled, makes it right on average over directions;
    2. an affine map of the draws [2] gives them the covariance of the estimate,
       :math:`(wH + P)^{-1} (w^2 K + P) (wH + P)^{-1}`, in unconstrained space, about the mode:
       the estimate is the mode, and a skewed posterior, as that of ratio matching is, has its
       mean elsewhere. Where no mode is among the draws, as where scales have priors, their mean
       takes its place, with a warning.

    See :class:`~pyro_rm.posteriors.sandwich.Sandwich` for :math:`H`, :math:`K` and :math:`P`. Other
    observed sites of the program, with a normalized likelihood, count as part of the prior.
    What is calibrated are *marginal* intervals of parameters; joint regions are not.

    :param model: A Pyro program whose latent sites are continuous and whose observed data are
        scored by energy-based models; not handled yet.
    :param model_args: What the program is called with.
    :param model_kwargs: The same, by name.
    :param estimator: How sites score, a deterministic estimator, or one by site; the exact
        sum of the pseudolikelihood if None.
    :param sampler: Called as ``sampler(handled_model, *model_args, **model_kwargs)``, twice,
        at the weights 1 and :math:`w`; returns draws of all latent sites, by NUTS or from a
        guide. None: a normal approximation at the mode in unconstrained space.
    :param method: ``"affine"``; ``"scalar"``, the weight only; or ``"bootstrap"``, modes under
        random weights of the data, which needs no curvature.
    :param units: Names of the plates whose members are independent; all plates if None. Say
        the plate of groups where data of a group depend on each other.
    :param num_draws: Draws of the normal approximation or of the bootstrap.
    :param progress: Whether the bootstrap shows one.
    :returns: The draws, their weight, and warnings, which are also given as such.
    :raises TypeError: If the arguments are not a tuple.
    :raises ValueError: If an option is unknown, the program cannot be calibrated (latent
        energy-based or discrete sites, sampled estimates, subsamples), or has no finite mode.

    Example:

        >>> import pyro, pyro.distributions as dist
        >>> from pyro_rm.distributions import Ising
        >>> def model(x):
        ...     field = pyro.sample("field", dist.Normal(0, 1).expand([3]).to_event(1))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", Ising(torch.zeros(3, 3), field), obs=x)
        >>> x = torch.rand(100, 3).round()
        >>> posterior = calibrate(model, (x,), num_draws=500)
        >>> posterior.intervals()["field"].shape
        torch.Size([2, 3])

    .. note:: Costs two runs of the sampler, two searches for a mode and ``6 p`` backward
        passes. The bootstrap, taken with a warning where the curvature is indefinite (ratio
        matching far from its optimum), costs ``num_draws`` searches for a mode.

    **References**

    [1] Francesco Pauli, Walter Racugno, Laura Ventura (2011) "Bayesian composite marginal
        likelihoods", Statistica Sinica 21.

    [2] Mathieu Ribatet, Daniel Cooley, Anthony Davison (2012) "Bayesian inference from
        composite likelihoods, with an application to spatial extremes", Statistica Sinica 22.
    """
    if not isinstance(model_args, tuple):
        raise TypeError(
            f"Expected model_args as a tuple, but got {type(model_args).__name__}. Say "
            "calibrate(model, (data,))."
        )
    if method not in ("affine", "scalar", "bootstrap"):
        raise ValueError(f"Expected method 'affine', 'scalar' or 'bootstrap', but got {method!r}.")
    check_counts(2, num_draws=num_draws)
    chosen = estimator or Estimator(num_neighbors="all")
    program = UnconstrainedProgram(model, chosen, model_args, model_kwargs, units=units)
    if program.num_units < 2:
        raise ValueError(
            "Expected several independent units, but got one: the variability of the loss "
            "cannot be seen. Put data in a pyro.plate."
        )
    run = _Run(program, sampler, num_draws, progress)
    result = run.bootstrap() if method == "bootstrap" else run.weighted(method)
    for note in result.warnings:
        warnings.warn(note, stacklevel=2)
    return result


@dataclass
class _Run:
    """One calibration: the program, how it is sampled, and what was noted on the way."""

    program: UnconstrainedProgram
    sampler: Sampler | None
    num_draws: int
    progress: bool
    notes: list[str] = field(default_factory=list)

    def bootstrap(self) -> CalibratedPosterior:
        """Modes under random weights."""
        program = self.program
        start = posterior_mode(program, program.start)
        flat = bootstrap_modes(program, start, self.num_draws, progress=self.progress)
        return self._result(flat, None, 1.0, None, "bootstrap")

    def weighted(self, method: Method) -> CalibratedPosterior:
        """Draws under the calibrated weight, and their affine map."""
        pilot = self._pilot()
        at_pilot = sandwich_at(self.program, pilot)
        eigenvalues = at_pilot.eigenvalues()
        if eigenvalues is None:
            self.notes.append(
                "The loss is not convex at the posterior's center, so no weight can be found: "
                "took the bootstrap. The pseudolikelihood is convex for exponential families."
            )
            return self.bootstrap()
        weight = len(eigenvalues) / float(eigenvalues.sum())
        enough = at_pilot.num_units >= 3 * at_pilot.num_parameters
        if not enough:
            self.notes.append(
                f"{at_pilot.num_units} independent units are few for {at_pilot.num_parameters} "
                "parameters (less than three each): calibrated by a scalar weight only."
            )
        flat, center, matrices = self._draw(weight, pilot)
        adjusted = self._adjusted(flat, weight, center, matrices) if enough else None
        if method == "scalar" or adjusted is None:
            return self._result(flat, flat, weight, eigenvalues, "scalar")
        return self._result(adjusted, flat, weight, eigenvalues, "affine")

    def _pilot(self) -> Tensor:
        """The center of the posterior of weight 1."""
        if self.sampler is None:
            return posterior_mode(self.program, self.program.start)
        return self._center(self._sampled(1.0), 1.0)

    def _center(self, flat: Tensor, weight: float) -> Tensor:
        """The mode, if it is no further from the draws' mean than they are; else their mean."""
        mean = flat.mean(0)
        with suppress(ValueError):  # no finite mode
            mode = posterior_mode(self.program, mean, weight)
            off = (mode - mean).double()
            precision = torch.linalg.pinv(flat.double().mT.cov(), hermitian=True)
            if off @ precision @ off <= len(off):
                return mode
        self.notes.append(
            f"There is no mode among the draws of weight {weight:.3g}, as where scales have "
            "priors: calibrated about their mean."
        )
        return mean

    def _draw(self, weight: float, near: Tensor) -> tuple[Tensor, Tensor, Sandwich]:
        """Draws at a weight, their center, and the matrices there."""
        program = self.program
        if self.sampler is not None:
            flat = self._sampled(weight)
            center = self._center(flat, weight)
            return flat, center, sandwich_at(program, center)
        mode = posterior_mode(program, near, weight)
        matrices = sandwich_at(program, mode)
        covariance = matrices.posterior_covariance(weight)
        if covariance is None:
            raise ValueError(
                "Expected a posterior with a normal approximation, but it is flat or not "
                "concave at its mode. Pass a sampler such as NUTS."
            )
        factor = torch.linalg.cholesky(covariance)
        noise = torch.randn(self.num_draws, len(mode), dtype=factor.dtype, device=factor.device)
        return (mode + noise @ factor.mT).to(mode.dtype), mode, matrices

    def _adjusted(
        self, flat: Tensor, weight: float, center: Tensor, matrices: Sandwich
    ) -> Tensor | None:
        """Draws with the calibrated covariance; None, with a note, where there is none."""
        posterior = matrices.posterior_covariance(weight)
        if posterior is None:
            self.notes.append(
                "The posterior is not log-concave at its center: took the draws' covariance "
                "for its curvature."
            )
            posterior = flat.double().mT.cov()
        covariance = matrices.calibrated_covariance(weight, posterior)
        if torch.linalg.cholesky_ex(covariance)[1]:
            self.notes.append(
                "The calibrated covariance is not positive definite: calibrated by a scalar "
                "weight only."
            )
            return None
        return affine_adjustment(flat, covariance, center)

    def _sampled(self, weight: float) -> Tensor:
        program = self.program
        handled = ratio_matching(program.model, program.estimators, weight=weight)
        assert self.sampler is not None
        draws = self.sampler(handled, *program.model_args, **program.model_kwargs)
        return program.flatten(draws)

    def _result(
        self,
        flat: Tensor,
        before: Tensor | None,
        weight: float,
        eigenvalues: Tensor | None,
        method: Method,
    ) -> CalibratedPosterior:
        uncalibrated = {} if before is None else self.program.unflatten(before)
        draws = self.program.unflatten(flat)
        return CalibratedPosterior(
            draws, uncalibrated, weight, eigenvalues, method, tuple(self.notes)
        )
