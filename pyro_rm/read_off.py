r"""Normalized probabilities read off a model with levels of noise, without a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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

_STATES_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class ReadOff:
    r"""A partition function that was read off, with its error.

    :param log_partition: :math:`\log Z` of all levels: a scalar, or one for each datum given.
    :param standard_error: Over the draws from the background, where it is the model that is known;
        the largest of those of the data given. It does not know how well the levels are tied
        together.
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
    given: Tensor | None = None,
    levels: NoiseLevels | None = None,
    state_space: StateSpace | None = None,
    num_draws: int | None = None,
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

    With a context or inactive sites each datum has a partition function of its own, that of its
    active sites given the others: then say ``given``.

    :param model: An energy that knows levels, an :class:`~pyro_rm.distributions.EnergyModel` or a
        :class:`~pyro_rm.Target` with levels.
    :param given: Data, ``batch_shape + (D,)``, whose context and inactive sites are meant.
    :param levels: The levels, where the model has none.
    :param state_space: The space, where the energy does not say it.
    :param num_draws: Draws from the background; None: 4096, or 256 for each datum that is given.
    :returns: The partition function, or those of the data that are given, and their standard error.
    :raises ValueError: If there are no levels, they do not go from 0 to 1, there are batched
        parameters, or nothing is given beside inactive sites or a context.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> energy = MLPEnergy(5, (8,), num_levels=2)
        >>> for parameter in energy.parameters():
        ...     _ = torch.nn.init.zeros_(parameter)
        >>> read_off(energy, levels=NoiseLevels((0.0, 1.0))).log_partition  # 5 log 2
        tensor(3.4657)

    .. note:: Costs ``num_draws`` energies, of each datum that is given.
    """
    if num_draws is None:
        num_draws = 4096 if given is None else 256
    check_counts(2, num_draws=num_draws)
    shape = None if given is None else given.shape[:-1]
    target = Target.of(model, state_space, levels=levels, batch_shape=shape)
    levels = target.levels
    if levels is None or levels.probabilities[-1] != 1 or levels.probabilities[0] != 0:
        raise ValueError(
            f"Expected a model with levels of noise from 0 to 1, but got "
            f"{'none' if levels is None else levels.probabilities}. Fit an energy with num_levels "
            "by levels=NoiseLevels.fit(data, space)."
        )
    if target.batch_shape or (given is None and (target.context or target.active is not None)):
        raise ValueError(
            "Expected one model of all sites, but got one with a batch shape, a context or "
            "inactive sites: their partition functions differ by datum. Pass given=data for those "
            "of context and inactive sites."
        )
    start = torch.full((target.space.num_sites,), float(target.space.states[0]))
    start = target.decode(target.encode(start) if given is None else target.bind(given))
    at_once = max(1, _STATES_AT_ONCE // max(1, start.shape[:-1].numel()))
    counts = [min(at_once, num_draws - done) for done in range(0, num_draws, at_once)]
    drawn = [_drawn(target, levels, start.expand(n, *start.shape)) for n in counts]
    weights, told = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    largest = weights.amax(0)
    relative = (weights - largest).exp()
    mean = relative.mean(0)
    error = relative.std(0) / mean / math.sqrt(num_draws)
    return ReadOff(largest + mean.log(), float(error.max()), told.double().mean().item())


@torch.no_grad()
def leveled_log_prob(target: Target, value: Tensor) -> Tensor:
    """Log probabilities of data, with the partition function that :func:`read_off` finds.

    :param target: With levels of noise.
    :param value: Data, ``batch_shape + (D,)``.
    :returns: ``batch_shape``, the same in each call.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        differ = bool(target.context) or target.active is not None
        log_partition = read_off(target, given=value if differ else None).log_partition
        return -target(target.bind(value)) - log_partition


def _drawn(target: Target, levels: NoiseLevels, start: Tensor) -> tuple[Tensor, Tensor]:
    """Log weights of draws from the background in place of active sites, ``draws + batch_shape``.

    Also whether the level of each is told apart from the next one.
    """
    drawn = draw_background(target.space, start, levels.background).to(start.device)
    if target.active is not None:
        drawn = torch.where(target.active, drawn, start)
    encoded = target.encode(drawn)
    contexts = tuple(c.expand(len(start), *c.shape) for c in target.context)
    energies = replace(target, context=contexts).level_energies(encoded, len(levels))
    known = background_log_prob(levels, target.space, encoded, target.active)
    return -energies[..., -1] - known, energies[..., -1] < energies[..., -2]


def background_log_prob(
    levels: NoiseLevels, space: StateSpace, encoded: Tensor, active: Tensor | None = None
) -> Tensor:
    """Log probabilities of encoded data under the background of levels, ``batch_shape``.

    :param levels: The levels.
    :param space: The state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param active: Sites to count, booleans that broadcast to ``batch_shape + (D,)``; None: all.
    :raises EnergyError: If one is not finite.
    :raises ValueError: If sites of the background are not independent, but some are not active.
    """
    batch = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
    background = levels.background
    if background is None:
        each = encoded.new_tensor([-math.log(k) for k in space.categories])
        counted = each if active is None else each * active
        return counted.sum(-1).expand(batch)
    if active is None:
        log_prob = -background(recordable(encoded)).to(encoded)
    elif hasattr(background, "site_energies"):
        log_prob = -(background.site_energies(recordable(encoded)).to(encoded) * active).sum(-1)
    else:
        raise ValueError(
            f"Expected a background of independent sites beside inactive sites, but got "
            f"{type(background).__name__}, whose conditionals are unknown. Use IndependentSites."
        )
    if not log_prob.isfinite().all():
        raise EnergyError(
            "Expected a background under which all data are possible, but got probability 0. "
            "Smooth it, as IndependentSites.fit does."
        )
    return log_prob
