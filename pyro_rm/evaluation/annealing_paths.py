"""The energies between a base and a target that annealing passes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pyro_rm.energies import SumEnergy
from pyro_rm.energy_protocol import Energy, fast_path
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


@runtime_checkable
class BaseDistribution(Protocol):
    """A normalized density that annealing can start from; an energy with log Z = 0.

    Example:

        >>> from pyro_rm.evaluation import IndependentSites
        >>> base = IndependentSites.fit(torch.rand(9, 3).round(), StateSpace(3))
        >>> isinstance(base, BaseDistribution)
        True
    """

    @property
    def state_space(self) -> StateSpace:
        """The space."""
        ...

    def __call__(self, encoded: Tensor) -> Tensor:
        """Energies ``-log p`` of encoded data, ``batch_shape``."""
        ...

    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, D)``."""
        ...


@dataclass(frozen=True, eq=False)
class AnnealingPath:
    r"""Targets of energies :math:`E_\beta` from a base (:math:`\beta = 0`) to a target (1).

    :param at: :math:`\beta` to a target, valid until the next call.
    :param log_partition_at_base: :math:`\log Z_0`, exactly.
    """

    at: Callable[[float], Target]
    log_partition_at_base: float


def annealing_path(base: BaseDistribution, target: Target) -> AnnealingPath:
    r"""The path between two energies that keeps the target's fast steps.

    What the energy's own ``path_from(base)`` gives, else the geometric path
    :math:`(1 - \beta) E_0 + \beta E_1`, which is an Ising or Potts model if both ends are. Where
    the target has levels of noise, the path goes from the base to the top level and down along
    them, through models of noisy data rather than through tempered ones.

    :param base: Where the path starts.
    :param target: Where it ends.
    :raises ValueError: If the spaces differ.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> from pyro_rm.evaluation import IndependentSites
        >>> base = IndependentSites.uniform(StateSpace(3))
        >>> path = annealing_path(base, Target.of(IsingEnergy(3)))
        >>> round(path.log_partition_at_base, 4)
        0.0
    """
    if base.state_space != target.space:
        raise ValueError(
            f"Expected a base on the target's {target.space}, but got one on {base.state_space}: "
            "they do not overlap."
        )
    if target.levels is not None:
        energy_at = _path_along_levels(base, target, len(target.levels))
    else:
        own = fast_path(target.energy, "path_from")
        energy_at = (None if own is None else own(base)) or _geometric_path(base, target)

    def at(beta: float) -> Target:
        return replace(target, energy=energy_at(beta), levels=None)

    lowest = torch.full((1, target.space.num_sites), float(target.space.states[0]))
    anywhere = target.encode(lowest)
    with torch.no_grad():  # at beta = 0 the two energies differ by a constant
        target(anywhere)  # refuses what is not an energy
        constant = base(anywhere) - at(0.0)(anywhere)
    return AnnealingPath(at, float(constant))


def _geometric_path(base: BaseDistribution, target: Target) -> Callable[[float], Energy]:
    def at(beta: float) -> Energy:
        mixed = SumEnergy((1 - beta, base), (beta, target.energy), state_space=target.space)
        merged = mixed.pairwise()
        return mixed if merged is None else merged

    return at


def _path_along_levels(
    base: BaseDistribution, target: Target, num_levels: int
) -> Callable[[float], Energy]:
    """From the base to the top level, and from level to level down to the data's."""
    top = target.between(num_levels - 1)

    def at(beta: float) -> Energy:
        position = (1 - beta) * num_levels
        if position <= num_levels - 1:
            return target.between(position).energy
        return _geometric_path(base, top)(num_levels - position)

    return at
