r"""What an energy gap costs: :math:`\phi(\delta)`, its derivative and its consistency.

An objective sums a function :math:`\phi` of the energy gaps
:math:`\delta = E(x) - E(x')` between a datum and its neighbors. If
:math:`\phi'(\delta) = e^{\kappa\delta} \phi'(-\delta)` with :math:`\phi' > 0`, the
population optimum is :math:`E_\text{model} = E_\text{true} / \kappa`: consistent for
:math:`\kappa = 1`, and otherwise the data distribution at temperature :math:`\kappa`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from pyro_rm.checks import look_up

__all__ = [
    "MinimumProbabilityFlow",
    "Objective",
    "Pseudolikelihood",
    "RatioMatching",
    "SquaredRatio",
]

SamplingUnit = Literal["neighbor", "site"]


class Objective(ABC):
    r"""A function of energy gaps that a model is fitted by.

    Subclasses give :math:`\phi` (:meth:`__call__`), :math:`\log\phi'`
    (:meth:`log_derivative`), :attr:`kappa`, and :attr:`sampling_unit`: the thing that
    is drawn when the sum is sampled. For ``"neighbor"`` the sum runs over neighbors.
    For ``"site"`` it runs over sites, and the gap of a site is
    :math:`\log \sum_k e^{\delta_k}` over its substitutions, the log odds of leaving the
    current value; a drawn site visits all its substitutions, because a weight inside
    the logarithm would be biased. On binary sites the two are the same.
    """

    kappa: ClassVar[float]
    sampling_unit: ClassVar[SamplingUnit] = "neighbor"

    @abstractmethod
    def __call__(self, energy_gap: Tensor) -> Tensor:
        r"""The contribution :math:`\phi(\delta)` of each gap, elementwise."""

    @abstractmethod
    def log_derivative(self, energy_gap: Tensor) -> Tensor:
        r"""The logarithm of :math:`\phi'(\delta)`, elementwise, without overflow."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RatioMatching(Objective):
    r"""Ratio matching: :math:`\phi(\delta) = \sigma(\delta)^2`, consistent (:math:`\kappa = 1`).

    Matches the ratios :math:`p(x) / p(x')` between a datum and its neighbors [1]; Eq. 3
    of [2]. Contributions lie in (0, 1). The gradient is bounded, and vanishes where the
    neighbor is far likelier than the datum: slow from a bad start.

    Example:

        >>> RatioMatching()(torch.tensor([-2.0, 0.0, 2.0]))
        tensor([0.0142, 0.2500, 0.7758])

    .. note:: Costs no energy evaluation.

    **References**

    [1] Aapo Hyvarinen (2007) "Some extensions of score matching",
        Computational Statistics & Data Analysis 51(5).
    [2] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.
    """

    kappa = 1.0

    def __call__(self, energy_gap: Tensor) -> Tensor:
        r""":math:`\sigma(\delta)^2`."""
        return torch.sigmoid(energy_gap).square()

    def log_derivative(self, energy_gap: Tensor) -> Tensor:
        r""":math:`\log(2 \sigma(\delta)^2 \sigma(-\delta))`."""
        return 2 * logsigmoid(energy_gap) + logsigmoid(-energy_gap) + _LOG_2


class Pseudolikelihood(Objective):
    r"""Negative log pseudolikelihood, consistent (:math:`\kappa = 1`), the default.

    The sum over sites of :math:`-\log p(x_d \mid x_{-d})` [1]. With the gap of a site
    :math:`\delta = \log \sum_k e^{\delta_k}` (binary: the gap of its one flip) each term
    is :math:`\text{softplus}(\delta)`. The sampling unit is the site. The gradient does
    not vanish where the model is wrong: trains well from a bad start.

    Example:

        >>> Pseudolikelihood()(torch.tensor([-2.0, 0.0, 2.0]))
        tensor([0.1269, 0.6931, 2.1269])

    .. note:: Costs no energy evaluation.

    **References**

    [1] Julian Besag (1975) "Statistical analysis of non-lattice data",
        The Statistician 24(3).
    """

    kappa = 1.0
    sampling_unit = "site"

    def __call__(self, energy_gap: Tensor) -> Tensor:
        r""":math:`\log(1 + e^\delta)`."""
        return softplus(energy_gap)

    def log_derivative(self, energy_gap: Tensor) -> Tensor:
        r""":math:`\log \sigma(\delta)`."""
        return logsigmoid(energy_gap)


class MinimumProbabilityFlow(Objective):
    r"""Minimum probability flow: :math:`\phi(\delta) = e^{\delta/2}`, consistent.

    The initial rate at which probability flows from the data to their neighbors [1].
    Summed over the data of one site of an Ising model it is the summand of the
    interaction screening objective [2]. Contributions are heavy-tailed where the model
    is wrong.

    Example:

        >>> MinimumProbabilityFlow()(torch.tensor([-2.0, 0.0, 2.0]))
        tensor([0.3679, 1.0000, 2.7183])

    .. note:: Costs no energy evaluation. Overflows float32 for gaps above 177.

    **References**

    [1] Jascha Sohl-Dickstein, Peter Battaglino, Michael DeWeese (2011) "New method for
        parameter estimation in probabilistic models: minimum probability flow",
        Physical Review Letters 107.
    [2] Marc Vuffray et al. (2016) "Interaction screening: efficient and sample-optimal
        learning of Ising models", NeurIPS.
    """

    kappa = 1.0

    def __call__(self, energy_gap: Tensor) -> Tensor:
        r""":math:`e^{\delta/2}`."""
        return (energy_gap / 2).exp()

    def log_derivative(self, energy_gap: Tensor) -> Tensor:
        r""":math:`\delta/2 - \log 2`."""
        return energy_gap / 2 - _LOG_2


class SquaredRatio(Objective):
    r"""The squared ratio of RMwGGIS: :math:`\phi(\delta) = e^{2\delta}`, **not consistent**.

    Eq. 4 of [1], after [2]: :math:`(p(x') / p(x))^2`. Its population optimum is the data
    distribution at temperature :math:`\kappa = 4`, that is all energies divided by four;
    :func:`pyro_rm.energies.restore_temperature` multiplies them back.

    Example:

        >>> SquaredRatio()(torch.tensor([-2.0, 0.0, 2.0]))
        tensor([1.8316e-02, 1.0000e+00, 5.4598e+01])

    .. note:: Costs no energy evaluation. Overflows float32 for gaps above 44.

    **References**

    [1] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.
    [2] Siwei Lyu (2009) "Interpretation and generalization of score matching", UAI.
    """

    kappa = 4.0

    def __call__(self, energy_gap: Tensor) -> Tensor:
        r""":math:`e^{2\delta}`."""
        return (2 * energy_gap).exp()

    def log_derivative(self, energy_gap: Tensor) -> Tensor:
        r""":math:`2\delta + \log 2`."""
        return 2 * energy_gap + _LOG_2


_LOG_2 = 0.6931471805599453
_BUILT_IN: Mapping[str, type[Objective]] = {
    "ratio_matching": RatioMatching,
    "pseudolikelihood": Pseudolikelihood,
    "minimum_probability_flow": MinimumProbabilityFlow,
    "squared_ratio": SquaredRatio,
}


def as_objective(objective: str | Objective) -> Objective:
    """Look up a built-in objective by its name; objects pass through.

    :param objective: ``"ratio_matching"``, ``"pseudolikelihood"``,
        ``"minimum_probability_flow"``, ``"squared_ratio"``, or an :class:`Objective`.
    :returns: The objective.
    :raises ValueError: If the name is unknown.
    :raises TypeError: If it is neither a name nor an :class:`Objective`.

    Example:

        >>> as_objective("squared_ratio").kappa
        4.0
    """
    return look_up(objective, Objective, _BUILT_IN)  # type: ignore[type-abstract]
