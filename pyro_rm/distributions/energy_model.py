"""Energy-based models as Pyro distributions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.checks import check_active
from pyro_rm.energy_protocol import Context, Energy
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.read_off import leveled_log_prob
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


class IntractableLikelihoodError(ValueError):
    """The normalized log probability of an energy-based model was asked for."""


class EnergyModel(TorchDistribution):
    r"""A discrete energy-based model :math:`p(x) \propto e^{-E(x)}` with any energy.

    :param energy: A callable or module on encoded data, ``batch_shape + encoded_shape``
        to ``batch_shape``. One with batched parameters says so by an attribute
        ``batch_shape``.
    :param state_space: The space, where the energy does not say it.
    :param context: A tensor or a tuple of them, for conditional models: the energy is
        called as ``energy(x, *context)``. Shapes ``batch_shape + ...``.
    :param context_event_dim: How many trailing dimensions of each context tensor are not
        batch dimensions: one number, or one for each.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``: sites that are False
        are never flipped or counted, and may be NaN (padding, clamped or missing cells).
    :param levels: Levels of noise that the energy knows (its ``num_levels``). Losses then score
        the data at random ones, which gets far modes right, and the model is normalized: see
        :meth:`log_prob`.
    :param sampler: How :meth:`sample` draws: the length, the step and the start of its chains.
    :raises ValueError: If the space is unknown, or a shape does not fit.

    Example:

        >>> EnergyModel(lambda x: x.sum(-1), state_space=StateSpace(3)).event_shape
        torch.Size([3])
        >>> def conditional(x, field):
        ...     return -(field * x).sum(-1)
        >>> field = torch.zeros(7, 3)
        >>> EnergyModel(conditional, state_space=StateSpace(3), context=field).batch_shape
        torch.Size([7])

    .. note:: Free until it is fitted or drawn from: only losses and samplers evaluate an energy.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False
    has_enumerate_support = False

    def __init__(
        self,
        energy: Energy,
        *,
        state_space: StateSpace | None = None,
        context: Tensor | Context = (),
        context_event_dim: int | tuple[int, ...] = 1,
        active: Tensor | None = None,
        levels: NoiseLevels | None = None,
        sampler: MarkovSampler | None = None,
        batch_shape: torch.Size | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if hasattr(energy, "target_at"):
            raise TypeError(f"Expected an energy, but got the model {energy!r}; pass its .energy.")
        target = Target.of(energy, state_space, context=context, active=active, levels=levels)
        event_shape = torch.Size((target.space.num_sites,))
        if active is not None:
            check_active(active, event_shape)
            if active.shape[-1:] != event_shape:
                active = active.expand(torch.broadcast_shapes(active.shape, event_shape))
                target = replace(target, active=active)
        shapes = [batch_shape or torch.Size(), getattr(energy, "batch_shape", torch.Size())]
        if active is not None:
            shapes.append(active.shape[:-1])
        self.context_event_dim: tuple[int, ...] = ()
        if target.context:
            self.context_event_dim = _per_tensor(context_event_dim, target.context)
            pairs = zip(target.context, self.context_event_dim, strict=True)
            shapes += [c.shape[: c.dim() - d] for c, d in pairs]
        self._target, self.sampler = target, sampler
        self.energy, self.state_space = target.energy, target.space
        self.context, self.active = target.context, target.active
        shape = torch.broadcast_shapes(*shapes)
        super().__init__(shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """The constraint that a datum satisfies."""
        return self.state_space.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> EnergyModel:
        """The same model with a larger batch shape."""
        new: EnergyModel = self._get_checked_instance(EnergyModel, _instance)
        names = ("_target", "sampler", "energy", "state_space", "context", "active")
        for name in (*names, "context_event_dim"):
            setattr(new, name, getattr(self, name))
        TorchDistribution.__init__(
            new, torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def target_at(self, batch_shape: torch.Size | None = None) -> Target:
        """What estimators, steps and evaluation receive: the energy, its context, its active sites.

        :param batch_shape: Shape of the data, which ``batch_shape`` broadcasts with.
        :returns: With context of full rank, without copies.
        """
        if not self.context:
            return self._target
        shape = self.batch_shape
        if batch_shape is not None:
            shape = torch.broadcast_shapes(shape, batch_shape)
        return replace(self._target, context=self.wide_context(shape))

    def wide_context(self, batch_shape: torch.Size) -> Context:
        """The context at the full rank of a batch shape, as energies take it.

        :param batch_shape: A shape that ``batch_shape`` broadcasts to.
        :returns: Tensors of shape ``batch_shape + ...``, without copies.
        """
        pairs = zip(self.context, self.context_event_dim, strict=True)
        return tuple(c.expand(batch_shape + c.shape[c.dim() - d :]) for c, d in pairs)

    def __repr__(self) -> str:
        energy = getattr(self.energy, "__name__", type(self.energy).__name__)
        return (
            f"{type(self).__name__}({energy}, num_sites={self.state_space.num_sites}, "
            f"batch_shape={tuple(self.batch_shape)})"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Log probabilities, where they can be read off levels of noise.

        :math:`-E(x) - \log Z` with the :math:`\log Z` of :func:`~pyro_rm.evaluation.read_off`, the
        same in each call while the parameters are. For mixtures, responsibilities and evaluation:
        no gradient reaches the energy, which is fitted by a loss. Of active sites given the others,
        where some are not active, and given the context.

        :param value: Data, ``batch_shape + (D,)``.
        :returns: The broadcast batch shape, detached.
        :raises IntractableLikelihoodError: If there are no levels, so that the partition function
            is unknown.

        .. note:: Costs one energy a datum and 4096 for the partition function; 256 a datum where
            there are inactive sites or a context, as each then has its own.
        """
        if self._target.levels is None:
            raise IntractableLikelihoodError(
                f"Expected a normalized distribution, but the partition function of "
                f"{type(self).__name__} is unknown. Fit it with loss=pyro_rm.RatioMatchingLoss(), "
                "or handle the model with pyro_rm.poutine.ratio_matching. For its value, give it "
                "levels of noise, wrap a small model in NormalizedModel, or use "
                "pyro_rm.evaluation.log_likelihood."
            )
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return leveled_log_prob(self.target_at(shape), value.expand(*shape, value.shape[-1]))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws by the model's sampler: the ends of chains of ``num_steps`` steps.

        :param sample_shape: How many draws.
        :returns: Shape ``sample_shape + batch_shape + (D,)``; floats if binary, else codes.
            Inactive sites keep their value in ``sampler.initial``.
        :raises IntractableLikelihoodError: If the model has no sampler.
        """
        if self.sampler is None:
            raise IntractableLikelihoodError(
                f"Expected an observed site or a sampler, but {type(self).__name__} has none and "
                "its exact draws are intractable. Pass obs=, or say how long to run a chain: "
                "sampler=pyro_rm.MarkovSampler(num_steps=100)."
            )
        return self.sampler(self, sample_shape=sample_shape)


def _per_tensor(event_dim: int | tuple[int, ...], context: Context) -> tuple[int, ...]:
    dims = (event_dim,) * len(context) if isinstance(event_dim, int) else tuple(event_dim)
    if len(dims) != len(context) or any(
        d < 0 or d > c.dim() for c, d in zip(context, dims, strict=True)
    ):
        raise ValueError(
            f"Expected context_event_dim to say how many trailing dimensions of each context "
            f"tensor are not batch dimensions, but got {event_dim} for shapes "
            f"{[tuple(c.shape) for c in context]}."
        )
    return dims
