"""Losses that score energy-based sites by an estimate, and hand the rest to an ELBO."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.infer import ELBO, RenyiELBO, ReweightedWakeSleep, Trace_ELBO, TraceTMC_ELBO
from pyro.infer.elbo import ELBOModule
from pyro.poutine import trace
from torch import Tensor, nn

from pyro_rm.distributions import EnergyModel
from pyro_rm.energy_checks import is_validating
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.poutine import SiteLoss
from pyro_rm.poutine.messenger import RatioMatchingMessenger

NONLINEAR = (RenyiELBO, ReweightedWakeSleep, TraceTMC_ELBO)


class SurrogateLoss(ELBO):
    """A loss for :class:`pyro.infer.SVI` that replaces intractable likelihoods.

    Scores observed energy-based sites by minus an estimate and hands the rest to an ELBO.

    :param weight: Learning rate of the generalized posterior.
    :param elbo: The inner ELBO, :class:`pyro.infer.Trace_ELBO` by default.
    :raises ValueError: If the ELBO is a Jit one, or the weight is not positive.
    """

    def __init__(self, weight: float, elbo: ELBO | None) -> None:
        self.elbo = elbo or Trace_ELBO()
        if type(self.elbo).__name__.startswith("Jit"):
            raise ValueError(
                f"Expected an ELBO without jit, but got {type(self.elbo).__name__}: it would "
                "recompile at each call. Use the class without Jit in its name."
            )
        if not weight > 0:
            raise ValueError(f"Expected a positive weight, but got {weight}.")
        super().__init__(
            num_particles=self.elbo.num_particles,
            vectorize_particles=self.elbo.vectorize_particles,
        )
        self.weight = weight
        self.steps_taken = 0

    @abstractmethod
    def _loss_at(self, site: str) -> SiteLoss:
        """What scores the energy-based site of a name."""

    def __call__(self, model: Any, guide: Any) -> ELBOModule:
        """The loss of a model and a guide as a module, to train by any torch optimizer."""
        return _LossModule(model, guide, self)

    def _messenger(self) -> RatioMatchingMessenger:
        """A handler for one evaluation, which remembers the models that it met."""
        linear = not isinstance(self.elbo, NONLINEAR)
        return RatioMatchingMessenger(
            self._loss_at, self.weight, stochastic=True, strict=True, linear=linear
        )

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Count training steps, and say in which of them an energy failed."""
        self.steps_taken += 1
        try:
            yield
        except EnergyError as error:
            raise EnergyError(f"At step {self.steps_taken}: {error}") from error

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        return self.elbo._get_trace(self._messenger()(model), guide, args, kwargs)

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, as a number."""
        messenger = self._messenger()
        with trace(param_only=True) as captured:
            result = self.elbo.loss(messenger(model), guide, *args, **kwargs)
        if is_validating():
            _warn_of_other_parameters(messenger.models, captured.trace.nodes)
        return result

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, as a tensor to differentiate."""
        with self._step():
            return self.elbo.differentiable_loss(self._messenger()(model), guide, *args, **kwargs)

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, as a number; gradients are left in the parameters."""
        messenger = self._messenger()
        # param sites are what SVI hands to its optimizer
        with self._step(), trace(param_only=True) as captured:
            result = self.elbo.loss_and_grads(messenger(model), guide, *args, **kwargs)
        if is_validating():
            sites = captured.trace.nodes.values()
            _check_trained(messenger.models, {id(site["value"].unconstrained()) for site in sites})
        return result


class _LossModule(ELBOModule):
    """A loss as a module, which refuses energies that its parameters do not hold."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, as a tensor to differentiate."""
        loss: SurrogateLoss = self.elbo
        messenger = loss._messenger()
        with loss._step():
            result = loss.elbo.differentiable_loss(
                messenger(self.model), self.guide, *args, **kwargs
            )
        if is_validating() and torch.is_grad_enabled():
            stored = pyro.get_param_store()._params.values()
            _check_trained(messenger.models, {id(p) for p in (*self.parameters(), *stored)})
        return result


def _check_trained(models: Mapping[str, EnergyModel], seen: set[int]) -> None:
    """Refuse energies whose parameters no optimizer would see."""
    for site, model in models.items():
        if not isinstance(model.energy, nn.Module):
            continue
        for name, parameter in model.energy.named_parameters():
            if parameter.requires_grad and id(parameter) not in seen:
                raise ValueError(
                    f"Expected the parameters of the energy at site {site!r} as param sites, "
                    f"but {name!r} is not one and would silently not train. Add "
                    "pyro.module(name, energy) to the model, make the model a module that "
                    "holds it, or freeze the energy by energy.requires_grad_(False). If the "
                    "model has pyro.module already, the parameter store holds another energy "
                    "under its name: to go on with stored parameters say pyro.module(name, "
                    "energy, update_module_params=True); to begin anew take another name, or call "
                    "pyro.clear_param_store(), which discards what is stored."
                )


def _warn_of_other_parameters(models: Mapping[str, EnergyModel], sites: Mapping[str, Any]) -> None:
    """Say where an energy scored by its own parameters although others are stored for it."""
    stored = {name: site["value"].unconstrained() for name, site in sites.items()}
    for site, model in models.items():
        if not isinstance(model.energy, nn.Module):
            continue
        for name, parameter in model.energy.named_parameters():
            others = [v for key, v in stored.items() if key.endswith(f"$$${name}")]
            if others and not any(parameter is v for v in others):
                warnings.warn(
                    f"The energy at site {site!r} scored by its own {name!r}, although the "
                    "parameter store holds another one for it. To use what is stored say "
                    "pyro.module(name, energy, update_module_params=True).",
                    stacklevel=3,
                )
                return
