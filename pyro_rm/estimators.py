"""Objective x proposal x design: the estimate of the sum over neighbors, for each datum."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pyro_rm.checks import as_context
from pyro_rm.control_variates import taylor_correction
from pyro_rm.designs import AllNeighbors, Design, as_design
from pyro_rm.drawn_gaps import drawn_gaps
from pyro_rm.energy_gaps import energy_gaps, gap_table, has_gap_table, prepared_at
from pyro_rm.energy_protocol import (
    Context,
    Energy,
    EnergyError,
    check_context,
    check_energy,
    energy_dtype,
    is_validating,
    space_of,
)
from pyro_rm.neighborhoods import all_neighbors, candidates
from pyro_rm.objectives import Objective, as_objective
from pyro_rm.proposals import Proposal, as_proposal
from pyro_rm.state_space import StateSpace
from pyro_rm.terms import Terms

__all__ = ["Estimator", "NumNeighbors", "estimate", "estimate_terms"]

NumNeighbors = int | Literal["all"] | None  #: Neighbors visited a datum.
_DEFAULT_NEIGHBORS = 10


@dataclass(frozen=True)
class Estimator:
    """How the sum of an objective over all neighbors is estimated.

    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param num_neighbors: Neighbors visited a datum. ``"all"`` is the exact sum; None is
        exact where the energy gives all gaps in closed form, else 10.
    :param proposal: Name or :class:`~pyro_rm.proposals.Proposal`.
    :param design: Name or :class:`~pyro_rm.designs.Design`.
    :param max_neighbors_per_chunk: Bound on neighbor states evaluated at once.
    :param control_variate: Whether to correct sampled sums by the first-order contributions of
        all neighbors, see :mod:`pyro_rm.control_variates`; exact sums need none.
    :raises ValueError: If an option is out of range.

    .. note:: Unbiased in value and gradient if the design is. Costs one energy and
        ``num_neighbors`` neighbors a datum, and the proposal; a control variate costs about two
        energies more and a neighbor without its gradient.
    """

    objective: str | Objective = "pseudolikelihood"
    num_neighbors: NumNeighbors = None
    _: KW_ONLY
    proposal: str | Proposal = "uniform"
    design: str | Design = "proportional_to_size"
    max_neighbors_per_chunk: int | None = None
    control_variate: bool = False
    _objective: Objective = field(init=False, repr=False)
    _proposal: Proposal = field(init=False, repr=False)
    _design: Design = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_objective", as_objective(self.objective))
        object.__setattr__(self, "_proposal", as_proposal(self.proposal))
        object.__setattr__(self, "_design", as_design(self.design))
        s = self.num_neighbors
        if s is not None and s != "all" and (not isinstance(s, int) or s < 1):
            raise ValueError(
                f"Expected num_neighbors to be a positive integer, 'all' or None, but got {s!r}."
            )
        bound = self.max_neighbors_per_chunk
        if bound is not None and (not isinstance(bound, int) or bound < 1):
            raise ValueError(
                f"Expected max_neighbors_per_chunk to be a positive integer or None, "
                f"but got {bound!r}."
            )
        if self.control_variate and not self._design.unbiased:
            raise ValueError(
                f"Expected an unbiased design with control_variate=True, but got {self._design!r}, "
                "whose bias it would change. Use design='proportional_to_size'."
            )

    def num_draws(self, energy: Energy, space: StateSpace) -> int | None:
        """Draws of the sampling unit for each datum; None where the sum is exact."""
        s = self.num_neighbors
        if s == "all" or isinstance(self._design, AllNeighbors):
            return None
        if s is None:
            if has_gap_table(energy):
                return None
            s = _DEFAULT_NEIGHBORS
        substituted = space.max_categories - 1
        units = space.num_sites
        if self._objective.sampling_unit == "site":
            s = max(1, s // substituted)
        else:
            units = sum(k - 1 for k in space.categories)
        return None if self._design.exhausts and s >= units else s

    def is_deterministic(
        self, energy: Energy, space: StateSpace, active: Tensor | None = None
    ) -> bool:
        """Whether the same data give the same estimate: the sum is exact."""
        return self.num_draws(energy, space) is None

    def __call__(
        self, energy: Energy, space: StateSpace, value: Tensor, context: Context = (),
        active: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Estimates for each datum, ``batch_shape``; parameters as for :meth:`terms`."""
        return self.terms(energy, space, value, context, active).value

    def terms(
        self,
        energy: Energy,
        space: StateSpace,
        value: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Terms:
        """Contributions and weights, whose sum of products is the estimate.

        :param energy: The energy.
        :param space: Its state space.
        :param value: Data, ``batch_shape + (D,)``.
        :param context: Tensors of full batch rank.
        :param active: Booleans that broadcast to ``batch_shape + (D,)``; sites that are
            False are never flipped or counted. They keep their value if it is a state, else
            (NaN, padding) they are in the first one; for missing cells see
            :class:`~pyro_rm.infer.GibbsFill`.
        :returns: Shapes ``units + batch_shape``.
        :raises ValueError: If the data are not of the space, or an energy or a contribution
            is not finite, where validation is on.
        """
        if is_validating():
            space.validate(value, active)
            check_energy(energy, space)
        if active is not None:
            value = torch.where(active | space.contains(value), value, float(space.states[0]))
        encoded = space.encode(value, energy_dtype(energy, value))
        draws = self.num_draws(energy, space)
        if draws is None:
            return self._exact(energy, space, encoded, context, active)
        return self._sampled(energy, space, encoded, context, active, draws)

    def _exact(
        self, energy: Energy, space: StateSpace, x: Tensor, context: Context, active: Tensor | None
    ) -> Terms:
        if has_gap_table(energy):
            gaps, mask = gap_table(energy, x, context), candidates(space, x, None)
            gaps = gaps[None] if space.is_binary else gaps.movedim(-1, 0)
            mask = None if mask is None else mask.movedim(-1, 0)
        else:
            neighbors, exists = all_neighbors(space, x)
            flat = energy_gaps(energy, space, x, neighbors, context, self.max_neighbors_per_chunk)
            gaps = flat.unflatten(0, (-1, space.num_sites)).movedim(1, -1)
            mask = None
            if not space.is_binary:
                mask = exists.unflatten(0, (-1, space.num_sites)).movedim(1, -1)
        terms = self._contributions(gaps, mask)
        weights = torch.ones_like(terms[..., :1]) if active is None else active.to(terms.dtype)
        if active is not None:
            terms = torch.where(active, terms, 0.0)
        return Terms(terms.movedim(-1, 0), weights.expand(terms.shape).movedim(-1, 0))

    def _sampled(
        self, energy: Energy, space: StateSpace, x: Tensor, context: Context,
        active: Tensor | None, draws: int,
    ) -> Terms:  # fmt: skip
        phi, chunk = self._objective, self.max_neighbors_per_chunk
        energy = prepared_at(energy, x, context)
        with torch.no_grad():
            mask = candidates(space, x, active, sites=phi.sampling_unit == "site")
            sizes = self._proposal.sizes(energy, space, x, context, phi, mask)
            draw = self._design.draw(sizes, draws)
        gaps = drawn_gaps(energy, space, x, context, phi, draw, chunk)
        terms = torch.where(draw.weights > 0, self._contributions(gaps[None], None), 0.0)
        correction = None
        if self.control_variate:
            correction = taylor_correction(energy, space, x, context, phi, mask, draw, chunk)
        return Terms(terms, draw.weights, correction)

    def _contributions(self, gaps: Tensor, exists: Tensor | None) -> Tensor:
        """Contributions of gaps ``(substitutions, ...)``, summed over the substitutions."""
        if self._objective.sampling_unit == "site":
            if exists is not None:
                gaps = gaps.masked_fill(~exists, -torch.inf)
            terms = self._objective(gaps.logsumexp(0) if gaps.shape[0] > 1 else gaps[0])
        else:
            terms = self._objective(gaps)
            terms = (terms if exists is None else torch.where(exists, terms, 0.0)).sum(0)
        if is_validating() and not terms.detach().isfinite().all():
            raise EnergyError(
                f"Expected finite contributions, but {self._objective!r} overflowed at a gap of "
                f"{gaps.detach().max().item():.4g} in {gaps.dtype}. Use "
                "objective='pseudolikelihood', which grows linearly, or a lower learning rate."
            )
        return terms


def estimate(
    energy: Energy,
    x: Tensor,
    *,
    objective: str | Objective = "pseudolikelihood",
    num_neighbors: NumNeighbors = None,
    proposal: str | Proposal = "uniform",
    design: str | Design = "proportional_to_size",
    state_space: StateSpace | None = None,
    context: Tensor | Context = (),
    active: Tensor | None = None,
    max_neighbors_per_chunk: int | None = None,
    control_variate: bool = False,
) -> Tensor:
    """Estimate of the objective for each datum, without a Pyro program.

    :param energy: A callable on encoded data; see :mod:`pyro_rm.energy_gaps`.
    :param x: Data, ``batch_shape + (D,)``.
    :param objective: Name or :class:`~pyro_rm.objectives.Objective`; see :class:`Estimator`.
    :param num_neighbors: Visited neighbors of each datum, or ``"all"``.
    :param proposal: Name or :class:`~pyro_rm.proposals.Proposal`.
    :param design: Name or :class:`~pyro_rm.designs.Design`.
    :param state_space: The space, where the energy does not say it.
    :param context: Tensors whose leading dimensions are ``batch_shape``.
    :param active: Booleans that broadcast to ``x``.
    :param max_neighbors_per_chunk: Bounds the states evaluated at once.
    :param control_variate: Whether first-order contributions correct sampled sums.
    :returns: Shape ``batch_shape``; differentiable in the energy's parameters.
    :raises ValueError: If an option is out of range, the data are not of the space, or the
        energy is not finite, of the wrong shape, or not differentiable where that is needed.

    Example:

        >>> estimate(lambda x: x.sum(-1), torch.zeros(2, 3), state_space=StateSpace(3))
        tensor([0.9398, 0.9398])

    .. note:: Costs what the estimator visits, and is as unbiased as it: see :class:`Estimator`.
    """
    return estimate_terms(
        energy, x,
        objective=objective, num_neighbors=num_neighbors, proposal=proposal, design=design,
        state_space=state_space, context=context, active=active,
        max_neighbors_per_chunk=max_neighbors_per_chunk, control_variate=control_variate,
    ).value  # fmt: skip


def estimate_terms(
    energy: Energy,
    x: Tensor,
    *,
    objective: str | Objective = "pseudolikelihood",
    num_neighbors: NumNeighbors = None,
    proposal: str | Proposal = "uniform",
    design: str | Design = "proportional_to_size",
    state_space: StateSpace | None = None,
    context: Tensor | Context = (),
    active: Tensor | None = None,
    max_neighbors_per_chunk: int | None = None,
    control_variate: bool = False,
) -> Terms:
    """What :func:`estimate` sums: contributions, weights and their effective sample size.

    :param energy: As for :func:`estimate`, also the others.
    :param x: Data, ``batch_shape + (D,)``.
    :param objective: What a gap costs.
    :param num_neighbors: Visited neighbors of each datum, or ``"all"``.
    :param proposal: Where to look.
    :param design: How to draw and to weigh.
    :param state_space: The space, where the energy does not say it.
    :param context: Tensors whose leading dimensions are ``batch_shape``.
    :param active: Booleans that broadcast to ``x``.
    :param max_neighbors_per_chunk: Bounds the states evaluated at once.
    :param control_variate: Whether first-order contributions correct sampled sums.
    :returns: Shapes ``units + batch_shape``.
    :raises ValueError: As :func:`estimate`.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> terms = estimate_terms(IsingEnergy(4), torch.zeros(5, 4), num_neighbors=2)
        >>> terms.effective_sample_size
        tensor([2., 2., 2., 2., 2.])

    .. note:: Costs what the estimator visits: see :class:`Estimator`.
    """
    estimator = Estimator(objective, num_neighbors, proposal=proposal, design=design,
                          max_neighbors_per_chunk=max_neighbors_per_chunk,
                          control_variate=control_variate)  # fmt: skip
    space = space_of(energy, state_space)
    space.validate_shape(x)
    wide = as_context(context)
    if is_validating():
        check_context(wide, x.shape[:-1])
    return estimator.terms(energy, space, x, wide, active)
