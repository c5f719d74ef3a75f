"""What stands in the place of an intractable likelihood: minus an objective's estimate."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Protocol, runtime_checkable

import torch
from pyro.distributions import TorchDistribution
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_rm.distributions import EnergyModel
from pyro_rm.target import Target


@runtime_checkable
class SiteLoss(Protocol):
    """What gives each datum of a site its contribution to a loss.

    :class:`~pyro_rm.Estimator` is one, and so are fills that estimate once they have drawn
    missing cells.

    Example:

        >>> from pyro_rm import Estimator
        >>> isinstance(Estimator(), SiteLoss)
        True
    """

    def is_deterministic(self, target: Target) -> bool:
        """Whether the same data give the same value."""
        ...

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Contributions of each datum, ``batch_shape``, of data ``batch_shape + (D,)``."""
        ...


class Surrogate(TorchDistribution):
    """Minus the weighted estimate of an objective, in the place of a log probability.

    The handler computes it at the sample statement; ``log_prob`` of that very tensor
    returns it, and of any other one computes it anew.

    :param model: The model whose place it takes.
    :param loss: How its objective is estimated.
    :param weight: Learning rate of the generalized posterior.

    .. note:: Costs what the loss visits, once for each sample statement.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False
    has_enumerate_support = False

    def __init__(self, model: EnergyModel, loss: SiteLoss, weight: float) -> None:
        self.model, self.loss, self.weight = model, loss, weight
        self._computed: tuple[Tensor, Tensor] | None = None
        modules = model.energy.modules() if isinstance(model.energy, nn.Module) else ()
        self.sampling = [module for module in modules if isinstance(module, PyroModule)]
        super().__init__(model.batch_shape, model.event_shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """The support of the model."""
        return self.model.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Surrogate:
        """The surrogate of the expanded model."""
        return Surrogate(self.model.expand(batch_shape), self.loss, self.weight)

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
        model.state_space.validate_shape(value)  # before torch broadcasts it
        batch_shape = torch.broadcast_shapes(model.batch_shape, value.shape[:-1])
        wide = value.expand(batch_shape + value.shape[-1:])  # full rank before neighbors come
        with ExitStack() as contexts:  # weights that modules sample are the same for neighbors
            for module in self.sampling:
                contexts.enter_context(module._pyro_context)
            return -self.weight * self.loss(model.target_at(batch_shape), wide)
