"""Energy-based models with a small support, normalized by enumeration."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.distributions.energy_model import EnergyModel
from pyro_rm.energy_gaps import energy_dtype, evaluate_energy
from pyro_rm.enumeration import index_of, state_chunks, states_at


class NormalizedModel(TorchDistribution):
    r"""An energy-based model with a small support, normalized by enumeration.

    :param model: An :class:`EnergyModel` without batch dimensions.
    :param max_states: Refuse larger supports.
    :raises ValueError: If the support is larger, or the model has a batch shape.

    Example:

        >>> from pyro_rm.distributions import Ising
        >>> exact = NormalizedModel(Ising(torch.zeros(3, 3)))
        >>> exact.log_partition
        tensor(2.0794)
        >>> exact.log_prob(torch.ones(3))
        tensor(-2.0794)

    .. note:: Costs one energy a state at construction, and keeps one number a state.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False
    has_enumerate_support = False

    def __init__(self, model: EnergyModel, *, max_states: int = 2**20) -> None:
        space = model.state_space
        if space.num_states > max_states:
            raise ValueError(
                f"Expected at most {max_states} states, but got {space.num_states}; "
                "raise max_states if memory allows."
            )
        if model.active is not None:
            raise ValueError("Expected a model of all sites, but got one with inactive sites.")
        if model.batch_shape:
            raise ValueError(f"Expected an empty batch shape, but got {tuple(model.batch_shape)}.")
        self.model = model
        energies = [
            evaluate_energy(model.energy, space, space.encode(x, energy_dtype(model.energy, x)))
            for x in state_chunks(space)
        ]
        unnormalized = -torch.cat(energies)
        self.log_partition = unnormalized.logsumexp(0)
        self._log_probs = unnormalized - self.log_partition
        super().__init__(torch.Size(), model.event_shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """The support of the model."""
        return self.model.support

    def log_prob(self, value: Tensor) -> Tensor:
        """Exact log probabilities, ``batch_shape``; differentiable in the energy."""
        self.model.state_space.validate(value)
        return self._log_probs[index_of(self.model.state_space, value)]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Exact draws, ``sample_shape + (D,)``."""
        shape = torch.Size(sample_shape)
        uniform = torch.rand(shape, dtype=torch.float64, device=self._log_probs.device)
        cumulative = self._log_probs.detach().double().exp().cumsum(0)
        index = torch.searchsorted(cumulative, uniform * cumulative[-1], right=True)
        last = self.model.state_space.num_states - 1
        return states_at(self.model.state_space, index.clamp(max=last))

    def entropy(self) -> Tensor:
        """Exact entropy in nats."""
        return -(self._log_probs.exp() * self._log_probs).sum()
