"""Objective x proposal x design: the estimate of the sum over neighbors, for each datum."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_rm.checks import check_real
from pyro_rm.control_variates import taylor_correction
from pyro_rm.designs import AllNeighbors, Design, as_design
from pyro_rm.drawn_gaps import drawn_gaps, unit_gaps
from pyro_rm.energy_checks import is_validating
from pyro_rm.energy_protocol import Context, EnergyError
from pyro_rm.estimator_options import EstimatorOptions, Neighborhood, NumNeighbors, check_options
from pyro_rm.joint_levels import drawn_noise, with_level_term
from pyro_rm.neighborhoods import candidates
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.objectives import Objective, as_objective
from pyro_rm.proposals import Proposal, as_proposal
from pyro_rm.state_space import StateSpace
from pyro_rm.swaps import swap_gaps
from pyro_rm.target import Target
from pyro_rm.terms import Terms

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "Estimator",
    "Terms",
    "estimate",
    "estimate_terms",
]

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
    :param neighborhood: ``"changes"`` of one site, or ``"swaps"`` of two sites' values, for data
        whose counts are fixed: see :mod:`pyro_rm.swaps`. Swaps are drawn uniformly.
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
    neighborhood: Neighborhood = "changes"
    _objective: Objective = field(init=False, repr=False, compare=False)
    _proposal: Proposal = field(init=False, repr=False, compare=False)
    _design: Design = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_objective", as_objective(self.objective))
        object.__setattr__(self, "_proposal", as_proposal(self.proposal))
        object.__setattr__(self, "_design", as_design(self.design))
        check_options(self)

    def num_draws(self, target: Target) -> int | None:
        """Draws of the sampling unit for each datum; None where the sum is exact."""
        s, space = self.num_neighbors, target.space
        if s == "all" or isinstance(self._design, AllNeighbors):
            return None
        if self.neighborhood == "swaps":
            return _DEFAULT_NEIGHBORS if s is None else s
        if s is None:
            if target.has_gap_table:
                return None
            s = _DEFAULT_NEIGHBORS
        substituted = space.max_categories - 1
        units = space.num_sites
        if self._objective.sampling_unit == "site":
            s = max(1, s // substituted)
        else:
            units = sum(k - 1 for k in space.categories)
        return None if self._design.exhausts and s >= units else s

    def is_deterministic(self, model: Any, state_space: StateSpace | None = None) -> bool:
        """Whether the same data give the same estimate: the sum is exact, and no level is drawn.

        :param model: An energy, a model or a target.
        :param state_space: The space, where the energy does not say it.
        """
        target = model if isinstance(model, Target) else Target.of(model, state_space)
        return self.num_draws(target) is None and target.levels is None

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Estimates for each datum, ``batch_shape``, of data ``batch_shape + (D,)``."""
        return self.terms(target, target.bind(value)).value

    def terms(self, target: Target, encoded: Tensor) -> Terms:
        """Contributions and weights, whose sum of products is the estimate.

        :param target: The energy, its space, its context and its active sites.
        :param encoded: What :meth:`~pyro_rm.target.Target.bind` makes of the data.
        :returns: Shapes ``units + batch_shape``.
        :raises EnergyError: If an energy or a contribution is not finite, where validation is
            on.
        """
        if target.levels is not None:
            if self.neighborhood == "swaps":
                raise ValueError(
                    "Expected no levels of noise beside neighborhood='swaps': noise does not "
                    "keep the counts that swaps keep."
                )
            return self.leveled_terms(target, encoded, *drawn_noise(target, encoded))
        draws = self.num_draws(target)
        if self.neighborhood == "swaps":
            gaps, weights = swap_gaps(target, encoded, draws, self.max_neighbors_per_chunk)
            return Terms(self._contributions(gaps, weights > 0), weights)
        if draws is None:
            return self._exact(target, encoded)
        return self._sampled(target, encoded, draws)

    def leveled_terms(self, target: Target, encoded: Tensor, level: Tensor, noisy: Tensor) -> Terms:
        """Contributions of pairs, after those of the data where pairs have a weight beside them.

        :param target: One with levels.
        :param encoded: The data, ``batch_shape + encoded_shape``.
        :param level: A level for each, ``batch_shape``.
        :param noisy: The data at it, of the shape of ``encoded``.
        :returns: Shapes ``units + batch_shape``.
        """
        assert target.levels is not None
        weight = target.levels.noise_weight
        if weight is None:
            return self.joint_terms(target, level, noisy)
        own, few = self.terms(replace(target, levels=None), encoded), self
        if self.num_draws(target) is not None:
            asked = _DEFAULT_NEIGHBORS if self.num_neighbors is None else int(self.num_neighbors)
            few = replace(self, num_neighbors=math.ceil(asked / 3))
        pairs = few.joint_terms(target, level, noisy)
        return own.beside(pairs, weight)

    def joint_terms(self, target: Target, level: Tensor, encoded: Tensor) -> Terms:
        r"""Contributions of data at levels of noise, that of the level itself last.

        :param target: One with levels.
        :param level: The level of each datum, ``batch_shape``.
        :param encoded: The data, noisy, ``batch_shape + encoded_shape``.
        :returns: Shapes ``units + 1 + batch_shape``.
        :raises ValueError: If the objective is not consistent, so that levels would not tie.
        """
        assert target.levels is not None
        if self._objective.kappa != 1:
            raise ValueError(
                f"Expected a consistent objective with levels of noise, but got "
                f"{self._objective!r}. Use objective='pseudolikelihood'."
            )
        return with_level_term(target, level, encoded, self.terms(target.on(level), encoded))

    def _exact(self, target: Target, x: Tensor) -> Terms:
        table = target.gap_table(x, self.max_neighbors_per_chunk)
        mask = self._candidates(target, x)
        terms = self._contributions(unit_gaps(target.space, x, table, self._objective), mask)
        weights = torch.ones_like(terms[..., :1]) if mask is None else mask.to(terms.dtype)
        rank = len(target.batch_shape_of(x))
        weights = weights.expand(terms.shape).flatten(rank).movedim(-1, 0)
        return Terms(terms.flatten(rank).movedim(-1, 0), weights)

    def _sampled(self, target: Target, x: Tensor, draws: int) -> Terms:
        phi, chunk = self._objective, self.max_neighbors_per_chunk
        target = target.prepared(x)
        with torch.no_grad():
            mask = self._candidates(target, x)
            draw = self._design.draw(self._proposal.sizes(target, x, phi, mask), draws)
        gaps = drawn_gaps(target, x, phi, draw, chunk)
        terms = self._contributions(gaps, draw.weights > 0)
        correction = None
        if self.control_variate:
            correction = taylor_correction(target, x, phi, mask, draw, chunk)
        return Terms(terms, draw.weights, correction)

    def _candidates(self, target: Target, x: Tensor) -> Tensor | None:
        """Which sampling units there are; None for all."""
        sites = self._objective.sampling_unit == "site"
        if target.active is None and (sites or target.space.is_binary):
            return None
        return candidates(target.space, x, target.active, sites=sites)

    def _contributions(self, gaps: Tensor, counted: Tensor | None) -> Tensor:
        """Contributions of gaps, 0 where they do not count."""
        terms = self._objective(gaps)
        if counted is not None:
            terms = torch.where(counted, terms, 0.0)
        if is_validating() and not terms.detach().isfinite().all():
            raise EnergyError(
                f"Expected finite contributions, but {self._objective!r} overflowed at a gap of "
                f"{gaps.detach().max().item():.4g} in {gaps.dtype}. Use "
                "objective='pseudolikelihood', which grows linearly, or a lower learning rate."
            )
        return terms


def estimate(
    model: Any,
    x: Tensor,
    *,
    state_space: StateSpace | None = None,
    context: Tensor | Context = (),
    active: Tensor | None = None,
    levels: NoiseLevels | None = None,
    **options: Unpack[EstimatorOptions],
) -> Tensor:
    """Estimate of the objective for each datum, without a Pyro program.

    :param model: An energy (see :mod:`pyro_rm.energy_protocol`), an
        :class:`~pyro_rm.distributions.EnergyModel` or a :class:`~pyro_rm.Target`.
    :param x: Data, ``batch_shape + (D,)``.
    :param state_space: The space, where the energy does not say it.
    :param context: Tensors whose leading dimensions are ``batch_shape``.
    :param active: Booleans that broadcast to ``x``.
    :param levels: Levels of noise that the energy knows: the data are scored at random ones, and
        so are these.
    :param options: Those of an :class:`Estimator`, such as ``objective`` and ``num_neighbors``.
    :returns: Shape ``batch_shape``; differentiable in the energy's parameters.
    :raises TypeError: If an argument is of another type.
    :raises ValueError: If an option is out of range, the data are not of the space, or the
        energy is not finite, of the wrong shape, or not differentiable where that is needed.

    Example:

        >>> estimate(lambda x: x.sum(-1), torch.zeros(2, 3), state_space=StateSpace(3))
        tensor([0.9398, 0.9398])

    .. note:: Costs what the estimator visits, and is as unbiased as it: see :class:`Estimator`.
    """
    return estimate_terms(
        model, x, state_space=state_space, context=context, active=active, levels=levels, **options
    ).value


def estimate_terms(
    model: Any,
    x: Tensor,
    *,
    state_space: StateSpace | None = None,
    context: Tensor | Context = (),
    active: Tensor | None = None,
    levels: NoiseLevels | None = None,
    **options: Unpack[EstimatorOptions],
) -> Terms:
    """What :func:`estimate` sums: contributions, weights and their effective sample size.

    :param model: As for :func:`estimate`, like all other arguments.
    :param x: Data, ``batch_shape + (D,)``.
    :param state_space: The space, where the energy does not say it.
    :param context: Tensors whose leading dimensions are ``batch_shape``.
    :param active: Booleans that broadcast to ``x``.
    :param levels: Levels of noise that the energy knows: the data are scored at random ones, and
        so are these.
    :param options: Those of an :class:`Estimator`.
    :returns: Shapes ``units + batch_shape``.
    :raises ValueError: As :func:`estimate`.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> terms = estimate_terms(IsingEnergy(4), torch.zeros(5, 4), num_neighbors=2)
        >>> terms.effective_sample_size
        tensor([2., 2., 2., 2., 2.])

    .. note:: Costs what the estimator visits: see :class:`Estimator`.
    """
    estimator = Estimator(**options)
    check_real(x)
    target = Target.of(
        model,
        state_space,
        context=context,
        active=active,
        levels=levels,
        batch_shape=x.shape[:-1],
    )
    return estimator.terms(target, target.bind(x))
