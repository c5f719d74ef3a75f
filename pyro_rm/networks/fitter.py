"""A pairwise model fitted on given edges: estimates, their covariance, what is separated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor

from pyro_rm.energies import OrdinalEnergy, PottsEnergy, SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks.missing_cells import refill, with_means
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel, Sites, independent_model
from pyro_rm.networks.randomness import seeded
from pyro_rm.networks.refit import refit
from pyro_rm.networks.sandwich import Sandwich, sandwich
from pyro_rm.objectives import as_objective

SEPARATION_RIDGE = 1.0  # on squared log odds ratios of separated couplings
MAX_COVARIANCE = {True: 10_000, False: 4_000}  # parameters of binary and of other sites


@dataclass(frozen=True, eq=False)
class NetworkFit:
    """A fitted pairwise model on the sites that it connects.

    :param energy: The model.
    :param edges: The pairs that were fitted, ``(E, 2)``.
    :param sandwich: Covariance of its couplings and fields; None above 10000 of them (4000
        of sites with more than two categories): its cost is their third power.
    :param objective: Its mean objective on the data.
    :param penalty: The penalty that selected its couplings; None if they were given.
    :param criterion: What it was chosen by, smaller is better; None if it was not chosen.
    :param ridge: Penalty on squared couplings, one number or one an edge.
    :param separated: Numbers of edges without a finite estimate, which got a ridge.

    Example:

        >>> edges = torch.tensor([[0, 1]])
        >>> energy = SparseIsingEnergy(3, edges)
        >>> NetworkFit(energy, edges, sandwich=None, objective=2.1).penalty

    .. note:: Free: it holds what a fit has computed.
    """

    energy: SparseIsingEnergy | PottsEnergy | OrdinalEnergy
    edges: Tensor
    sandwich: Sandwich | None
    objective: float
    penalty: float | None = None
    criterion: float | None = None
    ridge: float | Tensor = 0.0
    separated: tuple[int, ...] = ()

    @property
    def model(self) -> PairwiseModel:
        """The energy with its edges."""
        return PairwiseModel(self.energy, self.edges)


@dataclass(frozen=True, eq=False)
class Fitter:
    """How models on given edges are fitted.

    :param estimator: The objective; deterministic.
    :param ridge: As in :class:`~pyro_rm.networks.IsingNetwork`; without one, separated couplings
        get one.
    :param field_ridge: The same on fields.
    :param max_steps: Bound on quasi-Newton iterations.
    :param sites: What couples at ordinal sites; None: they are binary, or Potts.
    """

    estimator: Estimator
    _: KW_ONLY
    ridge: float | Tensor = 0.0
    field_ridge: float = 0.0
    max_steps: int = 500
    sites: Sites | None = None

    def __call__(
        self,
        observations: Observations,
        edges: Tensor,
        *,
        covariance: bool = True,
        start: PairwiseModel | None = None,
    ) -> NetworkFit:
        """Fit.

        :param observations: The data.
        :param edges: Pairs of sites, ``(E, 2)``.
        :param covariance: Whether to compute the sandwich.
        :param start: A model to start from.
        :returns: The fit.
        """
        model = self._started(observations, edges, start)
        objective = self._refit(model, observations)
        num_parameters = model.paired.numel() + model.exists.numel()
        too_many = num_parameters > MAX_COVARIANCE[observations.space.is_binary]
        if not covariance or too_many:
            return NetworkFit(model.energy, model.edges, None, objective, ridge=self.ridge)
        spread = self._sandwich(model, observations)
        fit = NetworkFit(model.energy, model.edges, spread, objective, ridge=self.ridge)
        return self._bounded(fit, observations)

    def _bounded(self, fit: NetworkFit, observations: Observations) -> NetworkFit:
        """The fit with a ridge on its separated couplings, and on those that then run off in turn.

        Where some are bounded, others can take their place, to the same fit without bounds.
        """
        given = not isinstance(self.ridge, Tensor) and self.ridge > 0
        low, high = observations.space.states
        while not given and fit.sandwich is not None:
            separated = {*fit.separated, *fit.sandwich.diverging}
            if len(separated) == len(fit.separated):
                break
            ridge = observations.weights.new_zeros(len(fit.edges))
            which = torch.tensor(sorted(separated), device=ridge.device)
            ridge[which] = SEPARATION_RIDGE * (high - low) ** 4
            fixed = replace(self, ridge=ridge)
            latest = fixed(observations, fit.edges, covariance=False, start=fit.model)
            fit = replace(
                fit,
                energy=latest.energy,
                sandwich=fixed._sandwich(latest.model, observations),
                objective=latest.objective,
                ridge=ridge,
                separated=tuple(sorted(separated)),
            )
        return fit

    def with_fills(
        self,
        observations: Observations,
        select: Callable[[Observations], NetworkFit],
        num_rounds: int,
        filler: PairwiseModel | None = None,
    ) -> NetworkFit:
        """Select and fit where cells may be missing.

        :param observations: The data, with first fills.
        :param select: Selects and fits, given fills.
        :param num_rounds: Rounds of filling and fitting, the second half of them averaged.
        :param filler: A model whose conditional means are the first fills; None: the data's means.
        :returns: The fit.
        """
        data = observations.averaged()
        if data.active is not None and filler is not None:
            data = with_means(data, filler)
        fit = select(data)
        if data.active is None:
            return fit
        with seeded(0):  # the support is that of the data, whatever the user's seed
            observations = refill(observations, fit.model, num_steps=5)
        fit = select(observations)
        while True:
            observations, fit = self._refilled(observations, fit, num_rounds)
            bounded = self._bounded(fit, observations)
            if bounded is fit:
                return fit
            fit = bounded

    def _refilled(
        self, observations: Observations, fit: NetworkFit, num_rounds: int
    ) -> tuple[Observations, NetworkFit]:
        """Fills and the mean of fits to them, in turns."""
        fixed = replace(self, ridge=fit.ridge)
        parameters = list(fit.energy.parameters())
        sums = [torch.zeros_like(parameter) for parameter in parameters]
        counted = range(num_rounds // 2, num_rounds)
        for number in range(num_rounds):
            observations = refill(observations, fit.model)
            latest = fixed(observations, fit.edges, covariance=False, start=fit.model)
            fit.energy.load_state_dict(latest.energy.state_dict())
            if number in counted:
                sums = [s + p.detach() for s, p in zip(sums, parameters, strict=True)]
        with torch.no_grad():
            for parameter, total in zip(parameters, sums, strict=True):
                parameter.copy_(total / len(counted))
        spread = None if fit.sandwich is None else fixed._sandwich(fit.model, observations)
        return observations, replace(fit, sandwich=spread, objective=latest.objective)

    def filler(
        self, observations: Observations, edges: Tensor, num_rounds: int = 6
    ) -> PairwiseModel:
        """A model that predicts cells well, with a ridge, and conditional means as fills.

        The joint form of iterated ridge regressions of each column on the others.

        :param observations: The data.
        :param edges: Pairs of sites, ``(E, 2)``; all of them predict best.
        :param num_rounds: Rounds of filling and fitting.
        :returns: The model.

        .. note:: An iteration costs three matrix products of data and couplings.
        """
        low, high = observations.space.states
        given = isinstance(self.ridge, Tensor) or self.ridge > 0
        ridge = self.ridge if given else (high - low) ** 4  # a unit one on log odds ratios
        quick = replace(self, ridge=ridge, max_steps=min(30, self.max_steps))
        data = observations.averaged()
        model = quick(data, edges, covariance=False).model
        for _ in range(0 if data.active is None else num_rounds - 1):
            data = with_means(data, model)
            model = quick(data, edges, covariance=False, start=model).model
        return model

    def _started(
        self, observations: Observations, edges: Tensor, start: PairwiseModel | None
    ) -> PairwiseModel:
        space, mean = observations.space, observations.encoded_mean()
        model = PairwiseModel.on(space, edges, mean, self.sites)
        if start is not None:
            model.start_from(start)
            return model
        alone = independent_model(space, mean, observations.effective_size, self.sites)
        with torch.no_grad():
            model.energy.fields.copy_(alone.energy.fields)
        return model

    def _refit(self, model: PairwiseModel, observations: Observations) -> float:
        return refit(
            model, observations, self.estimator,
            ridge=self.ridge, field_ridge=self.field_ridge, max_steps=self.max_steps,
        )  # fmt: skip

    def _sandwich(self, model: PairwiseModel, observations: Observations) -> Sandwich:
        form = as_objective(self.estimator.objective)
        return sandwich(model, observations, form, ridge=self.ridge)
