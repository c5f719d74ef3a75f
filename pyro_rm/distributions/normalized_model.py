"""Energy-based models with a small support, normalized by enumeration."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.distributions.energy_model import EnergyModel
from pyro_rm.enumeration import Enumeration, states_at
from pyro_rm.target import Target


class NormalizedModel(TorchDistribution):
    r"""An energy-based model with a small support, normalized by enumeration.

    :param model: An :class:`EnergyModel` without batch dimensions.
    :param max_states: Refuse larger supports.
    :param chunk_size: States to evaluate at once, about.
    :raises TypeError: If ``model`` is an energy rather than a model.
    :raises ValueError: If the support is larger, or the model has a batch shape.

    Example:

        >>> from pyro_rm.distributions import Ising
        >>> exact = NormalizedModel(Ising(torch.zeros(3, 3)))
        >>> exact.log_partition
        tensor(2.0794)
        >>> exact.log_prob(torch.ones(3))
        tensor(-2.0794)

    A latent site of this kind can be enumerated: ``infer={"enumerate": "parallel"}``.

    .. note:: Each of ``log_partition``, ``sample`` and ``entropy`` costs one energy a state,
        ``log_partition`` once; memory is bounded by ``chunk_size``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False
    has_enumerate_support = True

    def __init__(
        self, model: EnergyModel, *, max_states: int = 2**24, chunk_size: int = 2**16
    ) -> None:
        if not isinstance(model, EnergyModel):
            raise TypeError(
                f"Expected an EnergyModel, but got {model!r}. Wrap it: EnergyModel(...)."
            )
        space = model.state_space
        if space.num_states > max_states:
            raise ValueError(
                f"Expected at most {max_states} states, but got {space.num_states}; "
                "raise max_states if time allows."
            )
        if model.active is not None:
            raise ValueError("Expected a model of all sites, but got one with inactive sites.")
        if model.context:
            raise ValueError("Expected a model without context, but got a conditional one.")
        if model.batch_shape:
            raise ValueError(f"Expected an empty batch shape, but got {tuple(model.batch_shape)}.")
        self.model = model
        self._enumeration = Enumeration(model.target_at(), chunk_size=chunk_size)
        self._log_block_sums = self._enumeration.log_block_sums()
        self.log_partition = self._log_block_sums.logsumexp(0)
        super().__init__(torch.Size(), model.event_shape, validate_args=False)

    def target_at(self, batch_shape: torch.Size | None = None) -> Target:
        """The target of the model underneath."""
        return self.model.target_at(batch_shape)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """The support of the model."""
        return self.model.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> NormalizedModel:
        """The same model with a larger batch shape: independent copies."""
        new = self._get_checked_instance(NormalizedModel, _instance)
        new.model, new.log_partition = self.model, self.log_partition
        new._enumeration, new._log_block_sums = self._enumeration, self._log_block_sums
        TorchDistribution.__init__(new, torch.Size(batch_shape), self.event_shape)
        return new

    def __repr__(self) -> str:
        return f"NormalizedModel({self.model!r}, batch_shape={tuple(self.batch_shape)})"

    def log_prob(self, value: Tensor) -> Tensor:
        """Exact log probabilities, of the broadcast batch shape; differentiable in the energy."""
        target = self._enumeration.target
        target.space.validate(value)
        log_prob = -target(target.encode(value)) - self.log_partition
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Exact draws, ``sample_shape + batch_shape + (D,)``."""
        shape = torch.Size(sample_shape) + self.batch_shape
        draws = self._enumeration.draw(shape.numel(), self._log_block_sums)
        return draws.view(shape + self.event_shape)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All states, so that Pyro can sum a latent site out exactly.

        :param expand: Whether to repeat them over the batch shape.
        :returns: Shape ``(num_states,) + batch_shape + (D,)``, or with ones for the batch shape.
        """
        space = self.model.state_space
        states = states_at(space, torch.arange(space.num_states, device=self.log_partition.device))
        wide = states.view(-1, *(1 for _ in self.batch_shape), *self.event_shape)
        return wide.expand(-1, *self.batch_shape, *self.event_shape) if expand else wide

    def entropy(self) -> Tensor:
        """Exact entropy in nats, ``batch_shape``."""
        entropy = self._enumeration.mean_energy() + self.log_partition
        return entropy.expand(self.batch_shape)
