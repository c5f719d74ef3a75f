r"""Normalized probabilities read off a model with levels of noise, without a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energy_protocol import EnergyError
from pyro_rm.generic_paths import recordable
from pyro_rm.noise_levels import NoiseLevels, draw_background
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

__all__ = ["ReadOff", "read_off"]


@dataclass(frozen=True, eq=False)
class ReadOff:
    r"""A partition function that was read off, with its error.

    :param log_partition: :math:`\log Z` of all levels, a scalar.
    :param standard_error: Over the draws from the background, where it is the model that is known.
        It does not know how well the levels are tied together.
    :param level_accuracy: Share of these draws whose level is told apart from the next one: far
        above one half, the top levels hardly overlap, and more of them are needed.

    Example:

        >>> ReadOff(torch.tensor(2.0), standard_error=0.01, level_accuracy=0.6).log_partition
        tensor(2.)
    """

    log_partition: Tensor
    standard_error: float
    level_accuracy: float


@torch.no_grad()
def read_off(
    model: Any,
    *,
    levels: NoiseLevels | None = None,
    state_space: StateSpace | None = None,
    num_draws: int = 4096,
) -> ReadOff:
    r"""Read the partition function off the top level, where the distribution is the background.

    The shares of the levels are known, so that an energy fitted to pairs of data and level
    (:class:`~pyro_rm.infer.NoiseLevels`) has the same :math:`Z` at all of them. At the top one the
    data are draws :math:`z` of the background :math:`b`, and
    :math:`Z = \mathrm{E}_b[e^{-E(z, L)} / b(z)]` is a mean of nearly equal numbers.
    Then :math:`\log p(x) = -E(x, 0) - \log Z`.

    It is right where the fit is: on data and what lies between them and the background. Probability
    that the model puts elsewhere, out of reach of all levels, goes unseen; then annealing differs
    (:func:`~pyro_rm.evaluation.log_likelihood` shows both).

    :param model: An energy that knows levels, an :class:`~pyro_rm.distributions.EnergyModel` or a
        :class:`~pyro_rm.Target` with levels.
    :param levels: The levels, where the model has none.
    :param state_space: The space, where the energy does not say it.
    :param num_draws: Draws from the background.
    :returns: The partition function and its standard error.
    :raises ValueError: If there are no levels, they do not go from 0 to 1, or there are inactive
        sites, a context or batched parameters.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> energy = MLPEnergy(5, (8,), num_levels=2)
        >>> for parameter in energy.parameters():
        ...     _ = torch.nn.init.zeros_(parameter)
        >>> read_off(energy, levels=NoiseLevels((0.0, 1.0))).log_partition  # 5 log 2
        tensor(3.4657)

    .. note:: Costs ``num_draws`` energies.
    """
    check_counts(2, num_draws=num_draws)
    target = Target.of(model, state_space, levels=levels)
    levels = target.levels
    if levels is None or levels.probabilities[-1] != 1 or levels.probabilities[0] != 0:
        raise ValueError(
            "Expected a model with levels of noise from 0 to 1, but got "
            f"{'none' if levels is None else levels.probabilities}. Fit an energy with num_levels "
            "by levels=NoiseLevels.fit(data, space)."
        )
    if target.context or target.active is not None or target.batch_shape:
        raise ValueError(
            "Expected one model of all sites, but got one with a batch shape, a context or "
            "inactive sites: their partition functions differ by datum."
        )
    like = torch.empty(num_draws, target.space.num_sites, device=target.device)
    encoded = target.encode(draw_background(target.space, like, levels.background))
    energies = target.level_energies(encoded, len(levels))
    weights = -energies[:, -1] - background_log_prob(levels, target.space, encoded)
    largest = weights.max()
    relative = (weights - largest).exp()
    error = float(relative.std() / relative.mean() / math.sqrt(num_draws))
    told = (energies[:, -1] < energies[:, -2]).double().mean().item() if len(levels) > 1 else 1.0
    return ReadOff(largest + relative.mean().log(), error, told)


@torch.no_grad()
def leveled_log_prob(target: Target, value: Tensor) -> Tensor:
    """Log probabilities of data, with the partition function that :func:`read_off` finds.

    :param target: With levels of noise.
    :param value: Data, ``batch_shape + (D,)``.
    :returns: ``batch_shape``, the same in each call.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        log_partition = read_off(target).log_partition
        return -target(target.bind(value)) - log_partition


def background_log_prob(levels: NoiseLevels, space: StateSpace, encoded: Tensor) -> Tensor:
    """Log probabilities of encoded data under the background of levels, ``batch_shape``.

    :param levels: The levels.
    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :raises EnergyError: If one is not finite.
    """
    if levels.background is None:
        batch = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
        return encoded.new_full(batch, -sum(math.log(k) for k in space.categories))
    log_prob = -levels.background(recordable(encoded)).to(encoded)
    if not log_prob.isfinite().all():
        raise EnergyError(
            "Expected a background under which all data are possible, but got probability 0. "
            "Smooth it, as IndependentSites.fit does."
        )
    return log_prob
