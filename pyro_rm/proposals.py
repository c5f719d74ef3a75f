r"""Where to look: how large the contribution of each candidate is expected to be.

A proposal gives the logarithms of sizes, without parameters and detached, and a share of
uniform draws that keeps weights bounded (defensive importance sampling).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from pyro_rm.checks import look_up
from pyro_rm.drawn_gaps import unit_gaps
from pyro_rm.energy_protocol import wide
from pyro_rm.objectives import Objective
from pyro_rm.target import Target

__all__ = [
    "Activity",
    "GradientGuided",
    "Oracle",
    "Proposal",
    "Uniform",
]

_LOG_FLOOR = -20.0


class Proposal(ABC):
    r"""Expected sizes of candidates; :attr:`depends_on_energy` says what they rest on.

    :param uniform_share: Share of the uniform distribution that is mixed in, in [0, 1].
    :raises ValueError: If the share is out of range.
    """

    depends_on_energy: ClassVar[bool] = True

    def __init__(self, uniform_share: float = 0.1) -> None:
        if not 0 <= uniform_share <= 1:
            raise ValueError(f"Expected uniform_share in [0, 1], but got {uniform_share}.")
        self.uniform_share = uniform_share

    @abstractmethod
    def log_sizes(self, target: Target, encoded: Tensor, objective: Objective) -> Tensor:
        """Log sizes of all candidates.

        :param target: The energy and its space.
        :param encoded: Encoded data, ``batch_shape + encoded_shape``.
        :param objective: The objective to match.
        :returns: ``batch_shape + (D,)``, or ``batch_shape + (D, K_max)`` if categorical
            and the objective's sampling unit is the neighbor.
        """

    def sizes(
        self, target: Target, encoded: Tensor, objective: Objective, candidates: Tensor | None
    ) -> Tensor:
        """Normalized sizes of all candidates, flattened.

        :param candidates: Which entries may be visited, None for all.
        :returns: ``batch_shape + (candidates,)``, zero where nothing may be visited. Sizes
            below 2e-9 of the largest are raised to it, so that none is lost to rounding.
        """
        log_sizes = self.log_sizes(target, encoded, objective).detach()
        log_sizes = wide(log_sizes).flatten(len(target.batch_shape_of(encoded)))
        if candidates is not None:
            candidates = candidates.reshape(log_sizes.shape)
            log_sizes = log_sizes.masked_fill(~candidates, -torch.inf)
        top = log_sizes.amax(-1, keepdim=True).clamp(min=torch.finfo(log_sizes.dtype).min)
        sizes = (log_sizes - top).clamp_(min=_LOG_FLOOR).exp_()
        evenly: float | Tensor = self.uniform_share / sizes.shape[-1]
        if candidates is not None:
            sizes = sizes * candidates
            count = candidates.sum(-1, keepdim=True).clamp(min=1)
            evenly = self.uniform_share * candidates.to(sizes.dtype) / count
        total = sizes.sum(-1, keepdim=True).clamp(min=torch.finfo(sizes.dtype).tiny)
        return sizes.mul_((1 - self.uniform_share) / total).add_(evenly)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(uniform_share={self.uniform_share})"


class Uniform(Proposal):
    """Every candidate alike. Free.

    Example:

        >>> Uniform()
        Uniform()
    """

    depends_on_energy = False

    def __init__(self) -> None:
        super().__init__(uniform_share=1.0)

    def __repr__(self) -> str:
        return "Uniform()"

    def log_sizes(self, target: Target, encoded: Tensor, objective: Objective) -> Tensor:
        """Zeros."""
        return torch.zeros_like(_per_unit(target, encoded, objective))

    def sizes(
        self, target: Target, encoded: Tensor, objective: Objective, candidates: Tensor | None
    ) -> Tensor:
        """Normalized sizes; where all may be visited, one number in memory."""
        if candidates is not None:
            return super().sizes(target, encoded, objective, candidates)
        table = _per_unit(target, encoded, objective)
        table = table.flatten(len(target.batch_shape_of(encoded)))
        return wide(table.new_ones(()) / table.shape[-1]).expand(table.shape)


class Activity(Proposal):
    r"""Active sites first, for sparse data: half of the mass on sites off the background.

    The idea of [1], with a fixed number of draws: the sites that differ from the
    background (the first state, or category 0) get ``active_share`` of the mass.

    :param active_share: Mass of the active sites, in (0, 1).
    :param uniform_share: Share of the uniform distribution that is mixed in.
    :raises ValueError: If a share is out of range.

    **References**

    [1] Yann Dauphin, Yoshua Bengio (2013) "Stochastic ratio matching of RBMs for sparse
        high-dimensional inputs", NeurIPS.
    """

    depends_on_energy = False

    def __init__(self, active_share: float = 0.5, *, uniform_share: float = 0.1) -> None:
        super().__init__(uniform_share)
        if not 0 < active_share < 1:
            raise ValueError(f"Expected active_share in (0, 1), but got {active_share}.")
        self.active_share = active_share

    def __repr__(self) -> str:
        return f"Activity({self.active_share}, uniform_share={self.uniform_share})"

    def log_sizes(self, target: Target, encoded: Tensor, objective: Objective) -> Tensor:
        """Each site's part of the mass of its group."""
        space = target.space
        first = encoded if space.is_binary else 1 - encoded[..., 0]
        on = first != space.states[0]
        count = on.sum(-1, keepdim=True)
        each_on = self.active_share / count.clamp(min=1)
        each_off = (1 - self.active_share) / (space.num_sites - count).clamp(min=1)
        sizes = torch.where(on, each_on, each_off).log().to(encoded.dtype)
        table = _per_unit(target, encoded, objective)
        return sizes if table.dim() == sizes.dim() else sizes[..., None].expand(table.shape)


class GradientGuided(Proposal):
    r"""Sizes from first-order gaps: :math:`q \propto \phi'(\tilde\delta)`.

    The Taylor gap :math:`\tilde\delta = \langle x - x', \nabla_x E(x) \rangle` is read off
    one gradient in :math:`x` [1], and matched to the *gradient* of the objective, which is
    what training feels. For the squared ratio this is Eq. 10 of [1],
    :math:`q \propto e^{2\tilde\delta}`.

    :param uniform_share: Share of the uniform distribution that is mixed in.

    .. note:: Costs one energy and its gradient in ``x``.

    **References**

    [1] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.
    """

    def log_sizes(self, target: Target, encoded: Tensor, objective: Objective) -> Tensor:
        """Logarithm of the objective's derivative at the Taylor gaps."""
        with torch.no_grad():
            gaps = target.taylor_gaps(encoded)
            return objective.log_derivative(unit_gaps(target.space, encoded, gaps, objective))


class Oracle(Proposal):
    r"""Sizes from the exact gaps, for tests: what the best guidance could reach.

    :param uniform_share: Share of the uniform distribution that is mixed in.

    .. note:: Costs as much as the exact sum.
    """

    def __init__(self, uniform_share: float = 0.0) -> None:
        super().__init__(uniform_share)

    def log_sizes(self, target: Target, encoded: Tensor, objective: Objective) -> Tensor:
        """Logarithm of the objective's derivative at the exact gaps."""
        with torch.no_grad():
            gaps = target.gap_table(encoded)
            return objective.log_derivative(unit_gaps(target.space, encoded, gaps, objective))


def _per_unit(target: Target, encoded: Tensor, objective: Objective) -> Tensor:
    """A tensor of the shape of the candidates."""
    sitewise = objective.sampling_unit == "site" and not target.space.is_binary
    return encoded[..., 0] if sitewise else encoded


_BUILT_IN: Mapping[str, type[Proposal]] = {
    "activity": Activity,
    "gradient": GradientGuided,
    "oracle": Oracle,
    "uniform": Uniform,
}


def as_proposal(proposal: str | Proposal) -> Proposal:
    """Look up a built-in proposal by its name; objects pass through.

    :param proposal: ``"uniform"``, ``"gradient"``, ``"activity"``, ``"oracle"``, or a
        :class:`Proposal`.
    :returns: The proposal.
    :raises ValueError: If the name is unknown.
    :raises TypeError: If it is neither a name nor a :class:`Proposal`.

    Example:

        >>> as_proposal("gradient")
        GradientGuided(uniform_share=0.1)
    """
    return look_up(proposal, Proposal, _BUILT_IN)  # type: ignore[type-abstract]
