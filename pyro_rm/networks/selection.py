"""Which couplings are there: supports from a penalized path, refitted, and one of them chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from math import inf, log

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energies import SparseIsingEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.penalized_path import PenalizedPath, geometric_penalties
from pyro_rm.networks.refit import refit
from pyro_rm.networks.sandwich import Sandwich, sandwich
from pyro_rm.objectives import as_objective

SEPARATION_RIDGE = 1.0  # on squared log odds ratios of separated couplings
MAX_COVARIANCE = 10_000  # parameters, beyond which their covariance is not computed


@dataclass(frozen=True, eq=False)
class IsingFit:
    """A fitted Ising model on the sites that it connects.

    :param energy: The model.
    :param sandwich: Covariance of its couplings and fields; None above 10000 of them.
    :param objective: Its mean objective on the data.
    :param penalty: The penalty that selected its couplings; None if they were given.
    :param criterion: What it was chosen by, smaller is better; None if it was not chosen.
    :param ridge: Penalty on squared couplings, one number or one for each.
    :param separated: Numbers of couplings without a finite estimate, which got a ridge.

    Example:

        >>> energy = SparseIsingEnergy(3, torch.tensor([[0, 1]]))
        >>> IsingFit(energy, sandwich=None, objective=2.1).penalty

    .. note:: Free: it holds what a fit has computed.
    """

    energy: SparseIsingEnergy
    sandwich: Sandwich | None
    objective: float
    penalty: float | None = None
    criterion: float | None = None
    ridge: float | Tensor = 0.0
    separated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Selection:
    r"""How couplings are selected.

    Each support on the penalized path is fitted again without the penalty, which biases
    couplings towards zero, and the refitted models are compared.

    ``"ebic"``, the default, minimizes the extended Bayesian information criterion [1] in the
    form for composite likelihoods [2] and other consistent objectives :math:`L`,

    .. math::

        2 N L + \nu \log N + 4 \gamma \nu_J \log D, \qquad
        \nu = N \operatorname{tr}(A^{-1} B) ,

    where :math:`\nu` is the effective number of parameters and :math:`\nu_J` the couplings'
    share of that trace, about two for each of them under the pseudolikelihood. A support is
    first pruned of couplings whose squared ratio to their standard error is below
    :math:`\log N + 4 \gamma \log D`, the gain that the criterion asks of one coupling.

    ``"held_out"`` minimizes the objective on held-out rows, and refits the support that the
    chosen penalty selects on all of them. It predicts best and keeps more couplings.

    :param criterion: ``"ebic"`` or ``"held_out"``.
    :param gamma: :math:`\gamma`, 0 (the classical criterion) to 1.
    :param num_penalties: Penalties on the path, two or more.
    :param ratio: The smallest penalty, as a share of the largest one.
    :param patience: Stop after so many new supports that are worse than the best one.
    :param held_out_share: Rows that are held out.
    :raises ValueError: If an option is out of range.

    **References**

    [1] Rina Foygel, Mathias Drton (2010) "Extended Bayesian information criteria for Gaussian
        graphical models", NeurIPS.
    [2] Xin Gao, Peter Song (2010) "Composite likelihood Bayesian information criteria for
        model selection in high-dimensional data", JASA 105(492).
    """

    criterion: str = "ebic"
    _: KW_ONLY
    gamma: float = 0.5
    num_penalties: int = 30
    ratio: float = 0.01
    patience: int = 4
    held_out_share: float = 0.2

    def __post_init__(self) -> None:
        if self.criterion not in ("ebic", "held_out"):
            raise ValueError(
                f"Expected the criterion 'ebic' or 'held_out', but got {self.criterion!r}."
            )
        check_counts(2, num_penalties=self.num_penalties)
        check_counts(patience=self.patience)
        if not (0 < self.ratio <= 1 and 0 < self.held_out_share < 1):
            raise ValueError(
                f"Expected ratio in (0, 1] and held_out_share in (0, 1), but got {self.ratio} "
                f"and {self.held_out_share}."
            )
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"Expected gamma between 0 and 1, but got {self.gamma}.")

    def __call__(
        self, observations: Observations, estimator: Estimator, *, ridge: float = 0.0
    ) -> IsingFit:
        """Select and fit.

        :param observations: The data, binary.
        :param estimator: The objective; deterministic.
        :param ridge: Penalty of the refits, as in :class:`~pyro_rm.networks.IsingNetwork`.
        :returns: The chosen model.
        """
        if self.criterion == "ebic":
            return _best(self._by_ebic(observations, estimator, ridge), self.patience)
        training, validation = observations.split(self.held_out_share)
        chosen = _best(self._by_held_out(training, validation, estimator, ridge), self.patience)
        assert chosen.penalty is not None
        path = PenalizedPath(observations, estimator)
        down_to = [p for p in self._penalties(path) if p > chosen.penalty] + [chosen.penalty]
        *_, last = path.points(down_to)
        fit = fit_ising(observations, last.edges, estimator, ridge=ridge)
        return replace(fit, penalty=chosen.penalty, criterion=chosen.criterion)

    def _penalties(self, path: PenalizedPath) -> list[float]:
        return geometric_penalties(
            path.largest_penalty(), ratio=self.ratio, num_penalties=self.num_penalties
        )

    def _by_ebic(
        self, observations: Observations, estimator: Estimator, ridge: float
    ) -> Iterator[IsingFit]:
        path = PenalizedPath(observations, estimator)
        size, num_sites = observations.effective_size, observations.space.num_sites
        price = log(size) + 4 * self.gamma * log(num_sites)
        seen: set[bytes] = set()
        for point in path.points(self._penalties(path)):
            edges = point.edges
            if len(edges) + num_sites > MAX_COVARIANCE:
                return
            while _is_new(edges, seen):
                fit = fit_ising(observations, edges, estimator, ridge=ridge)
                yield replace(
                    fit, penalty=point.penalty, criterion=self._ebic(fit, size, num_sites)
                )
                edges = edges[_squared_ratios(fit) >= price]

    def _ebic(self, fit: IsingFit, size: float, num_sites: int) -> float:
        """The criterion; infinite for a support with a separated coupling.

        Scores of nearly separated couplings hardly vary, so that their share of the trace is next
        to nothing. No coupling costs less than the two parameters that it usually counts as.
        """
        spread = fit.sandwich
        assert spread is not None
        if spread.diverging:
            return inf
        couplings = max(spread.num_effective_couplings, 2.0 * len(fit.energy.edges))
        parameters = spread.num_effective - spread.num_effective_couplings + couplings
        extended = 4 * self.gamma * couplings * log(num_sites)
        return 2 * size * fit.objective + parameters * log(size) + extended

    def _by_held_out(
        self,
        training: Observations,
        validation: Observations,
        estimator: Estimator,
        ridge: float,
    ) -> Iterator[IsingFit]:
        path = PenalizedPath(training, estimator)
        seen: set[bytes] = set()
        for point in path.points(self._penalties(path)):
            if _is_new(point.edges, seen):
                fit = fit_ising(training, point.edges, estimator, ridge=ridge, covariance=False)
                score = mean_objective(fit.energy, validation, estimator)
                yield replace(fit, penalty=point.penalty, criterion=score)


def fit_ising(
    observations: Observations,
    edges: Tensor,
    estimator: Estimator,
    *,
    ridge: float | Tensor = 0.0,
    covariance: bool = True,
    start: SparseIsingEnergy | None = None,
) -> IsingFit:
    """Fit an Ising model on given edges; without a ridge, separated couplings get one.

    :param observations: The data, binary.
    :param edges: Pairs of sites, ``(E, 2)``.
    :param estimator: The objective; deterministic.
    :param ridge: As in :class:`~pyro_rm.networks.IsingNetwork`.
    :param covariance: Whether to compute the sandwich.
    :param start: A model on the same edges to start from.
    :returns: The fit.
    """
    space = observations.space
    energy = SparseIsingEnergy(space.num_sites, edges, states=space.states)
    energy.to(observations.weights)
    if start is not None:
        energy.load_state_dict(start.state_dict())
    objective = refit(energy, observations, estimator, ridge=ridge)
    if not covariance or len(edges) + space.num_sites > MAX_COVARIANCE:
        return IsingFit(energy, None, objective, ridge=ridge)
    form = as_objective(estimator.objective)
    spread = sandwich(energy, observations, form, ridge=ridge)
    separated = spread.diverging
    if separated and isinstance(ridge, float) and ridge == 0:
        low, high = space.states
        bounds = torch.zeros_like(energy.weight.detach())
        bounds[list(separated)] = SEPARATION_RIDGE * (high - low) ** 4
        objective = refit(energy, observations, estimator, ridge=bounds)
        spread = sandwich(energy, observations, form, ridge=bounds)
        return IsingFit(energy, spread, objective, ridge=bounds, separated=separated)
    return IsingFit(energy, spread, objective, ridge=ridge)


def _is_new(edges: Tensor, seen: set[bytes]) -> bool:
    """Whether a support was not seen before; remembers it."""
    key = edges.cpu().numpy().tobytes()
    if key in seen:
        return False
    seen.add(key)
    return True


def _squared_ratios(fit: IsingFit) -> Tensor:
    """Squares of couplings over their standard errors."""
    assert fit.sandwich is not None
    weight = fit.energy.weight.detach()
    return weight.square() / fit.sandwich.covariance.diagonal()[: len(weight)]


def _best(fits: Iterator[IsingFit], patience: int) -> IsingFit:
    """The fit with the smallest criterion, until so many in a row were worse."""
    best, worse = next(fits), 0
    for fit in fits:
        assert fit.criterion is not None
        assert best.criterion is not None
        if fit.criterion < best.criterion:
            best, worse = fit, 0
        else:
            worse += 1
        if worse >= patience:
            break
    return best
