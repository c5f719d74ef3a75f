"""What every Markov step is: from the state of chains to the next one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from pyro_rm.energies import SumEnergy
from pyro_rm.target import Target


class ChainState(NamedTuple):
    """Chains, how readily they moved, and what the step knows of them.

    :param encoded: The chains, ``batch_shape + encoded_shape``; with the replicas of a step that
        has some in front.
    :param acceptance: Mean acceptance probability of the last step's proposals, ``batch_shape``
        (1 for Gibbs); None before the first step.
    :param known: What the step has computed at these chains under its target, so that the next
        step need not.

    Example:

        >>> import torch
        >>> ChainState(torch.zeros(4, 3), torch.ones(4)).acceptance.mean()
        tensor(1.)
    """

    encoded: Tensor
    acceptance: Tensor | None = None
    known: Any = None


class MarkovStep(ABC):
    r"""A step that leaves :math:`p(x) \propto e^{-E(x)}` invariant: a frozen configuration.

    Subclasses define the call, and :meth:`init` if they keep something from one step to the
    next. Parallel chains live in the batch shape, each with its own randomness, all of which
    comes from :mod:`pyro_rm.markov_steps.randomness`, so that
    :func:`pyro_rm.testing.check_step` can enumerate it. Steps record no gradient. What runs them
    is :class:`~pyro_rm.markov_steps.Chains`.
    """

    redraws_levels = False
    """Whether it redraws the level of noise of a target that has some."""

    @property
    def num_replicas(self) -> int | None:
        """How many replicas of each chain it moves, the first following the model; None if none."""
        return None

    def init(self, target: Target, encoded: Tensor) -> ChainState:
        """The state of chains before the first step.

        :param target: What the chains follow.
        :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
        :returns: Their state, with what the step wants to know of them.
        """
        return ChainState(encoded)

    @abstractmethod
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """Move chains once.

        :param target: What the chains follow; inactive sites are clamped.
        :param state: What :meth:`init` or the last step under this target returned.
        :returns: The new state.
        """

    @property
    def is_adaptive(self) -> bool:
        """Whether burn-in changes it."""
        return False

    def adapted(self, acceptance: Tensor) -> MarkovStep:
        """The step that burn-in goes on with; for steps that keep nothing which depends on it.

        :param acceptance: Of the chains, as in their state.
        """
        return self

    def tempered(self, target: Target, inverse_temperature: Tensor) -> Target:
        """The target at another temperature, as this step wants it: its energy times a number."""
        energy = SumEnergy((inverse_temperature, target.energy), state_space=target.space)
        return replace(target, energy=energy)
