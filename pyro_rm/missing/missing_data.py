"""Missing cells: filled by the model itself while it is fitted, summed out, or imputed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real
from pyro_rm.energy_checks import check_layers
from pyro_rm.energy_protocol import Context
from pyro_rm.estimators import Estimator
from pyro_rm.joint_levels import drawn_noise
from pyro_rm.markov_steps import Chains, MarkovStep
from pyro_rm.markov_steps.chains import starting_data
from pyro_rm.missing.fill import Fill
from pyro_rm.missing.marginal_energy import MarginalEnergy, most_missing
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


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
        >>> fill.filled(Target.of(energy, StateSpace(2)), x)[0]
        tensor([1., 1.])

    .. note:: Costs ``num_steps`` Markov steps, or one, more than ``estimator``.

    **References**

    [1] Roderick Little, Donald Rubin (2019) "Statistical analysis with missing data",
        third edition, Wiley.
    """

    estimator: Estimator = field(default_factory=Estimator)
    _: KW_ONLY
    num_steps: int = 3
    step: MarkovStep | None = None
    _fill: Fill = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._fill = Fill(self.num_steps, self.step)

    def is_deterministic(self, target: Target) -> bool:
        """Not where cells may be missing."""
        return target.active is None and self.estimator.is_deterministic(target)

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Estimates for each datum, ``batch_shape``."""
        if target.active is not None:
            missing = value.isnan() & ~target.active
            if missing.any():
                value = self.filled(target, value, missing)
                if target.levels is not None:  # fills are noisy, too, but not scored
                    drawn = replace(target, active=target.active | missing)
                    encoded = drawn.bind(value)
                    noise = drawn_noise(drawn, encoded)
                    return self.estimator.leveled_terms(target, encoded, *noise).value
        return self.estimator(target, value)

    def filled(self, model: Any, value: Tensor, missing: Tensor | None = None) -> Tensor:
        """Data with missing cells drawn.

        :param model: An energy, a model or a :class:`~pyro_rm.Target`.
        :param value: Data, ``batch_shape + (D,)``.
        :param missing: Booleans of that shape; where the data are NaN if None.
        :returns: Data as floats, of the same shape.
        """
        check_real(value)
        target = Target.of(model, batch_shape=value.shape[:-1])
        target.space.validate_shape(value)
        value = value.to(target.device or value.device)
        missing = value.isnan() if missing is None else missing
        return self._fill.draw(replace(target, active=missing), value)


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
        >>> target = Target.of(lambda x: -x.sum(-1), StateSpace(2), active=~x.isnan())
        >>> Marginalized()(target, x)
        tensor([0.3133, 1.6265])

    .. note:: Costs as much as :math:`K^m` complete data, with the largest number :math:`m` of
        missing cells in a row.
    """

    estimator: Estimator = field(default_factory=lambda: Estimator(num_neighbors="all"))
    _: KW_ONLY
    max_missing: int = 8

    def __post_init__(self) -> None:
        check_counts(0, max_missing=self.max_missing)

    def is_deterministic(self, target: Target) -> bool:
        """Where the estimator is."""
        return self.estimator.is_deterministic(target)

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Estimates for each datum, ``batch_shape``."""
        if target.active is not None:
            missing = value.isnan() & ~target.active
            count = most_missing(missing, self.max_missing)
            if count > 0:
                check_layers(target.energy)
                if target.levels is not None:
                    raise ValueError(
                        "Expected a model without levels of noise beside Marginalized, but got "
                        "one with them. Use GibbsFill."
                    )
                marginal = MarginalEnergy(target.energy, target.space, missing, count)
                target = replace(target, energy=marginal)
        return self.estimator(target, value)


def impute(
    model: Any,
    value: Tensor,
    *,
    num_fills: int = 100,
    num_steps: int = 20,
    step: MarkovStep | None = None,
    state_space: StateSpace | None = None,
    context: Tensor | Context = (),
    progress: bool = True,
) -> Tensor:
    """Draw missing cells given the observed ones: multiple imputation [1].

    :param model: The fitted energy, model or :class:`~pyro_rm.Target`.
    :param value: Data, ``batch_shape + (D,)``, NaN where missing.
    :param num_fills: Completions of each datum, one chain each.
    :param num_steps: Steps of each chain.
    :param step: The Markov step; that of the energy if None.
    :param state_space: The space, where the energy does not say it.
    :param context: Tensors whose leading dimensions are ``batch_shape``.
    :param progress: Whether to show a bar, if it takes longer than two seconds.
    :returns: Completed data, ``(num_fills,) + batch_shape + (D,)``. Their mean over draws
        imputes a binary cell by its probability.
    :raises TypeError: If the data are not a tensor of real numbers.
    :raises ValueError: If their shape or a value is not of the model's space.

    Example:

        >>> def energy(x):
        ...     return -99 * x[..., 0] * x[..., 1]
        >>> impute(energy, torch.tensor([1.0, torch.nan]), num_fills=3, state_space=StateSpace(2))
        tensor([[1., 1.],
                [1., 1.],
                [1., 1.]])

    .. note:: Costs ``num_steps`` sweeps of ``num_fills`` copies of the data.

    **References**

    [1] Donald Rubin (1987) "Multiple imputation for nonresponse in surveys", Wiley.
    """
    check_counts(num_fills=num_fills, num_steps=num_steps)
    check_real(value)
    target = Target.of(model, state_space, context=context, batch_shape=value.shape[:-1])
    target.space.validate_shape(value)
    value = value.to(target.device or value.device)
    missing = value.isnan() if target.active is None else value.isnan() & target.active
    own = getattr(model, "batch_shape", ())
    shape = torch.Size((num_fills, *torch.broadcast_shapes(torch.Size(own), value.shape[:-1])))
    copies = tuple(c[None] for c in target.context)
    target = replace(target, context=copies, active=missing, levels=None)  # data without noise
    start = starting_data(target, shape, value)
    chains = Chains(target, target.encode(start), step)
    chains.run(num_steps, progress=progress, description="impute")
    return target.decode(chains.encoded)
