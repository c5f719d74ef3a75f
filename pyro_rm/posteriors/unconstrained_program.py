"""A Pyro program as a function of one flat vector of unconstrained parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro.distributions import TorchDistribution
from pyro.infer.autoguide.initialization import InitMessenger, init_to_median
from pyro.poutine import condition, trace
from pyro.poutine.subsample_messenger import _Subsample
from torch import Tensor
from torch.distributions import biject_to

from pyro_rm.estimators import Estimator
from pyro_rm.poutine.messenger import RatioMatchingMessenger, SiteLosses, unwrap

ABOUT_MISSING = (
    "Fit the program by RatioMatchingLoss, which fills missing cells, and pass the estimate, "
    "calibrate(..., values=guide.median()); or sum missing cells out, "
    "estimator=pyro_rm.infer.Marginalized()."
)


class UnconstrainedProgram:
    r"""The losses of independent units and the prior, as functions of the parameters.

    The parameters are the continuous latent sites of a Pyro program, in unconstrained space and
    in one vector :math:`\theta` of length :math:`p`. Units are independent of each other given
    :math:`\theta`: a unit is a datum, or a member of the plates ``units``. Sites scored by an
    energy-based model give the losses :math:`L_n(\theta)` of units; everything else (priors,
    normalized likelihoods, the transforms' volumes) gives :math:`-\log p(\theta)`.

    :param model: A Pyro program.
    :param estimators: What scores its energy-based sites; must be deterministic.
    :param model_args: The program's arguments.
    :param model_kwargs: Its keyword arguments.
    :param units: Names of the plates whose members are independent; all plates if None.
    :raises ValueError: If a latent site is discrete or drawn anew at each run, or an
        energy-based site has missing cells or is outside all plates of ``units``.

    Example:

        >>> import pyro.distributions as dist
        >>> from pyro_rm.distributions import Ising
        >>> from pyro_rm.estimators import Estimator
        >>> def model(x):
        ...     field = pyro.sample("field", dist.Normal(0, 1).expand([3]).to_event(1))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", Ising(torch.zeros(3, 3), field), obs=x)
        >>> program = UnconstrainedProgram(model, Estimator(), (torch.ones(5, 3),))
        >>> program.losses(torch.zeros(3))
        tensor([2.0794, 2.0794, 2.0794, 2.0794, 2.0794])

    .. note:: A call costs one run of the program.
    """

    def __init__(
        self,
        model: Any,
        estimators: SiteLosses,
        model_args: tuple[Any, ...] = (),
        model_kwargs: Mapping[str, Any] | None = None,
        *,
        units: tuple[str, ...] | None = None,
    ) -> None:
        self.model, self.estimators, self.units = model, estimators, units
        self.model_args, self.model_kwargs = model_args, dict(model_kwargs or {})
        with InitMessenger(init_to_median):
            prototype, energy_sites = self._run(model)
        self.transforms, self.shapes, pieces = {}, {}, []
        for name, site in prototype.iter_stochastic_nodes():
            if is_whole_plate(site["fn"]):
                continue
            _check_latent(name, site["fn"])
            self.transforms[name] = biject_to(site["fn"].support)
            value = self.transforms[name].inv(site["value"]).detach()
            self.shapes[name] = value.shape
            pieces.append(value.flatten())
        if not pieces:
            raise ValueError(
                "Expected latent sites in the program, but found none. Give the parameters "
                "priors, pyro.sample(name, prior)."
            )
        self.start = torch.cat(pieces)
        sites = [prototype.nodes[name] for name in energy_sites]
        ratios: dict[Any, Tensor] = {}
        for name, site in zip(energy_sites, sites, strict=True):
            _check_complete(name, site)
            key, losses = self._per_unit(name, site)
            ratios[key] = torch.full_like(losses.detach(), _subsampling_ratio(site))
        self.ratios = torch.cat(list(ratios.values()))

    @property
    def num_units(self) -> int:
        """How many independent units are observed."""
        return len(self.ratios)

    def terms(self, flat: Tensor, *, scaled: bool = True) -> tuple[Tensor, Tensor]:
        """The units' losses and the negative log prior.

        :param flat: Parameters, ``(p,)``.
        :param scaled: Whether rows' own weights (``poutine.scale``) are in their losses.
        :returns: Losses ``(num_units,)``, without the scale of subsampling, and a scalar.
        """
        points, values = self._points(flat), self.unflatten(flat)
        log_prior = flat.new_zeros(())
        for name, transform in self.transforms.items():
            volumes = transform.log_abs_det_jacobian(points[name], values[name])
            log_prior = log_prior + volumes.sum()
        with pyro.validation_enabled(False):
            run, energy_sites = self._run(condition(self.model, values))
        losses: dict[Any, Tensor] = {}
        for name, site in run.nodes.items():
            if name in energy_sites:
                key, loss = self._per_unit(name, site, scaled)
                losses[key] = losses[key] + loss if key in losses else loss
            elif site["type"] == "sample" and not isinstance(site["fn"], _Subsample):
                log_prior = log_prior + site["log_prob_sum"]
        return torch.cat(list(losses.values())), -log_prior

    def losses(self, flat: Tensor, *, scaled: bool = True) -> Tensor:
        """The units' losses, ``(num_units,)``; see :meth:`terms`."""
        return self.terms(flat, scaled=scaled)[0]

    def potential(self, flat: Tensor, weights: Tensor | float = 1.0) -> Tensor:
        """The negative log density of the generalized posterior, up to a constant.

        :param flat: Parameters, ``(p,)``.
        :param weights: Learning rates, one number or ``(num_units,)``.
        :returns: A scalar.
        """
        losses, prior = self.terms(flat)
        return (weights * self.ratios * losses).sum() + prior

    def flatten(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Draws of the latent sites, ``num_draws + ...`` each, as ``(num_draws, p)``."""
        missing = sorted(set(self.shapes) - set(draws))
        if missing:
            raise ValueError(
                f"Expected draws of all latent sites, but got none of {missing}. Give a mapping "
                "from names to draws, such as MCMC.get_samples() or Predictive(guide), or to "
                "values, such as guide.median()."
            )
        pieces = [self.transforms[name].inv(draws[name]) for name in self.shapes]
        return torch.cat([piece.reshape(len(piece), -1) for piece in pieces], -1).detach()

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Values of the latent sites by name, from ``(p,)`` or draws ``(num_draws, p)``."""
        return {name: self.transforms[name](point) for name, point in self._points(flat).items()}

    def _points(self, flat: Tensor) -> dict[str, Tensor]:
        """The latent sites by name, in unconstrained space."""
        pieces = flat.split([shape.numel() for shape in self.shapes.values()], -1)
        return {
            name: piece.reshape(flat.shape[:-1] + shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def _run(self, model: Any) -> tuple[Any, list[str]]:
        messenger = RatioMatchingMessenger(self.estimators, stochastic=False, strict=True)
        with messenger:
            run = trace(model).get_trace(*self.model_args, **self.model_kwargs)
        run.compute_log_prob()
        return run, list(messenger.models)

    def _per_unit(self, name: str, site: Any, scaled: bool = True) -> tuple[Any, Tensor]:
        """Which units a site belongs to, and its losses for each of them."""
        stack = sorted(site["cond_indep_stack"], key=lambda frame: frame.name)
        chosen = [f for f in stack if self.units is None or f.name in self.units]
        if not chosen:
            raise ValueError(
                f"Expected the energy-based site {name!r} inside a plate of independent units, "
                f"but it is in {[f.name for f in stack]}. Put its data in a pyro.plate."
            )
        if scaled:
            log_prob = site["log_prob"] / _subsampling_ratio(site)
        else:
            log_prob = site["unscaled_log_prob"]
        shape = torch.broadcast_shapes(site["log_prob"].shape, site["fn"].batch_shape)
        losses = -log_prob.expand(shape)
        kept = [frame.dim for frame in chosen if frame.vectorized]
        summed = [dim for dim in range(-losses.dim(), 0) if dim not in kept]
        losses = losses.permute(kept + summed)
        losses = losses.reshape(*losses.shape[: len(kept)], -1).sum(-1).flatten()
        return tuple((f.name, None if f.vectorized else f.counter) for f in chosen), losses


def _subsampling_ratio(site: Any) -> float:
    """How many units of the population an observed one stands for."""
    plates = [frame for frame in site["cond_indep_stack"] if frame.full_size is not None]
    return math.prod(frame.full_size / frame.size for frame in plates)


def is_whole_plate(fn: Any) -> bool:
    """Whether a site is a plate's choice of rows, which must be all of them."""
    if not isinstance(fn, _Subsample):
        return False
    if fn.subsample_size is not None and fn.subsample_size < fn.size:
        raise ValueError(
            "Expected the same data at each run, but got a plate that draws a subsample. Use "
            "all data, or fix the rows by pyro.plate(..., subsample=indices)."
        )
    return True


def _check_complete(name: str, site: Any) -> None:
    """Refuse missing cells where they would silently count as zeros."""
    if isinstance(unwrap(site["fn"]).loss, Estimator) and site["value"].isnan().any():
        raise ValueError(
            f"Expected complete data at site {name!r}, but cells are missing. {ABOUT_MISSING}"
        )


def _check_latent(name: str, fn: TorchDistribution) -> None:
    if fn.support.is_discrete:
        raise ValueError(
            f"Expected continuous latent sites, but {name!r} is discrete. Condition on it, or "
            "sum it out inside the energy."
        )
