"""The verb that handles a model, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import nn

from pyro_rm.estimators import Estimator
from pyro_rm.poutine.messenger import RatioMatchingMessenger, SiteLosses


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
    """Run a model under a fresh messenger at each call; modules stay modules.

    :param model: A Pyro program or module.
    :param make: Makes the messenger of a call.
    :returns: The handled model, a module if ``model`` is one.

    .. note:: Costs no energy by itself.
    """
    if isinstance(model, nn.Module):
        return _HandledModule(model, make)

    def handled(*args: Any, **kwargs: Any) -> Any:
        with make():
            return model(*args, **kwargs)

    return handled


def ratio_matching(
    model: Any,
    loss: SiteLosses | None = None,
    *,
    weight: float = 1.0,
    stochastic: bool = False,
) -> Any:
    """Handle a model so that its observed energy-based sites score by an objective.

    The first call checks the data, because :class:`pyro.infer.MCMC` turns validation off.

    :param model: A Pyro program or module.
    :param loss: How the objective is estimated: one estimator, or a mapping or a
        function from a site's name to its own. The exact sum of the pseudolikelihood if None.
    :param weight: Learning rate of the generalized posterior; to be calibrated.
    :param stochastic: Allow sampling noise. NUTS fails silently with them.
    :returns: The handled model, a module if ``model`` is one.

    .. note:: Costs what the estimator visits at each call: by default every neighbor.
    """
    chosen = loss or Estimator(num_neighbors="all")
    calls = count()

    def make() -> RatioMatchingMessenger:
        return RatioMatchingMessenger(
            chosen, weight, stochastic=stochastic, validate=next(calls) == 0
        )

    return handle(model, make)
