"""What every Markov step is: a callable from chains to chains, with its acceptance."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from pyro_rm.energy_gaps import Context, Energy
from pyro_rm.state_space import StateSpace


class Transition(NamedTuple):
    """Chains after a step, and how readily they moved.

    ``encoded`` has the shape of the chains before; ``acceptance`` is the mean acceptance
    probability of the step's proposals in [0, 1], of shape ``batch_shape`` (1 for Gibbs).
    """

    encoded: Tensor
    acceptance: Tensor


class MarkovStep(Protocol):
    """A step that leaves :math:`p(x) \\propto e^{-E(x)}` invariant.

    Implementations are frozen configurations without state. Parallel chains live in the
    batch shape, each with its own randomness. No gradient is recorded.
    """

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        encoded: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Transition:
        """Move chains once.

        :param energy: The energy.
        :param space: Its state space.
        :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
        :param context: Tensors of full batch rank.
        :param active: Booleans that broadcast to ``batch_shape + (D,)``; sites that are
            False are clamped.
        :returns: New chains and their acceptance.
        """
        ...
