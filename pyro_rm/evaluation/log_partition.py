"""Exact partition functions, each model by its cheapest way."""

from __future__ import annotations

from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import RBMEnergy
from pyro_rm.energies.rbm_hidden import RBMHiddenEnergy
from pyro_rm.energy_protocol import Energy, EnergyError, check_energy, fast_path, space_of
from pyro_rm.enumeration import Enumeration
from pyro_rm.evaluation.pairwise_trees import is_forest, log_partition_of_forest
from pyro_rm.state_space import StateSpace


class TooManyStatesError(ValueError):
    """An exact sum would run over more states than allowed."""


def log_partition(
    model: EnergyModel | Energy,
    *,
    state_space: StateSpace | None = None,
    max_states: int = 2**24,
) -> Tensor:
    r"""The exact :math:`\log \sum_x e^{-E(x)}`, differentiable in the energy.

    Ising and Potts models without loops are summed by elimination, restricted Boltzmann
    machines over their smaller side, and everything else over all states.

    :param model: An energy, or an :class:`~pyro_rm.distributions.EnergyModel` of one.
    :param state_space: The space, where the energy does not say it.
    :param max_states: Refuse larger sums.
    :returns: A scalar.
    :raises TooManyStatesError: If the sum would run over more than ``max_states``.
    :raises EnergyError: If an energy is not finite.

    Example:

        >>> log_partition(RBMEnergy(num_sites=784, num_hidden=2)).shape
        torch.Size([])

    .. note:: One energy a state of the sum, in bounded memory; nothing for trees. With 24
        binary sites: a second for Ising models, some for RBMs, minutes for a large MLP.
    """
    check_counts(max_states=max_states)
    energy, space = energy_and_space(model, state_space)
    if is_forest(energy):
        result = log_partition_of_forest(energy)
        if not result.detach().isfinite():
            raise EnergyError(f"Expected finite parameters, but log Z is {result.item()}.")
        return result
    return _smaller_sum(energy, space, max_states).log_partition()


def exact_samples(
    model: EnergyModel | Energy,
    num_samples: int,
    *,
    state_space: StateSpace | None = None,
    max_states: int = 2**24,
) -> Tensor:
    """Exact, independent draws, by the sums of :func:`log_partition`.

    :param model: An energy, or an :class:`~pyro_rm.distributions.EnergyModel` of one.
    :param num_samples: How many.
    :param state_space: The space, where the energy does not say it.
    :param max_states: Refuse larger sums.
    :returns: Data, ``(num_samples, D)``.
    :raises TooManyStatesError: If the sum would run over more than ``max_states``.

    Example:

        >>> exact_samples(RBMEnergy(num_sites=784, num_hidden=2), 5).shape
        torch.Size([5, 784])

    .. note:: Costs two energies a state of the sum.
    """
    check_counts(0, num_samples=num_samples)
    check_counts(max_states=max_states)
    energy, space = energy_and_space(model, state_space)
    sums = _smaller_sum(energy, space, max_states)
    draws = sums.draw(num_samples)
    if isinstance(sums.energy, RBMHiddenEnergy):
        return sums.energy.draw_visible(draws.to(sums.energy.dtype))
    return draws


def energy_and_space(
    model: EnergyModel | Energy, state_space: StateSpace | None = None
) -> tuple[Energy, StateSpace]:
    """The energy of a model and its space.

    :raises ValueError: If the model has a batch shape, a context or inactive sites, the space
        is unknown, or the energy is one on another space.
    """
    if isinstance(model, EnergyModel):
        if model.batch_shape or model.context or model.active is not None:
            raise ValueError(
                "Expected one model of all sites, but got one with a batch shape, a context or "
                "inactive sites: their partition functions differ by datum."
            )
        return energy_and_space(model.energy, model.state_space)
    space = space_of(model, state_space)
    check_energy(model, space)
    return model, space


def _smaller_sum(energy: Energy, space: StateSpace, max_states: int) -> Enumeration:
    best = Enumeration(energy, space)
    if isinstance(energy, RBMEnergy) and fast_path(energy, "hidden_logits") is not None:
        hidden = RBMHiddenEnergy(energy)
        if hidden.state_space.num_states < space.num_states:
            # a hidden state costs as much memory as there are visible units
            size = max(2**8, 2**22 // space.encoded_shape.numel())
            best = Enumeration(hidden, hidden.state_space, chunk_size=size)
    if best.space.num_states > max_states:
        raise TooManyStatesError(
            f"Expected a sum over at most {max_states} states, but got "
            f"{best.space.num_states}; use annealed_importance_sampling, or raise max_states."
        )
    return best
