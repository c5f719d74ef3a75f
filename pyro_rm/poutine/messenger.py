"""The messenger that replaces an intractable likelihood by minus an objective's estimate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pyro
from pyro.distributions import ExpandedDistribution, Independent, MaskedDistribution
from pyro.poutine.mask_messenger import MaskMessenger
from pyro.poutine.messenger import Messenger, block_messengers
from pyro.poutine.plate_messenger import PlateMessenger

from pyro_rm.distributions import EnergyModel
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.poutine.surrogate import SiteEstimator, Surrogate


def unwrap(fn: Any) -> Any:
    """The distribution inside masks, reinterpreted dimensions and expansions."""
    while isinstance(fn, (MaskedDistribution, Independent, ExpandedDistribution)):
        fn = fn.base_dist
    return fn


_OF_DATA = (MaskMessenger, PlateMessenger)
Estimators = SiteEstimator | Mapping[str, SiteEstimator] | Callable[[str], SiteEstimator]
"""One estimator for all sites, or a mapping or a function from a site's name to its own."""


def _estimator_at(estimators: Estimators, site: str) -> SiteEstimator:
    """The estimator of a site: one for all, or looked up by the site's name."""
    if isinstance(estimators, SiteEstimator):
        return estimators
    if isinstance(estimators, Mapping):
        if site not in estimators:
            raise ValueError(
                f"Expected an estimator for the energy-based site {site!r}, but got some for "
                f"{sorted(estimators)} only."
            )
        return estimators[site]
    chosen = estimators(site)
    if not isinstance(chosen, SiteEstimator):
        raise TypeError(f"Expected an Estimator for site {site!r}, but got {chosen!r}.")
    return chosen


def _replace(fn: Any, estimator: SiteEstimator, weight: float) -> Any:
    if isinstance(fn, EnergyModel):
        return Surrogate(fn, estimator, weight)
    inner = _replace(fn.base_dist, estimator, weight)
    if isinstance(fn, MaskedDistribution):
        return inner.mask(fn._mask)
    if isinstance(fn, Independent):
        return inner.to_event(fn.reinterpreted_batch_ndims)
    return inner.expand(fn.batch_shape)


def _is_enumerated(msg: Any) -> bool:
    """Whether a site has batch dimensions that no plate declares: enumerated latents."""
    declared = {frame.dim for frame in msg["cond_indep_stack"]}
    shape = msg["fn"].batch_shape
    return any(shape[dim] > 1 and dim not in declared for dim in range(-len(shape), 0))


class RatioMatchingMessenger(Messenger):
    """Replaces the distribution at every observed energy-based site by a :class:`Surrogate`.

    :param estimator: How the objective is estimated: one estimator for all sites, or a
        mapping or a function from a site's name to its own.
    :param weight: Learning rate of the generalized posterior.
    :param stochastic: Whether estimators with sampling noise are allowed.
    :param strict: Whether an unobserved energy-based site is an error.
    :param validate: Whether to check data even where validation is off, as in
        :class:`pyro.infer.MCMC`.
    :param linear: Whether log probabilities enter the objective linearly, so that sampling
        noise with mean zero leaves its mean alone.
    """

    def __init__(
        self,
        estimator: Estimators,
        weight: float = 1.0,
        *,
        stochastic: bool,
        strict: bool = False,
        validate: bool = False,
        linear: bool = True,
    ) -> None:
        super().__init__()
        self.estimator, self.weight = estimator, weight
        self.stochastic, self.strict, self.linear = stochastic, strict, linear
        self.validate = validate
        self.models: dict[str, EnergyModel] = {}

    def _pyro_sample(self, msg: Any) -> None:
        model = unwrap(msg["fn"])
        if isinstance(model, Surrogate):  # an inner handler was first, and its estimator stands
            self.models[msg["name"]] = model.model
            return
        if not isinstance(model, EnergyModel):
            return
        if not msg["is_observed"]:
            if self.strict:
                raise ValueError(
                    f"Expected the energy-based site {msg['name']!r} to be observed, but it is "
                    "latent. Pass obs=, or condition the model on data. Latents with an "
                    f"energy-based prior are drawn by LatentFill(model, {msg['name']!r}), which "
                    "SVI then trains, or by MarkovKernel from their energy minus the log "
                    "likelihood where all parameters are known."
                )
            return
        estimator = _estimator_at(self.estimator, msg["name"])
        deterministic = estimator.is_deterministic(model.energy, model.state_space, model.active)
        if not (self.stochastic or deterministic):
            raise ValueError(
                f"Expected a deterministic estimator at site {msg['name']!r}, but got "
                f"{estimator}: fresh noise at each evaluation silently breaks NUTS and "
                "biases nonlinear bounds. Use num_neighbors='all' (and Marginalized() for missing "
                "cells), or say stochastic=True."
            )
        if self.validate:
            model.state_space.validate(msg["value"], model.active)
        self.models[msg["name"]] = model
        msg["fn"] = _replace(msg["fn"], estimator, self.weight)

    def _pyro_post_sample(self, msg: Any) -> None:
        surrogate = unwrap(msg["fn"])
        if not isinstance(surrogate, Surrogate) or not msg["is_observed"]:
            return
        model = surrogate.model
        exact = surrogate.estimator.is_deterministic(model.energy, model.state_space, model.active)
        if not exact and (not self.linear or _is_enumerated(msg)):
            warnings.warn(
                f"The sampled estimate at site {msg['name']!r} enters a nonlinear objective "
                "(enumerated classes, or a Renyi, tensor Monte Carlo or wake-sleep bound), "
                "which its noise biases. Use num_neighbors='all'.",
                stacklevel=2,
            )
        self._prime(msg, surrogate)

    def _prime(self, msg: Any, surrogate: Surrogate) -> None:
        """Estimate now, with all plates known and the program's context still open."""
        stack = pyro.poutine.runtime._PYRO_STACK
        within = {id(handler) for handler in stack[stack.index(self) :]}
        try:
            # Weights that the energy samples are shared by all data: neither local to a plate
            # of the model nor masked with its rows.
            with block_messengers(lambda m: isinstance(m, _OF_DATA) and id(m) in within):
                surrogate.prime(msg["value"])
        except EnergyError as error:
            raise EnergyError(f"At site {msg['name']!r}: {error}") from error

    def __exit__(self, *args: Any) -> Any:
        result = super().__exit__(*args)  # leave the stack before anything is raised
        if args[0] is None and not self.models:
            raise ValueError(
                "Expected an observed energy-based site in the model, but found none. Add "
                "pyro.sample(name, pyro_rm.distributions.EnergyModel(energy), obs=data)."
            )
        return result
