"""Posteriors without a partition function whose intervals mean what they say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.estimators import Estimator
from pyro_rm.missing.missing_data import GibbsFill
from pyro_rm.posteriors.calibrated_posterior import CalibratedPosterior
from pyro_rm.posteriors.calibration_run import CalibrationRun, Sampler
from pyro_rm.posteriors.louis_correction import Fills
from pyro_rm.posteriors.unconstrained_program import ABOUT_MISSING, UnconstrainedProgram
from pyro_rm.poutine.messenger import SiteLosses


def calibrate(
    model: Any,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    estimator: SiteLosses | None = None,
    sampler: Sampler | None = None,
    method: Literal["affine", "scalar", "bootstrap"] = "affine",
    units: tuple[str, ...] | None = None,
    values: Mapping[str, Tensor] | None = None,
    num_fills: int = 50,
    num_draws: int = 1000,
    progress: bool = True,
) -> CalibratedPosterior:
    r"""Draw from a generalized posterior and calibrate the draws.

    The posterior of a loss that is not a negative log-likelihood,
    :math:`p(\theta) e^{-w \sum_n L_n(\theta)}`, is too narrow or too wide, by a different factor
    in each direction. Two steps repair that:

    1. the learning rate :math:`w = p / \operatorname{tr}(H^{-1} K)` [1], with which the
       posterior is sampled, makes it right on average over directions;
    2. an affine map of the draws [2] gives them the covariance of the estimate,
       :math:`(wH + P)^{-1} (w^2 K + P) (wH + P)^{-1}`, in unconstrained space, about the mode:
       the estimate is the mode, and a skewed posterior, such as that of ratio matching, has its
       mean elsewhere. Where there is no mode among the draws, as where scales have priors, their
       mean takes its place, with a warning.

    See :class:`~pyro_rm.posteriors.sandwich.Sandwich` for :math:`H`, :math:`K` and :math:`P`. Other
    observed sites of the program, with a normalized likelihood, count as part of the prior.
    Only *marginal* intervals of parameters are calibrated; joint regions are not. Pseudoposteriors
    of random fields are calibrated with other means in [4, 5, 6]; of whether a coupling is there
    at all, see :meth:`~pyro_rm.networks.coupled_network.CoupledNetwork.edge_evidence`.

    Where cells are missing, NaN and inactive, fit the program by
    :class:`~pyro_rm.RatioMatchingLoss`, which fills them, and pass the estimate as ``values``.
    Draws are then normal about it, with :math:`w = 1`, scores averaged over fills, and Louis'
    correction [3] of :math:`H`, without which intervals are too short: ``uncalibrated`` shows it.

    :param model: A Pyro program whose latent sites are continuous and whose observed data are
        scored by energy-based models; not yet handled by ``ratio_matching``.
    :param model_args: The program's arguments.
    :param model_kwargs: Its keyword arguments.
    :param estimator: How sites score: a deterministic estimator, or one by site; the exact
        sum of the pseudolikelihood if None. Beside ``values``, how fills score, or a
        :class:`~pyro_rm.infer.GibbsFill`.
    :param sampler: Called as ``sampler(handled_model, *model_args, **model_kwargs)``, twice,
        at the weights 1 and :math:`w`; returns draws of all latent sites, from NUTS or a
        guide. None: a normal approximation at the mode in unconstrained space.
    :param method: ``"affine"``; ``"scalar"``, the weight only; or ``"bootstrap"``, modes under
        random weights of the data, which needs no curvature.
    :param units: Names of the plates whose members are independent; all plates if None. Name
        the plate of groups where data within a group depend on each other.
    :param values: An estimate to draw about, latent sites by name, e.g. ``AutoDelta.median()``.
    :param num_fills: Fills of missing cells to average over, at least 2.
    :param num_draws: Draws of the normal approximation or of the bootstrap.
    :param progress: Whether the bootstrap and the fills show a progress bar.
    :returns: The draws, their weight, and warnings, which are also issued.
    :raises TypeError: If the arguments are not a tuple.
    :raises ValueError: If an option is unknown, the program cannot be calibrated (latent
        energy-based or discrete sites, sampled estimates, subsamples, missing cells without
        ``values``), or has no finite mode.

    Example:

        >>> import torch, pyro, pyro.distributions as dist
        >>> from pyro_rm.distributions import Ising
        >>> def model(x):
        ...     field = pyro.sample("field", dist.Normal(0, 1).expand([3]).to_event(1))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", Ising(torch.zeros(3, 3), field, active=~x.isnan()), obs=x)
        >>> x = torch.rand(100, 3).round()
        >>> posterior = calibrate(model, (x,), num_draws=500)
        >>> posterior.intervals()["field"].shape
        torch.Size([2, 3])
        >>> x[::9, 0] = torch.nan
        >>> values = {"field": torch.zeros(3)}
        >>> calibrate(model, (x,), values=values, num_fills=9, progress=False).method
        'normal'

    .. note:: Costs two runs of the sampler, two searches for a mode and ``6 p`` backward
        passes. The bootstrap, which replaces them with a warning where the curvature is
        indefinite (ratio matching far from its optimum), costs ``num_draws`` searches for a
        mode. Fills cost ``4 p`` backward passes each; their noise in the estimate itself is not
        counted, so average many iterations of the fit.

    **References**

    [1] Francesco Pauli, Walter Racugno, Laura Ventura (2011) "Bayesian composite marginal
        likelihoods", Statistica Sinica 21.

    [2] Mathieu Ribatet, Daniel Cooley, Anthony Davison (2012) "Bayesian inference from
        composite likelihoods, with an application to spatial extremes", Statistica Sinica 22.

    [3] Thomas Louis (1982) "Finding the observed information matrix when using the EM
        algorithm", Journal of the Royal Statistical Society B 44(2).

    [4] Julien Stoehr, Nial Friel (2015) "Calibration of conditional composite likelihood for
        Bayesian inference on Gibbs random fields", AISTATS. arXiv:1502.01997.

    [5] Lampros Bouranis, Nial Friel, Florian Maire (2017) "Bayesian model selection for
        exponential random graph models via adjusted pseudolikelihoods", arXiv:1706.06344.

    [6] Giuseppe Arena, Maarten Marsman (2026) "Bayesian inference for discrete Markov random fields
        through coordinate rescaling", arXiv:2601.17205.
    """
    _check_options(model_args, estimator, sampler, method, values)
    check_counts(2, num_draws=num_draws, num_fills=num_fills)
    chosen = estimator or Estimator(num_neighbors="all")
    scored = chosen if values is None else Fills(chosen)
    program = UnconstrainedProgram(model, scored, model_args, model_kwargs, units=units)
    if program.num_units < 2:
        raise ValueError(
            "Expected several independent units, but got one: the variability of the loss "
            "cannot be estimated. Put data in a pyro.plate."
        )
    run = CalibrationRun(program, sampler, num_draws, progress)
    if values is not None:
        result = run.about(values, num_fills)
    else:
        result = run.bootstrap() if method == "bootstrap" else run.weighted(method)
    for note in result.warnings:
        warnings.warn(note, stacklevel=2)
    return result


def _check_options(
    model_args: Any,
    estimator: SiteLosses | None,
    sampler: Sampler | None,
    method: str,
    values: Mapping[str, Tensor] | None,
) -> None:
    """Refuse arguments that are of the wrong kind or exclude each other."""
    if not isinstance(model_args, tuple):
        raise TypeError(
            f"Expected model_args as a tuple, but got {type(model_args).__name__}. Say "
            "calibrate(model, (data,))."
        )
    if method not in ("affine", "scalar", "bootstrap"):
        raise ValueError(f"Expected method 'affine', 'scalar' or 'bootstrap', but got {method!r}.")
    if values is not None and (sampler is not None or method != "affine"):
        raise ValueError(
            "Expected values without a sampler or a method, but got both. Draws about a given "
            "estimate are normal; leave one out."
        )
    if values is None and isinstance(estimator, GibbsFill):
        raise ValueError(f"Expected a deterministic estimator, but got GibbsFill. {ABOUT_MISSING}")
