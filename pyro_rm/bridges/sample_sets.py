"""What a sample set of an annealer says of the model that it was drawn from."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.bridges.packages import required
from pyro_rm.bridges.quadratic_models import VARTYPES, from_bqm
from pyro_rm.networks import IsingNetwork
from pyro_rm.networks.comparison import _holm
from pyro_rm.networks.intervals import two_sided
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.networks.sandwich import scores_and_curvature
from pyro_rm.networks.table_kinds import frame
from pyro_rm.objectives import as_objective

_SIGNIFICANT = 0.05
_LEAST_EVENTS = 10.0  # expected, from which estimates are nearly normal
_MAX_STEPS = 50
_OBJECTIVE = as_objective("pseudolikelihood")


@dataclass(frozen=True, eq=False)
class EffectiveModel:
    r"""The model that samples follow, beside the one that was programmed.

    See :func:`from_sampleset`.

    :param network: The effective couplings and fields, fitted freely, with intervals by
        ``summary()``; ``to_bqm(network)`` is the effective model, at temperature 1.
    :param inverse_temperature: :math:`1 / T`, from those that agree with what was programmed.
    :param inverse_error: Its standard error.
    :param expected: Programmed couplings, then fields, over :math:`T`, with the sign of log
        probabilities, ``(E + D,)``.
    :param differences: What was found less what was expected; all NaN where samples are too cold
        to tell: where a coupling has no finite estimate, or fewer than ten samples are expected to
        tell about it.
    :param standard_errors: Of the differences.
    :param level: Nominal level of the intervals.
    """

    network: IsingNetwork
    inverse_temperature: float
    inverse_error: float
    expected: Any
    differences: Any
    standard_errors: Any
    level: float = 0.9

    @property
    def temperature(self) -> float:
        """The effective temperature, in the units of the programmed energy."""
        return 1 / self.inverse_temperature

    @property
    def temperature_interval(self) -> tuple[float, float]:
        """The ends of its interval; the upper one is infinite where samples may be uniform."""
        wide = NormalDist().inv_cdf(0.5 + self.level / 2) * self.inverse_error
        lowest, highest = self.inverse_temperature - wide, self.inverse_temperature + wide
        return 1 / highest, 1 / lowest if lowest > 0 else math.inf

    @property
    def table(self) -> Any:
        """A ``pandas.DataFrame``, a row a coupling, then a row a field, whose target is None.

        Its columns are ``source``, ``target``, ``estimate`` with ``lower`` and ``upper``,
        ``expected``, ``difference``, its ``standard_error``, ``p_value``, and ``p_adjusted`` for
        all rows by Holm's method.
        """
        network = self.network
        names = network.feature_names_in_
        first, second = network.edges_.T
        estimates = np.concatenate([network.weights_, network.fields_])
        errors = np.concatenate([network.standard_errors_, network.field_standard_errors_])
        wide = NormalDist().inv_cdf(0.5 + self.level / 2) * errors
        p_values = self._p_values()
        columns = {
            "source": np.concatenate([names[first], names]),
            "target": np.concatenate([names[second], np.full(len(names), None)]),
            "estimate": estimates,
            "lower": estimates - wide,
            "upper": estimates + wide,
            "expected": self.expected,
            "difference": self.differences,
            "standard_error": self.standard_errors,
            "p_value": p_values,
            "p_adjusted": _holm(p_values),
        }
        return frame("pandas", list(columns), list(columns.values()))

    def _p_values(self) -> Any:
        return np.array([two_sided(z) for z in self.differences / self.standard_errors])


def from_sampleset(
    sampleset: Any, bqm: Any, *, graph: nx.Graph | None = None, level: float = 0.9
) -> EffectiveModel:
    r"""Effective couplings, fields and temperature of a sampler, and where they are off.

    A sampler at temperature :math:`T` draws from :math:`e^{-E / T}`. The pseudolikelihood of the
    samples gives couplings and fields freely, and :math:`1 / T` as one number that multiplies all
    of what was programmed [1]; both have sandwich errors, and what differs is tested. The
    temperature is that of couplings and fields that do not differ significantly.

    Samples are taken as independent, such as one a read. Intervals hold for samples of equilibrium;
    those of a fast anneal freeze at several temperatures, which shows as differences.

    :param sampleset: A ``dimod.SampleSet``. ``num_occurrences`` count equal samples.
    :param bqm: The programmed ``dimod.BinaryQuadraticModel``, of either vartype, on the same
        variables.
    :param graph: The pairs to fit, a graph on these variables; None: those of ``bqm``. Others too,
        such as all pairs, show crosstalk.
    :param level: Nominal level of the intervals.
    :returns: The effective model. Variables that are the same in all samples are fixed, and those
        that go along with another one in all samples are merged with it, with a warning.
    :raises ImportError: If dimod is not installed.
    :raises ValueError: If variables differ, there are more than 10000 couplings and fields, or
        nothing but zeros was programmed.

    Example:

        >>> import dimod
        >>> bqm = dimod.BinaryQuadraticModel({}, {("a", "b"): -1.0, ("b", "c"): 1.0}, "SPIN")
        >>> rows = [[1, 1, -1], [1, 1, 1], [-1, -1, 1], [-1, 1, -1], [-1, -1, -1], [1, -1, 1]]
        >>> counts = [50, 20, 50, 7, 20, 7]
        >>> samples = dimod.SampleSet.from_samples_bqm((rows, "abc"), bqm, num_occurrences=counts)
        >>> effective = from_sampleset(samples, bqm)
        >>> effective.temperature < 2
        True

    .. note:: Costs a fit of the pairs, and some products of the samples with themselves for each
        site.

    **References**

    [1] Jack Raymond, Sheir Yarkoni, Evgeny Andriyash (2016) "Global warming: temperature estimation
        in annealers", Frontiers in ICT 3.
    """
    bqm = bqm.change_vartype(sampleset.vartype, inplace=False)
    if set(bqm.variables) != set(sampleset.variables):
        raise ValueError(
            f"Expected samples of the {len(bqm.variables)} variables of the model, but got "
            f"{len(sampleset.variables)} others. Pass the model that was sampled."
        )
    bqm, kept = _reduced(sampleset, bqm)
    energy, names = from_bqm(bqm)
    order = [sampleset.variables.index(name) for name in names]
    values = sampleset.record.sample[:, order].astype(float)
    counts = sampleset.record.num_occurrences.copy()
    fitted = nx.Graph()
    fitted.add_nodes_from(names)
    for first, second in bqm.quadratic if graph is None else graph.edges:
        ends = kept.get(first), kept.get(second)
        if ends[0] != ends[1] and None not in ends:
            fitted.add_edge(*ends)
    columns = required("pandas").Index(names, tupleize_cols=False)
    states = VARTYPES[bqm.vartype.name]
    network = IsingNetwork(graph=fitted, states=states, random_state=0)
    network.fit(required("pandas").DataFrame(values, columns=columns), sample_weight=counts)
    if network.joint_covariance_ is None:
        raise ValueError(
            f"Expected at most 10000 couplings and fields, but got "
            f"{len(network.edges_) + len(names)}. Fit part of the graph."
        )
    first, second = torch.as_tensor(network.edges_).unbind(1)
    programmed = torch.cat([energy.couplings[first, second], energy.fields])
    if not programmed.any():
        raise ValueError("Expected a programmed model, but all of its biases are zero.")
    observations = Observations.of(
        torch.as_tensor(values), energy.state_space, torch.as_tensor(counts), frequencies=True
    )
    return _compared(network, observations, programmed, level)


def _reduced(sampleset: Any, bqm: Any) -> tuple[Any, dict[Any, Any]]:
    """The model given what is the same in all samples, and which variable stands for which."""
    values, bqm = sampleset.record.sample, bqm.copy()
    seen: dict[bytes, tuple[Any, int]] = {}
    kept, fixed = {}, {}
    for name, column in zip(sampleset.variables, values.T, strict=True):
        moves = column != column[0]
        if not moves.any():
            fixed[name] = int(column[0])
            continue
        first, start = seen.setdefault(moves.tobytes(), (name, int(column[0])))
        kept[name] = first
        if first != name:
            if start != column[0]:
                bqm.flip_variable(name)
            bqm.contract_variables(first, name)
    if not seen:
        raise ValueError("Expected samples that vary, but all of them are the same state.")
    bqm.fix_variables(fixed)
    merged = [name for name, first in kept.items() if name != first]
    if fixed or merged:
        warnings.warn(
            f"{len(fixed)} variables are the same in all samples, and {len(merged)} go along with "
            f"another one in all of them, such as {[*fixed, *merged][0]!r}: the model is that "
            "given this, and they have no estimates of their own.",
            stacklevel=3,
        )
    return bqm, kept


@torch.no_grad()
def _compared(
    network: IsingNetwork, observations: Observations, programmed: Tensor, level: float
) -> EffectiveModel:
    """What was found beside what was programmed, and the temperature of what agrees."""
    model = network._model
    found = torch.cat([model.energy.weight, model.energy.fields])
    gradients, curvature = scores_and_curvature(model, observations, _OBJECTIVE)
    known = torch.as_tensor(~np.isnan(np.concatenate(
        [network.standard_errors_, network.field_standard_errors_]
    )))  # fmt: skip
    influence = torch.zeros_like(gradients)
    scores = observations.scattered(gradients)[:, known]
    influence[:, known] = scores @ torch.linalg.pinv(curvature[known][:, known], hermitian=True)
    off = torch.zeros_like(known)
    for _ in range(10):
        inverse, of_inverse, events = _inverse_temperature(
            model, observations, programmed, found, known, off
        )
        told = known & bool((known & (events >= _LEAST_EVENTS)).all())
        differences = torch.where(told, found - inverse * programmed, torch.nan).numpy()
        errors = (influence - of_inverse[:, None] * programmed).norm(dim=0).numpy()
        adjusted = _holm(np.array([two_sided(z) for z in differences / errors]))
        now = torch.as_tensor(adjusted <= _SIGNIFICANT)
        if torch.equal(now, off) or not programmed[~now].any():
            break
        off = now
    return EffectiveModel(
        network,
        inverse,
        float(of_inverse.norm()),
        (inverse * programmed).numpy(),
        differences,
        errors,
        level,
    )


def _inverse_temperature(
    model: PairwiseModel,
    observations: Observations,
    programmed: Tensor,
    found: Tensor,
    known: Tensor,
    off: Tensor,
) -> tuple[float, Tensor, Tensor]:
    """The factor of what was programmed, what is off being free, and its influence, ``(N,)``.

    And how many samples are expected to tell about each coupling and field, ``(E + D,)``: those
    with a spin against its neighbors.
    """
    low, high = model.space.states
    scaled = torch.where(off, 0.0, programmed)
    basis = torch.cat([scaled[:, None], torch.eye(len(off), dtype=found.dtype)[:, off]], 1)
    model = PairwiseModel(copy.deepcopy(model.energy), model.edges)
    own = torch.where(known, scaled, 0.0)
    parameters = torch.cat([(own @ found / own.square().sum())[None], found[off]])
    for _ in range(_MAX_STEPS):
        values = (basis @ parameters).split([len(model.edges), model.space.num_sites])
        model.energy.weight.copy_(values[0])
        model.energy.fields.copy_(values[1])
        gradients, curvature = scores_and_curvature(model, observations, _OBJECTIVE)
        slope = basis.mT @ (observations.data_weights @ gradients)
        bend = torch.linalg.inv(basis.mT @ curvature @ basis)
        step = bend @ slope
        parameters = parameters - step
        if step.abs().max() < 1e-8 * (1 + parameters.abs().max()):
            alone = torch.linalg.inv(curvature).diagonal()  # all others being free
            events = observations.effective_size / (alone * (high - low) ** 2)
            influence = observations.scattered(gradients) @ basis @ bend[0]
            return float(parameters[0]), influence, events
    raise ValueError(
        "Expected samples that determine a temperature, but their likelihood grows without bound: "
        "each spin follows its neighbors in all of them, as in ground states. Draw more samples, "
        "or warmer ones."
    )
