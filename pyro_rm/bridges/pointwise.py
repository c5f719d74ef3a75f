"""Log likelihoods and log pseudolikelihoods of each datum, at each draw of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import log, log2
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine import condition, trace
from torch import Tensor

from pyro_rm.distributions import EnergyModel
from pyro_rm.enumeration import TooManyStatesError, state_chunks
from pyro_rm.evaluation import log_partition
from pyro_rm.missing.marginal_energy import MarginalEnergy, most_missing
from pyro_rm.missing.missing_data import Marginalized
from pyro_rm.posteriors.unconstrained_program import is_whole_plate
from pyro_rm.poutine.messenger import RatioMatchingMessenger, unwrap
from pyro_rm.read_off import leveled_log_prob
from pyro_rm.target import Target

_STATES_AT_ONCE = 2**18


@dataclass(frozen=True)
class ExactLoss:
    """Minus the log likelihood of each datum, by sums over all states.

    Missing cells, NaN and inactive, are summed out. Where there are levels of noise, the partition
    function is read off them, as in :meth:`~pyro_rm.distributions.EnergyModel.log_prob`.

    :param max_states: Refuse larger sums.

    Example:

        >>> from pyro_rm.state_space import StateSpace
        >>> target = Target.of(lambda x: 0 * x.sum(-1), StateSpace(2))
        >>> ExactLoss()(target, torch.zeros(1, 2))  # log 4
        tensor([1.3863])

    .. note:: Costs one energy a state, and a datum where a context or parameters differ by datum.
    """

    max_states: int = 2**20

    def is_deterministic(self, target: Target) -> bool:
        """Always."""
        return True

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Of data ``batch_shape + (D,)``, ``batch_shape``."""
        if target.levels is not None:
            return -leveled_log_prob(target, value)
        energies = _by_blanks(self._energies, target, value)
        return energies + self._log_partition(target, value.shape[:-1])

    def _energies(self, target: Target, value: Tensor) -> Tensor:
        """Of the observed cells."""
        if target.active is None:
            return target(target.bind(value))
        missing = value.isnan() & ~target.active
        if (~target.active & ~missing).any():
            raise ValueError(
                "Expected sites that are missing where they are inactive, but got values there. "
                "The likelihood given clamped sites is not implemented; pass likelihood=False."
            )
        count = most_missing(missing, int(log2(self.max_states)))
        if count:
            energy = MarginalEnergy(target.energy, target.space, missing, count)
            target = replace(target, energy=energy)
        surplus = count - missing.sum(-1)  # sites that a row sums over without missing them
        return target(target.bind(value)) + surplus * log(target.space.max_categories)

    def _log_partition(self, target: Target, batch_shape: torch.Size) -> Tensor:
        """Of one model a scalar, else ``batch_shape``."""
        target, space = replace(target, active=None), target.space
        if not target.context and not target.batch_shape:
            return log_partition(target, max_states=self.max_states)
        if space.num_states > self.max_states:
            raise TooManyStatesError.of(space.num_states, self.max_states)
        rows = max(1, _STATES_AT_ONCE // max(1, batch_shape.numel()))
        parts = []
        for states in state_chunks(space, chunk_size=rows, device=target.device):
            encoded = target.encode(states)
            shape = (len(encoded), *batch_shape, *space.encoded_shape)
            wide = encoded.view(len(encoded), *[1] * len(batch_shape), *space.encoded_shape)
            parts.append((-target(wide.expand(shape))).logsumexp(0))
        return torch.stack(parts).logsumexp(0)


@dataclass(frozen=True)
class PseudoLoss:
    """Minus the log pseudolikelihood of each datum, without noise.

    :param max_states: Refuse rows with more joint values of missing cells.

    Example:

        >>> from pyro_rm.state_space import StateSpace
        >>> target = Target.of(lambda x: 0 * x.sum(-1), StateSpace(2))
        >>> PseudoLoss()(target, torch.zeros(1, 2))  # 2 log 2
        tensor([1.3863])

    .. note:: Costs all neighbors, for each joint value of missing cells.
    """

    max_states: int = 2**20

    def is_deterministic(self, target: Target) -> bool:
        """Always."""
        return True

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Of data ``batch_shape + (D,)``, ``batch_shape``."""
        score = Marginalized(max_missing=int(log2(self.max_states)))
        return _by_blanks(score, replace(target, levels=None), value)


def _by_blanks(loss: Callable[[Target, Tensor], Tensor], target: Target, value: Tensor) -> Tensor:
    """A loss of rows with equally many blanks at a time: all cost what the worst of them does."""
    if target.active is None or target.context or target.batch_shape or value.dim() != 2:
        return loss(target, value)
    active = target.active.expand(value.shape)
    counts, size = (~active).sum(-1), target.space.max_categories
    parts, order = [], counts.argsort(stable=True)
    for count, length in zip(*counts.unique(return_counts=True), strict=True):
        rows, order = order[: int(length)], order[int(length) :]
        for part in rows.split(max(1, _STATES_AT_ONCE // size ** int(count))):
            parts.append((part, loss(replace(target, active=active[part]), value[part])))
    where = torch.cat([part for part, _ in parts])
    return torch.cat([losses for _, losses in parts])[where.argsort()]


@torch.no_grad()
def pointwise(
    model: Any,
    draws: Mapping[str, Tensor],
    model_args: tuple[Any, ...],
    model_kwargs: Mapping[str, Any],
    loss: ExactLoss | PseudoLoss,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Log probabilities of each datum of a program's observed sites, at each draw.

    :param model: The program.
    :param draws: Its latent sites by name, ``(num_draws, ...)`` each.
    :param model_args: The program's arguments.
    :param model_kwargs: Its keyword arguments.
    :param loss: How energy-based sites score, minus it. The others have a likelihood, and no
        pseudolikelihood.
    :returns: Log probabilities by site, ``(num_draws,) + batch_shape``, without scales; and the
        data by site.
    :raises ValueError: If a plate draws a subsample.

    .. note:: Costs one run of the program a draw.
    """
    rows: dict[str, list[Tensor]] = {}
    data: dict[str, Tensor] = {}

    def run_at(number: int, handler: AbstractContextManager[Any]) -> dict[str, Any]:
        values = {name: draw[number] for name, draw in draws.items()}
        with handler:
            run = trace(condition(model, values)).get_trace(*model_args, **model_kwargs)
        return {name: run.nodes[name] for name in _data_sites(run, values)}

    plain = run_at(0, nullcontext())
    energy_based = [k for k, site in plain.items() if isinstance(unwrap(site["fn"]), EnergyModel)]
    if isinstance(loss, PseudoLoss) and not energy_based:
        return rows, data  # type: ignore[return-value]
    for number in range(len(next(iter(draws.values())))):
        handler = RatioMatchingMessenger(loss, stochastic=True) if energy_based else nullcontext()
        for name, site in run_at(number, handler).items():
            if isinstance(loss, PseudoLoss) and name not in energy_based:
                continue
            log_prob = scale_and_mask(site["fn"].log_prob(site["value"]), mask=site["mask"])
            shape = torch.broadcast_shapes(log_prob.shape, site["fn"].batch_shape)
            rows.setdefault(name, []).append(log_prob.expand(shape))
            data[name] = site["value"]
    return {name: torch.stack(parts) for name, parts in rows.items()}, data


def _data_sites(run: Any, latent: Mapping[str, Tensor]) -> list[str]:
    """Names of the sites that hold data."""
    return [
        name
        for name, site in run.nodes.items()
        if site["type"] == "sample"
        and not is_whole_plate(site["fn"])
        and site["is_observed"]
        and name not in latent
        and not isinstance(unwrap(site["fn"]), dist.Delta | dist.Unit)
    ]
