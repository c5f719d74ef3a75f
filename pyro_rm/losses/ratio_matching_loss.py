"""The loss that fits energy-based models in Pyro's step loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyro.infer import ELBO

from pyro_rm.estimator_options import KeywordOptions, NumNeighbors
from pyro_rm.estimators import Estimator
from pyro_rm.losses.surrogate_loss import SurrogateLoss
from pyro_rm.missing.missing_data import GibbsFill
from pyro_rm.objectives import Objective
from pyro_rm.poutine import SiteLoss

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RatioMatchingLoss(SurrogateLoss):
    r"""A loss for :class:`pyro.infer.SVI` that needs no partition function.

    Scores observed energy-based sites by minus an objective's estimate and hands the
    rest to an ELBO. What is optimized is a generalized-Bayes objective [1], not a bound on
    the evidence. Missing cells (NaN and inactive) are filled by
    :class:`~pyro_rm.infer.GibbsFill`.

    With enumerated classes :math:`k` a datum's loss is :math:`-\log \sum_k \pi_k e^{-J_k(x)}`.
    No objective normalizes :math:`e^{-J_k}` over :math:`x`, not even the pseudolikelihood, whose
    sum over states is 1 without couplings and grows with them: classes are told apart,
    but weights :math:`\pi` lean to strongly coupled ones.

    :param objective: Name or :class:`~pyro_rm.objectives.Objective`.
    :param num_neighbors: Neighbors visited a datum, None or ``"all"``.
    :param weight: Learning rate of the generalized posterior.
    :param elbo: The inner ELBO, :class:`pyro.infer.Trace_ELBO` by default.
    :param estimators: Estimators for some sites by name, in place of this one.
    :param options: The other options of an :class:`~pyro_rm.Estimator`.
    :raises ValueError: If the ELBO is a Jit one, or an option is out of range.

    Example:

        >>> import pyro, torch
        >>> from pyro.infer import SVI
        >>> from pyro_rm.distributions import EnergyModel
        >>> from pyro_rm.energies import IsingEnergy
        >>> energy = IsingEnergy(num_sites=3)
        >>> def model(x):
        ...     pyro.module("energy", energy)
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", EnergyModel(energy), obs=x)
        >>> def guide(x):
        ...     pass
        >>> optimizer = pyro.optim.Adam({"lr": 0.1})
        >>> svi = SVI(model, guide, optimizer, loss=RatioMatchingLoss())
        >>> round(svi.step(torch.ones(2, 3)), 4)  # 6 log(2): the energy starts at zero
        4.1589

    .. note:: The defaults are consistent (:math:`\kappa = 1`), unbiased in value and
        gradient, and their gradient does not vanish where the model is wrong, as that of
        ratio matching does: from a usual start they come twice as close at equal steps
        (``benchmarks/defaults.py``). No loss of single changes moves modes that are far from
        all data. Each datum costs one energy and ``num_neighbors`` neighbors, or one gap
        table. With a nonlinear ELBO (Renyi, enumerated classes) only the exact sum is
        unbiased; a warning says so.

    **References**

    [1] Pier Bissiri, Chris Holmes, Stephen Walker (2016) "A general framework for updating
        belief distributions", Journal of the Royal Statistical Society B 78(5).
    """

    def __init__(
        self,
        objective: str | Objective = "pseudolikelihood",
        num_neighbors: NumNeighbors = None,
        *,
        weight: float = 1.0,
        elbo: ELBO | None = None,
        estimators: Mapping[str, SiteLoss] | None = None,
        **options: Unpack[KeywordOptions],
    ) -> None:
        super().__init__(weight, elbo)
        self.estimator = Estimator(objective, num_neighbors, **options)
        self.estimators = dict(estimators or {})
        self._fills: dict[str, GibbsFill] = {}

    def _loss_at(self, site: str) -> SiteLoss:
        chosen = self.estimators.get(site, self.estimator)
        if not isinstance(chosen, Estimator):
            return chosen
        if site not in self._fills:
            self._fills[site] = GibbsFill(chosen)
        return self._fills[site]
