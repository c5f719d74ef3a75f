"""The loss that fits energy-based models in Pyro's step loop."""

from __future__ import annotations

from typing import Any

from pyro.infer import ELBO, Trace_ELBO
from pyro.poutine import trace
from torch import Tensor, nn

from pyro_rm.designs import Design
from pyro_rm.energy_gaps import is_validating
from pyro_rm.estimators import Estimator, NumNeighbors
from pyro_rm.objectives import Objective
from pyro_rm.poutine import RatioMatchingMessenger, handle
from pyro_rm.proposals import Proposal


class RatioMatchingLoss(ELBO):
    """A loss for :class:`pyro.infer.SVI` that needs no partition function.

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
    :raises ValueError: If the ELBO is a Jit one, or an option is out of range.

    .. note:: The defaults are consistent, unbiased, and train well from a bad start.
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
    ) -> None:
        self.elbo = elbo or Trace_ELBO()
        if type(self.elbo).__name__.startswith("Jit"):
            raise ValueError(
                f"Expected an ELBO without jit, but got {type(self.elbo).__name__}: it would "
                "recompile at each call. Use the class without Jit in its name."
            )
        super().__init__(
            num_particles=self.elbo.num_particles,
            vectorize_particles=self.elbo.vectorize_particles,
        )
        self.weight = weight
        self.estimator = Estimator(
            objective, num_neighbors, proposal, design, max_neighbors_per_chunk
        )

    def _handled(self, model: Any, used: list[RatioMatchingMessenger] | None = None) -> Any:
        def make() -> RatioMatchingMessenger:
            messenger = RatioMatchingMessenger(
                self.estimator, self.weight, stochastic=True, strict=True
            )
            if used is not None:
                used.append(messenger)
            return messenger

        return handle(model, make)

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        return self.elbo._get_trace(self._handled(model), guide, args, kwargs)

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, as a number."""
        return self.elbo.loss(self._handled(model), guide, *args, **kwargs)

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, as a tensor to differentiate."""
        return self.elbo.differentiable_loss(self._handled(model), guide, *args, **kwargs)

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, as a number; gradients are left in the parameters."""
        messengers: list[RatioMatchingMessenger] = []
        with trace(param_only=True) as captured:  # what SVI hands to its optimizer
            result = self.elbo.loss_and_grads(
                self._handled(model, messengers), guide, *args, **kwargs
            )
        if is_validating():
            seen = {id(site["value"].unconstrained()) for site in captured.trace.nodes.values()}
            for messenger in messengers:
                _check_trained(messenger, seen)
        return result


def _check_trained(messenger: RatioMatchingMessenger, seen: set[int]) -> None:
    """Refuse energies whose parameters the optimizer of SVI would not see."""
    for site, model in messenger.models.items():
        if not isinstance(model.energy, nn.Module):
            continue
        for name, parameter in model.energy.named_parameters():
            if parameter.requires_grad and id(parameter) not in seen:
                raise ValueError(
                    f"Expected the parameters of the energy at site {site!r} as param sites, "
                    f"but {name!r} is none and would silently not train. Add "
                    "pyro.module(name, energy) to the model, or freeze the energy by "
                    "energy.requires_grad_(False)."
                )
