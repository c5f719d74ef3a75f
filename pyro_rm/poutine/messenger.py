"""The messenger that replaces an intractable likelihood by minus an objective's estimate."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyro
from pyro.distributions import ExpandedDistribution, Independent, MaskedDistribution
from pyro.poutine.mask_messenger import MaskMessenger
from pyro.poutine.messenger import Messenger, block_messengers
from pyro.poutine.plate_messenger import PlateMessenger
from torch import Tensor

from pyro_rm.checks import check_real
from pyro_rm.distributions import EnergyModel
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.poutine.surrogate import SiteLoss, Surrogate
from pyro_rm.state_space import StateSpace

if TYPE_CHECKING:
    from typing_extensions import Self


def unwrap(fn: Any) -> Any:
    """The distribution inside masks, reinterpreted dimensions and expansions."""
    while isinstance(fn, (MaskedDistribution, Independent, ExpandedDistribution)):
        fn = fn.base_dist
    return fn


_OF_DATA = (MaskMessenger, PlateMessenger)
SiteLosses = SiteLoss | Mapping[str, SiteLoss] | Callable[[str], SiteLoss]
"""One loss for all sites, or a mapping or a function from a site's name to its own."""


def _loss_at(losses: SiteLosses, site: str) -> SiteLoss:
    """The loss of a site: one for all, or looked up by the site's name."""
    if isinstance(losses, SiteLoss):
        return losses
    if isinstance(losses, Mapping):
        if site not in losses:
            raise ValueError(
                f"Expected a loss for the energy-based site {site!r}, but got some for "
                f"{sorted(losses)} only."
            )
        return losses[site]
    chosen = losses(site)
    if not isinstance(chosen, SiteLoss):
        raise TypeError(f"Expected an Estimator for site {site!r}, but got {chosen!r}.")
    return chosen


def _replace(fn: Any, loss: SiteLoss, weight: float) -> Any:
    if isinstance(fn, EnergyModel):
        return Surrogate(fn, loss, weight)
    inner = _replace(fn.base_dist, loss, weight)
    if isinstance(fn, MaskedDistribution):
        return inner.mask(fn._mask)
    if isinstance(fn, Independent):
        return inner.to_event(fn.reinterpreted_batch_ndims)
    return inner.expand(fn.batch_shape)


def _is_enumerated(msg: Any) -> bool:
    """Whether a site has batch dimensions that no plate declares: enumerated latents."""
    sizes = dict(enumerate(reversed(msg["fn"].batch_shape), 1))
    for frame in msg["cond_indep_stack"]:
        if frame.dim is not None:
            sizes.pop(-frame.dim, None)
    return max(sizes.values(), default=1) > 1


class CheckedData:
    """Remembers the last data that were checked at each site, by their identity."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[weakref.ref[Tensor], int, StateSpace]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_last": {}}  # weak references cannot be pickled

    def check(self, site: str, model: EnergyModel, value: Tensor) -> None:
        """Validate data that are not those of the last check.

        :raises ValueError: If they are not of the model's space.
        """
        last, space = self._last.get(site), model.state_space
        if last is not None and last[0]() is value and last[1:] == (value._version, space):
            return
        space.validate(value, model.active)
        self._last[site] = (weakref.ref(value), value._version, space)


class RatioMatchingMessenger(Messenger):
    """Replaces the distribution at every observed energy-based site by a :class:`Surrogate`.

    :param losses: How the objective is estimated: one loss for all sites, or a
        mapping or a function from a site's name to its own.
    :param weight: Learning rate of the generalized posterior.
    :param stochastic: Whether losses with sampling noise are allowed.
    :param strict: Whether an unobserved energy-based site is an error.
    :param checked: What remembers which data were checked; new ones then are even where
        validation is off, as in :class:`pyro.infer.MCMC`.
    :param linear: Whether log probabilities enter the objective linearly, so that sampling
        noise with mean zero leaves its mean alone.
    """

    def __init__(
        self,
        losses: SiteLosses,
        weight: float = 1.0,
        *,
        stochastic: bool,
        strict: bool = False,
        checked: CheckedData | None = None,
        linear: bool = True,
    ) -> None:
        super().__init__()
        self.losses, self.weight = losses, weight
        self.stochastic, self.strict, self.linear = stochastic, strict, linear
        self.checked = checked
        self.models: dict[str, EnergyModel] = {}
        self._replaced: set[str] = set()

    def __enter__(self) -> Self:
        self._replaced.clear()
        return super().__enter__()

    def _pyro_sample(self, msg: Any) -> None:
        model = unwrap(msg["fn"])
        if isinstance(model, Surrogate):  # an inner handler was first, and its loss stands
            self.models[msg["name"]] = model.model
            return
        if not isinstance(model, EnergyModel):
            return
        if not msg["is_observed"]:
            stem = msg["name"].removesuffix("_unobserved")
            if f"{stem}_observed" in self.models and stem != msg["name"]:
                # what Pyro makes of obs_mask
                raise ValueError(
                    f"Expected all rows of the energy-based site {stem!r} to be observed, but got "
                    "obs_mask. Leave rows out by poutine.mask(mask=...), and mark missing cells by "
                    "EnergyModel(..., active=~x.isnan())."
                )
            if self.strict:
                raise ValueError(
                    f"Expected the energy-based site {msg['name']!r} to be observed, but it is "
                    "latent. Pass obs=, or condition the model on data. Latents with an "
                    f"energy-based prior are drawn by LatentFill(model, {msg['name']!r}), which "
                    "SVI then trains, or by MarkovKernel from their energy minus the log "
                    "likelihood where all parameters are known."
                )
            return
        if not isinstance(msg["value"], Tensor):
            check_real(msg["value"], f"the observations of site {msg['name']!r}")
        loss = _loss_at(self.losses, msg["name"])
        if not (self.stochastic or loss.is_deterministic(model.target_at())):
            raise ValueError(
                f"Expected a deterministic estimator at site {msg['name']!r}, but got "
                f"{loss}: fresh noise at each evaluation silently breaks NUTS and "
                "biases nonlinear bounds. Use num_neighbors='all' (and Marginalized() for missing "
                "cells, and a model without levels of noise), or say stochastic=True."
            )
        if self.checked is not None:
            self.checked.check(msg["name"], model, msg["value"])
        self.models[msg["name"]] = model
        msg["fn"] = _replace(msg["fn"], loss, self.weight)
        self._replaced.add(msg["name"])

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] not in self._replaced:
            return
        surrogate = unwrap(msg["fn"])
        nonlinear = not self.linear or _is_enumerated(msg)
        if nonlinear and not surrogate.loss.is_deterministic(surrogate.model.target_at()):
            warnings.warn(
                f"The sampled estimate at site {msg['name']!r} enters a nonlinear objective "
                "(enumerated classes, or a Renyi, tensor Monte Carlo or wake-sleep bound), "
                "which its noise biases. Use num_neighbors='all', and no levels of noise.",
                stacklevel=2,
            )
        self._prime(msg, surrogate)

    def _prime(self, msg: Any, surrogate: Surrogate) -> None:
        """Estimate now, with all plates known and the program's context still open."""
        try:
            if surrogate.sampling:
                # They are shared by all data: neither local to a plate of the model nor masked
                # with its rows.
                stack = pyro.poutine.runtime._PYRO_STACK
                within = {id(handler) for handler in stack[stack.index(self) :]}
                with block_messengers(lambda m: isinstance(m, _OF_DATA) and id(m) in within):
                    surrogate.prime(msg["value"])
            else:
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
