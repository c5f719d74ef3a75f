"""Energy-based models as Pyro distributions."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.energies import IsingFunction
from pyro_rm.energy_gaps import Energy, energy_dtype, evaluate_energy
from pyro_rm.enumeration import index_of, state_chunks, states_at
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


class Ising(EnergyModel):
    r"""Ising model with given couplings and fields.

    :math:`\log p(x) = \tfrac12 x^\top J x + h^\top x + \text{const}`. The literature's
    :math:`x^\top J' x` is ``couplings=2 * J'``.

    :param couplings: Symmetric with zero diagonal, ``batch_shape + (D, D)``.
    :param fields: ``batch_shape + (D,)``; zeros if None.
    :param states: Values of a site, ``(0, 1)`` or ``(-1, 1)``.
    :raises ValueError: If the couplings are not square, symmetric and zero on the diagonal.

    Example:

        >>> Ising(torch.zeros(7, 3, 3), torch.zeros(3)).batch_shape
        torch.Size([7])
    """

    def __init__(
        self,
        couplings: Tensor,
        fields: Tensor | None = None,
        states: tuple[float, float] = (0, 1),
        *,
        validate_args: bool | None = None,
    ) -> None:
        size = couplings.shape[-1]
        if couplings.dim() < 2 or couplings.shape[-2] != size:
            raise ValueError(
                f"Expected couplings of shape (..., D, D), but got {tuple(couplings.shape)}."
            )
        fields = couplings.new_zeros(size) if fields is None else fields
        if fields.shape[-1:] != couplings.shape[-1:]:
            raise ValueError(
                f"Expected fields of shape (..., {size}), but got {tuple(fields.shape)}."
            )
        validate = self._validate_args if validate_args is None else validate_args
        if validate and (couplings.diagonal(dim1=-2, dim2=-1) != 0).any():
            raise ValueError(
                "Expected couplings with a zero diagonal, but got other values there; "
                "move them to the fields."
            )
        if validate and not torch.allclose(couplings, couplings.mT):
            raise ValueError("Expected symmetric couplings, but got others; use (J + J.mT) / 2.")
        self.couplings, self.fields = couplings, fields
        batch_shape = torch.broadcast_shapes(couplings.shape[:-2], fields.shape[:-1])
        function = IsingFunction(couplings, fields, StateSpace(size, states=states))
        super().__init__(function, batch_shape=batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Ising:
        """The same model with a larger batch shape."""
        new: Any = self._get_checked_instance(Ising, _instance)
        super().expand(batch_shape, _instance=new)
        new.couplings, new.fields = self.couplings, self.fields
        return new


class NormalizedModel(TorchDistribution):
    r"""An energy-based model with a small support, normalized by enumeration.

    :param model: An :class:`EnergyModel` without batch dimensions.
    :param max_states: Refuse larger supports.
    :raises ValueError: If the support is larger, or the model has a batch shape.

    Example:

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
