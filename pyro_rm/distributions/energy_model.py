"""Energy-based models as Pyro distributions."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.energy_gaps import Energy
from pyro_rm.state_space import StateSpace


class IntractableLikelihoodError(NotImplementedError, ValueError):
    """The normalized log probability of an energy-based model was asked for."""


class EnergyModel(TorchDistribution):
    r"""A discrete energy-based model :math:`p(x) \propto e^{-E(x)}` with any energy.

    :param energy: A callable or module on encoded data, ``batch_shape + encoded_shape``
        to ``batch_shape``.
    :param state_space: The space, where the energy does not say it.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``: sites that are False
        are never flipped or counted, and may be NaN (padding, clamped or missing cells).
    :raises ValueError: If the space is unknown.

    Example:

        >>> EnergyModel(lambda x: x.sum(-1), state_space=StateSpace(3)).event_shape
        torch.Size([3])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False
    has_enumerate_support = False

    def __init__(
        self,
        energy: Energy,
        *,
        state_space: StateSpace | None = None,
        active: Tensor | None = None,
        batch_shape: torch.Size | None = None,
        validate_args: bool | None = None,
    ) -> None:
        space = state_space or getattr(energy, "state_space", None)
        if space is None:
            raise ValueError("Expected an energy with a state_space, or the argument state_space.")
        self.energy = energy
        self.state_space: StateSpace = space
        self.active = active
        event_shape = torch.Size((space.num_sites,))
        batch_shape = torch.Size() if batch_shape is None else batch_shape
        if active is not None:
            if active.dtype != torch.bool or active.shape[-1:] != event_shape:
                raise ValueError(
                    f"Expected active as booleans of shape (..., {space.num_sites}), but got "
                    f"{active.dtype} of shape {tuple(active.shape)}."
                )
            batch_shape = torch.broadcast_shapes(batch_shape, active.shape[:-1])
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """The constraint that a datum satisfies."""
        return self.state_space.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> EnergyModel:
        """The same model with a larger batch shape."""
        new = self._get_checked_instance(EnergyModel, _instance)
        EnergyModel.__init__(
            new,
            self.energy,
            state_space=self.state_space,
            active=self.active,
            batch_shape=torch.Size(batch_shape),
            validate_args=False,
        )
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Refused: the partition function is unknown."""
        raise IntractableLikelihoodError(
            f"Expected a normalized distribution, but the partition function of "
            f"{type(self).__name__} is unknown. Fit it with loss=pyro_rm.RatioMatchingLoss(), "
            "or handle the model with pyro_rm.poutine.ratio_matching."
        )

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Not available yet: sampling needs a Markov chain."""
        raise IntractableLikelihoodError(
            f"Expected an observed site, but {type(self).__name__} cannot be sampled yet: pass "
            "obs=, or run a Markov chain on its energy."
        )
