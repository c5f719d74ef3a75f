"""Missing cells: filled by the model itself while it is fitted, summed out, or imputed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.distributions import EnergyModel
from pyro_rm.energy_protocol import Context, Energy, check_energy, energy_dtype
from pyro_rm.estimators import Estimator
from pyro_rm.markov_steps import (
    GibbsSweep,
    MarkovSampler,
    MarkovStep,
    add_replicas,
    first_replica,
    move,
    starting_data,
)
from pyro_rm.missing.marginal_energy import MarginalEnergy, most_missing
from pyro_rm.state_space import StateSpace


@dataclass(eq=False)
class GibbsFill:
    r"""Scores observed cells, with missing ones drawn from the current model.

    A cell is missing where it is NaN and inactive. At each evaluation missing cells are redrawn
    by Markov steps, all others clamped; the objective then sums over observed sites only. At the
    true parameters filled rows are draws of the model, so that the gradient has mean zero
    for every consistent objective: unbiased where cells are missing completely at random
    (MCAR) or at random given observed ones (MAR) [1]. Average the last iterations of training,
    as fills are noisy. This is what :class:`~pyro_rm.infer.RatioMatchingLoss` does by default.

    Refused where the same parameters must give the same score (NUTS, nonlinear bounds): there
    :class:`Marginalized` is the choice.

    :param estimator: What scores the filled data.
    :param num_steps: Steps from a random start. Data that come again as the same tensor go
        on from their last fill, by one step.
    :param step: The Markov step, :class:`~pyro_rm.markov_steps.GibbsSweep` if None.
    :raises ValueError: If ``num_steps`` is not positive.

    Example:

        >>> fill = GibbsFill()
        >>> x = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
        >>> def energy(x):
        ...     return -99 * x[..., 0] * x[..., 1]
        >>> fill.filled(energy, StateSpace(2), x, x.isnan())[0]
        tensor([1., 1.])

    .. note:: Costs ``num_steps`` Markov steps, or one, more than ``estimator``.

    **References**

    [1] Roderick Little, Donald Rubin (2019) "Statistical analysis with missing data",
        third edition, Wiley.
    """

    estimator: Estimator = field(default_factory=Estimator)
    _: KW_ONLY
    num_steps: int = 3
    step: MarkovStep = field(default_factory=GibbsSweep)
    _last: tuple[Tensor, Tensor] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_counts(num_steps=self.num_steps)

    def is_deterministic(
        self, energy: Energy, space: StateSpace, active: Tensor | None = None
    ) -> bool:
        """Not where cells may be missing."""
        return active is None and self.estimator.is_deterministic(energy, space)

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        value: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Tensor:
        """Estimates for each datum, ``batch_shape``."""
        if active is not None:
            missing = value.isnan() & ~active
            if missing.any():
                check_energy(energy, space)
                value = self.filled(energy, space, value, missing, context)
        return self.estimator(energy, space, value, context, active)

    def filled(
        self,
        energy: Energy,
        space: StateSpace,
        value: Tensor,
        missing: Tensor,
        context: Context = (),
    ) -> Tensor:
        """Data with missing cells drawn.

        :param energy: The energy.
        :param space: Its state space.
        :param value: Data, ``batch_shape + (D,)``.
        :param missing: Booleans of that shape.
        :param context: Tensors of full batch rank.
        :returns: Data as floats, of the same shape.
        """
        space.validate_shape(value)
        num_steps, last = self.num_steps, self._last
        if last is not None and same_memory(last[0], value):
            start, num_steps = torch.where(missing, last[1], value), 1
        else:
            start = starting_data(energy, space, value.shape[:-1], value)
        encoded = space.encode(start, energy_dtype(energy, start))
        chains = add_replicas(self.step, encoded)
        for _ in range(num_steps):
            chains = move(self.step, energy, space, chains, context, missing).encoded
        filled = space.decode(first_replica(self.step, chains)).to(start.dtype)
        self._last = (value, filled)
        return filled


def same_memory(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are the same memory."""
    return (
        first.data_ptr() == second.data_ptr()
        and first.shape == second.shape
        and first.stride() == second.stride()
    )


@dataclass(frozen=True)
class Marginalized:
    r"""Scores observed cells under the marginal of the model: missing ones are summed out.

    With observed sites :math:`o` and missing ones :math:`m` of a row, the objective takes gaps of
    :math:`F(x_o) = -\log \sum_{x_m} e^{-E(x_o, x_m)}`, the energy of the observed sites'
    marginal. Deterministic, so NUTS may use it. Unbiased where cells are missing completely
    at random (MCAR); where what is missing depends on observed values (MAR) the conditionals of
    a marginal are not those of the rows that show it, and a small bias stays: then use
    :class:`GibbsFill`.

    :param estimator: What scores; the exact sum of the pseudolikelihood by default.
    :param max_missing: Refuse rows with more missing cells.

    Example:

        >>> x = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
        >>> Marginalized()(lambda x: -x.sum(-1), StateSpace(2), x, active=~x.isnan())
        tensor([0.3133, 1.6265])

    .. note:: Costs as much as :math:`K^m` complete data, with the largest number :math:`m` of
        missing cells in a row.
    """

    estimator: Estimator = field(default_factory=lambda: Estimator(num_neighbors="all"))
    _: KW_ONLY
    max_missing: int = 8

    def __post_init__(self) -> None:
        check_counts(0, max_missing=self.max_missing)

    def is_deterministic(
        self, energy: Energy, space: StateSpace, active: Tensor | None = None
    ) -> bool:
        """Where the estimator is."""
        return self.estimator.is_deterministic(energy, space)

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        value: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Tensor:
        """Estimates for each datum, ``batch_shape``."""
        if active is None:
            return self.estimator(energy, space, value, context)
        missing = value.isnan() & ~active
        count = most_missing(missing, self.max_missing)
        if count > 0:
            check_energy(energy, space)
            energy = MarginalEnergy(energy, space, missing, count)
        return self.estimator(energy, space, value, context, active)


def impute(
    model: EnergyModel, value: Tensor, *, num_fills: int = 100, num_steps: int = 20
) -> Tensor:
    """Draw missing cells given the observed ones: multiple imputation [1].

    :param model: The fitted model.
    :param value: Data, ``batch_shape + (D,)``, NaN where missing.
    :param num_fills: Completions of each datum, one chain each.
    :param num_steps: Gibbs sweeps of each chain.
    :returns: Completed data, ``(num_fills,) + batch_shape + (D,)``. Their mean over draws
        imputes a binary cell by its probability.
    :raises TypeError: If the data are no tensor of real numbers.
    :raises ValueError: If their shape or a value is not of the model's space.

    Example:

        >>> def energy(x):
        ...     return -99 * x[..., 0] * x[..., 1]
        >>> model = EnergyModel(energy, state_space=StateSpace(2))
        >>> impute(model, torch.tensor([1.0, torch.nan]), num_fills=3)
        tensor([[1., 1.],
                [1., 1.],
                [1., 1.]])

    .. note:: Costs ``num_steps`` sweeps of ``num_fills`` copies of the data.

    **References**

    [1] Donald Rubin (1987) "Multiple imputation for nonresponse in surveys", Wiley.
    """
    check_counts(num_fills=num_fills)
    model.state_space.validate_shape(value)
    batch_shape = torch.broadcast_shapes(model.batch_shape, value.shape[:-1])
    missing = value.isnan() if model.active is None else value.isnan() & model.active
    clamped = EnergyModel(
        model.energy,
        state_space=model.state_space,
        context=model.context,
        context_event_dim=model.context_event_dim,
        active=missing,
        sampler=MarkovSampler(num_steps, initial=value),
    )
    return clamped.expand(batch_shape).sample((num_fills,))
