"""The handler that replaces an intractable likelihood by minus an objective's estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro.distributions import ExpandedDistribution, Independent, MaskedDistribution
from pyro.distributions import TorchDistribution as _TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_rm.distributions import EnergyModel
from pyro_rm.energy_gaps import EnergyError
from pyro_rm.estimators import Estimator


class Surrogate(_TorchDistribution):
    """Minus the weighted estimate of an objective, in the place of a log probability.

    The handler computes it at the sample statement; ``log_prob`` of that very tensor
    returns it, and of any other one computes it anew.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False
    has_enumerate_support = False

    def __init__(self, model: EnergyModel, estimator: Estimator, weight: float) -> None:
        self.model, self.estimator, self.weight = model, estimator, weight
        self._computed: tuple[Tensor, Tensor] | None = None
        super().__init__(model.batch_shape, model.event_shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """The support of the model."""
        return self.model.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Surrogate:
        """The surrogate of the expanded model."""
        return Surrogate(self.model.expand(batch_shape), self.estimator, self.weight)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A draw of the model."""
        return self.model.sample(sample_shape)

    def prime(self, value: Tensor) -> None:
        """Compute the estimate now, while the program's context is open."""
        self._computed = (value, self._estimate(value))

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the weighted estimate, of the broadcast batch shape."""
        if self._computed is not None and self._computed[0] is value:
            return self._computed[1]
        return self._estimate(value)

    def _estimate(self, value: Tensor) -> Tensor:
        model = self.model
        batch_shape = torch.broadcast_shapes(model.batch_shape, value.shape[:-1])
        wide = value.expand((*batch_shape, value.shape[-1]))  # full rank before neighbors come
        return -self.weight * self.estimator(
            model.energy, model.state_space, wide, active=model.active
        )


def _unwrap(fn: Any) -> Any:
    """The distribution inside masks, reinterpreted dimensions and expansions."""
    while isinstance(fn, (MaskedDistribution, Independent, ExpandedDistribution)):
        fn = fn.base_dist
    return fn


def _replace(fn: Any, estimator: Estimator, weight: float) -> Any:
    if isinstance(fn, EnergyModel):
        return Surrogate(fn, estimator, weight)
    inner = _replace(fn.base_dist, estimator, weight)
    if isinstance(fn, MaskedDistribution):
        return inner.mask(fn._mask)
    if isinstance(fn, Independent):
        return inner.to_event(fn.reinterpreted_batch_ndims)
    return inner.expand(fn.batch_shape)


class RatioMatchingMessenger(Messenger):
    """Replaces the distribution at every observed energy-based site by a :class:`Surrogate`.

    :param estimator: How the objective is estimated.
    :param weight: Learning rate of the generalized posterior.
    :param stochastic: Whether estimators with sampling noise are allowed.
    :param strict: Whether an unobserved energy-based site is an error.
    """

    def __init__(
        self, estimator: Estimator, weight: float = 1.0, *, stochastic: bool, strict: bool = False
    ) -> None:
        super().__init__()
        self.estimator, self.weight = estimator, weight
        self.stochastic, self.strict = stochastic, strict
        self.models: dict[str, EnergyModel] = {}

    def _pyro_sample(self, msg: Any) -> None:
        model = _unwrap(msg["fn"])
        if isinstance(model, Surrogate):  # an inner handler was first, and its estimator stands
            self.models[msg["name"]] = model.model
            return
        if not isinstance(model, EnergyModel):
            return
        if not msg["is_observed"]:
            if self.strict:
                raise ValueError(
                    f"Expected the energy-based site {msg['name']!r} to be observed, but it is "
                    "latent. Pass obs=, or condition the model on data."
                )
            return
        deterministic = self.estimator.is_deterministic(model.energy, model.state_space)
        if not (self.stochastic or deterministic):
            raise ValueError(
                f"Expected a deterministic estimator at site {msg['name']!r}, but got "
                f"{self.estimator}: fresh noise at each evaluation silently breaks NUTS and "
                "biases nonlinear bounds. Use num_neighbors='all', or say stochastic=True."
            )
        self.models[msg["name"]] = model
        msg["fn"] = _replace(msg["fn"], self.estimator, self.weight)

    def _pyro_post_sample(self, msg: Any) -> None:
        surrogate = _unwrap(msg["fn"])
        if not isinstance(surrogate, Surrogate) or not msg["is_observed"]:
            return
        try:
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


class _HandledModule(nn.Module):
    """A handled module: keeps its parameters visible."""

    def __init__(self, module: nn.Module, make: Callable[[], Messenger]) -> None:
        super().__init__()
        self.module, self.make = module, make

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module under a fresh handler."""
        with self.make():
            return self.module(*args, **kwargs)


def handle(model: Any, make: Callable[[], Messenger]) -> Any:
    """Run a model under a fresh messenger at each call; modules stay modules."""
    if isinstance(model, nn.Module):
        return _HandledModule(model, make)

    def handled(*args: Any, **kwargs: Any) -> Any:
        with make():
            return model(*args, **kwargs)

    return handled


def ratio_matching(
    model: Any,
    estimator: Estimator | None = None,
    *,
    weight: float = 1.0,
    stochastic: bool = False,
) -> Any:
    """Handle a model so that its observed energy-based sites score by an objective.

    :param model: A Pyro program or module.
    :param estimator: Defaults to the exact sum of the pseudolikelihood.
    :param weight: Learning rate of the generalized posterior; to be calibrated.
    :param stochastic: Allow estimators with sampling noise. NUTS fails silently with them.
    :returns: The handled model, a module if ``model`` is one.
    """
    chosen = estimator or Estimator(num_neighbors="all")
    return handle(model, lambda: RatioMatchingMessenger(chosen, weight, stochastic=stochastic))
