"""The energies between a base and a target that annealing passes through."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pyro_rm.energies import IsingEnergy, IsingFunction, PottsEnergy, RBMEnergy
from pyro_rm.energy_gaps import gap_table, has_gap_table
from pyro_rm.energy_protocol import Energy, energy_dtype, evaluate_energy, fast_path
from pyro_rm.evaluation.independent_sites import IndependentSites
from pyro_rm.state_space import StateSpace


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
class MixedEnergy:
    r"""The geometric path's energy, :math:`(1 - \beta) E_0(x) + \beta E_1(x)`.

    :param base: :math:`E_0`.
    :param target: :math:`E_1`.
    :param beta: How far along the path.
    :param state_space: The space.
    """

    base: Energy
    target: Energy
    beta: float
    state_space: StateSpace

    @property
    def has_gap_table(self) -> bool:
        """Whether both ends give all their gaps at once."""
        return has_gap_table(self.base) and has_gap_table(self.target)

    def __call__(self, encoded: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        return (1 - self.beta) * self.base(encoded) + self.beta * self.target(encoded)

    def gap_table(self, encoded: Tensor) -> Tensor:
        """All gaps, where both ends have them."""
        base, target = gap_table(self.base, encoded), gap_table(self.target, encoded)
        return (1 - self.beta) * base + self.beta * target


@dataclass(frozen=True, eq=False)
class AnnealingPath:
    r"""Energies :math:`E_\beta` from a base (:math:`\beta = 0`) to a target (1).

    :param energy_at: :math:`\beta` to an energy, valid until the next call.
    :param log_partition_at_base: :math:`\log Z_0`, exactly.
    """

    energy_at: Callable[[float], Energy]
    log_partition_at_base: float


def annealing_path(base: BaseDistribution, target: Energy, space: StateSpace) -> AnnealingPath:
    """The path that keeps the target's family where it can, so that its own kernels apply.

    From independent sites to an Ising, Potts or restricted Boltzmann energy the parameters
    are interpolated [1]; everything else is mixed geometrically.

    :param base: Where the path starts.
    :param target: Where it ends.
    :param space: The space of both.
    :raises ValueError: If the spaces differ.

    Example:

        >>> base = IndependentSites.uniform(StateSpace(3))
        >>> path = annealing_path(base, IsingEnergy(3), StateSpace(3))
        >>> round(path.log_partition_at_base, 4)
        2.0794

    **References**

    [1] Ruslan Salakhutdinov, Iain Murray (2008) "On the quantitative analysis of deep belief
        networks", ICML.
    """
    if base.state_space != space:
        raise ValueError(
            f"Expected a base on the target's {space}, but got one on {base.state_space}: "
            "they do not overlap."
        )
    energy_at = _family_path(base, target, space)
    if energy_at is None:

        def energy_at(beta: float) -> Energy:
            return MixedEnergy(base, target, beta, space)

    lowest = torch.full((1, space.num_sites), float(space.states[0]))
    anywhere = space.encode(lowest, energy_dtype(target, lowest))
    with torch.no_grad():  # at beta = 0 the two energies differ by a constant
        evaluate_energy(target, space, anywhere)  # refuses what is no energy
        constant = base(anywhere) - energy_at(0.0)(anywhere)
    return AnnealingPath(energy_at, float(constant))


def _family_path(
    base: BaseDistribution, target: Energy, space: StateSpace
) -> Callable[[float], Energy] | None:
    """Members of the target's family on the straight line of parameters, if it has one."""
    if not isinstance(base, IndependentSites):
        return None
    known = fast_path(target, "couplings") is not None
    if known and isinstance(target, IsingEnergy | IsingFunction) and target.fields.dim() == 1:
        couplings, fields = target.couplings.detach(), target.fields.detach()
        start = base.fields.to(fields)

        def ising(beta: float) -> Energy:
            return IsingFunction(beta * couplings, start.lerp(fields, beta), space)

        return ising
    if type(target) is PottsEnergy or type(target) is RBMEnergy:
        return _module_path(
            target, "fields" if type(target) is PottsEnergy else "visible_bias", base
        )
    return None


def _module_path(
    target: nn.Module, field_name: str, base: IndependentSites
) -> Callable[[float], Energy]:
    """A module whose parameters are set anew at each call; its fields start at the base's."""
    member = deepcopy(target).requires_grad_(False)
    ends = {name: parameter.detach().clone() for name, parameter in target.named_parameters()}

    def at(beta: float) -> Energy:
        for name, parameter in member.named_parameters():
            parameter.copy_(beta * ends[name])
            if name == field_name:
                parameter.add_((1 - beta) * base.fields.to(parameter))
        return member

    return at
