"""The verb that handles a model, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import nn

from pyro_rm.estimators import Estimator
from pyro_rm.poutine.messenger import CheckedData, RatioMatchingMessenger, SiteLosses

_TRACED = (
    "Expected a model that runs without torch.jit, but it is being traced: a trace would hold on "
    "to one draw and one data set. Leave out jit_compile=True, or take the ELBO without Jit in its "
    "name."
)


class _HandledModule(nn.Module):
    """A handled module: keeps its parameters visible."""

    def __init__(self, module: nn.Module, make: Callable[[], Messenger]) -> None:
        super().__init__()
        self.module, self.make = module, make

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module under a fresh handler."""
        if torch.jit.is_tracing():  # type: ignore[attr-defined]
            raise ValueError(_TRACED)
        with self.make():
            return self.module(*args, **kwargs)


class _HandledFunction:
    """A handled program; can be pickled if the program can."""

    def __init__(self, model: Any, make: Callable[[], Messenger]) -> None:
        self.model, self.make = model, make

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program under a fresh handler."""
        if torch.jit.is_tracing():  # type: ignore[attr-defined]
            raise ValueError(_TRACED)
        with self.make():
            return self.model(*args, **kwargs)


class _Make:
    """Makes the messengers of :func:`ratio_matching`, which share what data were checked."""

    def __init__(self, losses: SiteLosses, weight: float, stochastic: bool) -> None:
        self.losses, self.weight, self.stochastic = losses, weight, stochastic
        self.checked = CheckedData()

    def __call__(self) -> RatioMatchingMessenger:
        return RatioMatchingMessenger(
            self.losses, self.weight, stochastic=self.stochastic, checked=self.checked
        )


def ratio_matching(
    model: Any,
    loss: SiteLosses | None = None,
    *,
    weight: float = 1.0,
    stochastic: bool = False,
) -> Any:
    """Handle a model so that its observed energy-based sites score by an objective.

    Each new data set is checked once, even where validation is off, as it is in
    :class:`pyro.infer.MCMC`. What is returned can be pickled if the model can, as chains need
    whose processes are spawned.

    :param model: A Pyro program or module.
    :param loss: How the objective is estimated: one estimator, or a mapping or a
        function from a site's name to its own. The exact sum of the pseudolikelihood if None.
    :param weight: Learning rate of the generalized posterior; to be calibrated.
    :param stochastic: Allow sampling noise. NUTS fails silently with it.
    :returns: The handled model, a module if ``model`` is one.

    .. note:: Costs what the estimator visits at each call: by default every neighbor.
    """
    chosen = loss or Estimator(num_neighbors="all")
    kind = _HandledModule if isinstance(model, nn.Module) else _HandledFunction
    return kind(model, _Make(chosen, weight, stochastic))


def unhandled(model: Any) -> Any:
    """The model inside of :func:`ratio_matching`.

    :param model: A program or module, handled or not.
    :returns: It as it was written.

    .. note:: Costs no energy.
    """
    while isinstance(model, (_HandledFunction, _HandledModule)):
        model = model.model if isinstance(model, _HandledFunction) else model.module
    return model
