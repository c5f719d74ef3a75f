"""Which couplings are there: supports from a penalized path, refitted, and one of them chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from math import inf, log

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energies import PottsEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.networks.binary_path import BinaryPath
from pyro_rm.networks.fitter import Fitter, NetworkFit
from pyro_rm.networks.observations import Observations, mean_objective
from pyro_rm.networks.penalized_path import PenalizedPath, geometric_penalties

CHANCE = 0.07  # of an edge among independent columns, at most, whatever the number of rows


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
    :math:`\log N + 4 \gamma \log D`, the gain that the criterion asks of one coupling. Of sites
    with more categories a pair enters as a whole: its :math:`m^2` couplings cost
    :math:`m^2 \log N`, and the last term counts pairs. The criterion is for many rows; in tens of
    them chance often gains more than it asks. So it asks at least what chance gains with
    probability :math:`0.07 / P^{2 \gamma}` for one of :math:`P` pairs of independent columns,
    the quantile of :math:`m^2 F_{m^2, N}`.

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
    ) -> NetworkFit:
        """Select and fit.

        :param observations: The data.
        :param estimator: The objective; deterministic.
        :param ridge: Penalty of the refits, as in :class:`~pyro_rm.networks.IsingNetwork`.
        :returns: The chosen model.
        """
        return self.select(observations, Fitter(estimator, ridge=ridge))

    def select(self, observations: Observations, fitter: Fitter) -> NetworkFit:
        """Select and fit.

        :param observations: The data.
        :param fitter: How supports are fitted.
        :returns: The chosen model.
        """
        if self.criterion == "ebic":
            return _best(self._by_ebic(observations, fitter), self.patience)
        training, validation = observations.split(self.held_out_share)
        chosen = _best(self._by_held_out(training, validation, fitter), self.patience)
        assert chosen.penalty is not None
        path = _path(observations, fitter)
        down_to = [p for p in self._penalties(path) if p > chosen.penalty] + [chosen.penalty]
        *_, last = path.points(down_to)
        fit = fitter(observations, last.edges)
        return replace(fit, penalty=chosen.penalty, criterion=chosen.criterion)

    def _penalties(self, path: BinaryPath | PenalizedPath) -> list[float]:
        return geometric_penalties(
            path.largest_penalty(), ratio=self.ratio, num_penalties=self.num_penalties
        )

    def _by_ebic(self, observations: Observations, fitter: Fitter) -> Iterator[NetworkFit]:
        path = _path(observations, fitter)
        size, num_sites = observations.effective_size, observations.space.num_sites
        seen: set[bytes] = set()
        start = None
        for point in path.points(self._penalties(path)):
            edges = point.edges
            while _is_new(edges, seen):
                fit = fitter(observations, edges, start=start)
                start = None if isinstance(fit.energy, PottsEnergy) else fit.model
                if fit.sandwich is None:
                    return
                yield replace(
                    fit, penalty=point.penalty, criterion=self._ebic(fit, size, num_sites)
                )
                price = self._prices(fit.sandwich.num_coordinates, size, num_sites)
                edges = edges[_squared_ratios(fit) >= price]

    def _ebic(self, fit: NetworkFit, size: float, num_sites: int) -> float:
        """The criterion; infinite for a support with a separated coupling.

        Scores of nearly separated couplings hardly vary, so that their share of the trace is next
        to nothing. No coupling costs less than the two parameters that it usually counts as.
        """
        spread = fit.sandwich
        assert spread is not None
        if spread.diverging:
            return inf
        width = spread.num_coordinates
        couplings = max(spread.num_effective_couplings, 2.0 * float(width.sum()))
        fields = spread.num_effective - spread.num_effective_couplings
        each = float(self._prices(width, size, num_sites).sum()) / max(1, int(width.sum()))
        return 2 * size * fit.objective + fields * log(size) + couplings * each

    def _prices(self, width: Tensor, size: float, num_sites: int) -> Tensor:
        """The gain that is asked of edges with so many couplings, ``(E,)``."""
        extended = width * log(size) + 4 * self.gamma * log(num_sites)
        kinds, which = width.unique(return_inverse=True)
        level = CHANCE / max(1, num_sites * (num_sites - 1) // 2) ** (2 * self.gamma)
        least = [_quantile(int(kind), size, level) for kind in kinds]
        return extended.maximum(extended.new_tensor(least)[which])

    def _by_held_out(
        self, training: Observations, validation: Observations, fitter: Fitter
    ) -> Iterator[NetworkFit]:
        path = _path(training, fitter)
        seen: set[bytes] = set()
        for point in path.points(self._penalties(path)):
            if _is_new(point.edges, seen):
                fit = fitter(training, point.edges, covariance=False)
                score = mean_objective(fit.energy, validation, fitter.estimator)
                yield replace(fit, penalty=point.penalty, criterion=score)


def _path(observations: Observations, fitter: Fitter) -> BinaryPath | PenalizedPath:
    """The path that orders the supports: of mean fills; rougher where pairs have many couplings."""
    averaged = observations.averaged()
    if observations.space.is_binary:
        return BinaryPath(averaged, fitter.estimator)
    return PenalizedPath(averaged, fitter.estimator, tolerance=5e-2, sites=fitter.sites)


def _is_new(edges: Tensor, seen: set[bytes]) -> bool:
    """Whether a support was not seen before; remembers it."""
    key = edges.cpu().numpy().tobytes()
    if key in seen:
        return False
    seen.add(key)
    return True


def _squared_ratios(fit: NetworkFit) -> Tensor:
    """Couplings of each edge, squared in the metric of their covariance, ``(E,)``."""
    assert fit.sandwich is not None
    couplings = fit.model.coordinates().flatten(1)
    covariance = fit.sandwich.of_edges()
    if covariance.shape[1] == 1:
        return couplings[:, 0].square() / covariance[:, 0, 0]
    inverse = torch.linalg.pinv(covariance, hermitian=True)
    return torch.einsum("ea,eab,eb->e", couplings, inverse, couplings)


def _best(fits: Iterator[NetworkFit], patience: int) -> NetworkFit:
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


def _quantile(degrees: int, size: float, level: float) -> float:
    """What ``degrees * F`` exceeds with a given probability, ``F`` having ``size`` others.

    By the first term of its expansion about the quantile of a chi-square variable.
    """
    shape, (low, high) = torch.tensor(degrees / 2, dtype=torch.float64), (0.0, 1e4 + 2 * degrees)
    for _ in range(60):
        middle = (low + high) / 2
        above = float(torch.special.gammaincc(shape, shape.new_tensor(middle / 2))) > level
        low, high = (middle, high) if above else (low, middle)
    return high * (1 + (high - degrees + 2) / (2 * size))
