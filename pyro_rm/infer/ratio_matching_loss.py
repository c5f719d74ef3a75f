"""The loss that fits energy-based models in Pyro's step loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.infer import ELBO, RenyiELBO, ReweightedWakeSleep, Trace_ELBO, TraceTMC_ELBO
from pyro.infer.elbo import ELBOModule
from pyro.poutine import trace
from torch import Tensor, nn

from pyro_rm.designs import Design
from pyro_rm.energy_gaps import EnergyError, is_validating
from pyro_rm.estimators import Estimator, NumNeighbors
from pyro_rm.objectives import Objective
from pyro_rm.poutine import RatioMatchingMessenger, handle
from pyro_rm.proposals import Proposal

_NONLINEAR = (RenyiELBO, ReweightedWakeSleep, TraceTMC_ELBO)


class RatioMatchingLoss(ELBO):
    r"""A loss for :class:`pyro.infer.SVI` that needs no partition function.

    Scores observed energy-based sites by minus an objective's estimate and hands the
    rest to an ELBO. What is optimized is a generalized-Bayes objective, not a bound on
    the evidence.

    :param objective: See :class:`~pyro_rm.estimators.Estimator`, also for the next three.
    :param num_neighbors: Neighbors visited a datum, None or ``"all"``.
    :param proposal: Where to look.
    :param design: How to draw and to weigh.
    :param weight: Learning rate of the generalized posterior.
    :param elbo: The inner ELBO, :class:`pyro.infer.Trace_ELBO` by default.
    :param max_neighbors_per_chunk: Bound on neighbor states evaluated at once.
    :param estimators: Estimators of their own for some sites, by name.
    :raises ValueError: If the ELBO is a Jit one, or an option is out of range.

    Example:

        >>> import pyro, torch
        >>> from pyro.infer import SVI
        >>> from pyro_rm.distributions import EnergyModel
        >>> from pyro_rm.energies import IsingEnergy
        >>> energy = IsingEnergy(num_sites=3)
        >>> def model(x):
        ...     pyro.module("energy", energy)
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", EnergyModel(energy), obs=x)
        >>> def guide(x):
        ...     pass
        >>> optimizer = pyro.optim.Adam({"lr": 0.1})
        >>> svi = SVI(model, guide, optimizer, loss=RatioMatchingLoss())
        >>> round(svi.step(torch.ones(2, 3)), 4)  # 6 log(2): the energy starts at zero
        4.1589

    .. note:: The defaults are consistent (:math:`\kappa = 1`), unbiased in value and
        gradient, and their gradient does not vanish where the model is wrong: they train
        from a bad start, where ratio matching stalls and the others overflow. Each datum
        costs one energy and ``num_neighbors`` neighbors, or one gap table. With a nonlinear
        ELBO (Renyi, enumerated classes) only the exact sum is unbiased; a warning says so.
    """

    def __init__(
        self,
        objective: str | Objective = "pseudolikelihood",
        num_neighbors: NumNeighbors = None,
        *,
        proposal: str | Proposal = "uniform",
        design: str | Design = "proportional_to_size",
        weight: float = 1.0,
        elbo: ELBO | None = None,
        max_neighbors_per_chunk: int | None = None,
        estimators: Mapping[str, Estimator] | None = None,
    ) -> None:
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
        self.estimator = Estimator(
            objective, num_neighbors, proposal, design, max_neighbors_per_chunk
        )
        self.estimators = dict(estimators or {})
        self.num_steps = 0

    def _estimator_at(self, site: str) -> Estimator:
        return self.estimators.get(site, self.estimator)

    def __call__(self, model: Any, guide: Any) -> ELBOModule:
        """The loss of a model and a guide as a module, to train by any torch optimizer."""
        return _LossModule(model, guide, self)

    def _handled(self, model: Any, used: list[RatioMatchingMessenger] | None = None) -> Any:
        def make() -> RatioMatchingMessenger:
            messenger = RatioMatchingMessenger(
                self._estimator_at,
                self.weight,
                stochastic=True,
                strict=True,
                linear=not isinstance(self.elbo, _NONLINEAR),
            )
            if used is not None:
                used.append(messenger)
            return messenger

        return handle(model, make)

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Count training steps, and say in which of them an energy failed."""
        self.num_steps += 1
        try:
            yield
        except EnergyError as error:
            raise EnergyError(f"At step {self.num_steps}: {error}") from error

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        return self.elbo._get_trace(self._handled(model), guide, args, kwargs)

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, as a number."""
        return self.elbo.loss(self._handled(model), guide, *args, **kwargs)

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, as a tensor to differentiate."""
        with self._step():
            return self.elbo.differentiable_loss(self._handled(model), guide, *args, **kwargs)

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, as a number; gradients are left in the parameters."""
        used: list[RatioMatchingMessenger] = []
        # param sites are what SVI hands to its optimizer
        with self._step(), trace(param_only=True) as captured:
            result = self.elbo.loss_and_grads(self._handled(model, used), guide, *args, **kwargs)
        if is_validating():
            sites = captured.trace.nodes.values()
            _check_trained(used, {id(site["value"].unconstrained()) for site in sites})
        return result


class _LossModule(ELBOModule):
    """A loss as a module, which refuses energies that its parameters do not hold."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, as a tensor to differentiate."""
        used: list[RatioMatchingMessenger] = []
        loss: RatioMatchingLoss = self.elbo
        with loss._step():
            result = loss.elbo.differentiable_loss(
                loss._handled(self.model, used), self.guide, *args, **kwargs
            )
        if is_validating() and torch.is_grad_enabled():
            stored = pyro.get_param_store()._params.values()
            _check_trained(used, {id(p) for p in (*self.parameters(), *stored)})
        return result


def _check_trained(messengers: list[RatioMatchingMessenger], seen: set[int]) -> None:
    """Refuse energies whose parameters no optimizer would see."""
    models = [pair for messenger in messengers for pair in messenger.models.items()]
    for site, model in models:
        if not isinstance(model.energy, nn.Module):
            continue
        for name, parameter in model.energy.named_parameters():
            if parameter.requires_grad and id(parameter) not in seen:
                raise ValueError(
                    f"Expected the parameters of the energy at site {site!r} as param sites, "
                    f"but {name!r} is none and would silently not train. Add "
                    "pyro.module(name, energy) to the model, make the model a module that "
                    "holds it, or freeze the energy by energy.requires_grad_(False)."
                )
