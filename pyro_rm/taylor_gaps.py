"""Gaps to first order, by one gradient of the energy in its input."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.energy_protocol import (
    Context,
    Energy,
    EnergyError,
    check_energies,
    evaluate_energy,
    fast_path,
    is_validating,
)
from pyro_rm.state_space import StateSpace

__all__ = ["energy_and_taylor_gaps", "taylor_gaps"]


def taylor_gaps(
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    context: Context = (),
    *,
    differentiable: bool = False,
) -> Tensor:
    r"""First-order gaps :math:`\langle x - x', \nabla_x E(x) \rangle` to all neighbors.

    What guides the steps of [1]. Exact for energies that are affine in each site.

    :param energy: An energy that is differentiable in its input.
    :param space: Its state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :param differentiable: Whether the gaps may be differentiated in the parameters, else they
        are detached.
    :returns: Shape ``batch_shape + encoded_shape``; the entry of a current category is 0.
    :raises EnergyError: If the energy is not differentiable in ``x``.

    .. note:: Costs one energy and its gradient in ``x``, whatever the number of sites.

    **References**

    [1] Will Grathwohl, Kevin Swersky, Milad Hashemi, David Duvenaud, Chris Maddison (2021) "Oops
        I took a gradient: scalable sampling for discrete distributions", ICML.
    """
    return energy_and_taylor_gaps(energy, space, encoded, context, differentiable=differentiable)[1]


def energy_and_taylor_gaps(
    energy: Energy,
    space: StateSpace,
    encoded: Tensor,
    context: Context = (),
    *,
    differentiable: bool = False,
) -> tuple[Tensor, Tensor]:
    """Energies, detached, and :func:`taylor_gaps`, at the cost of the gaps.

    :param energy: An energy that is differentiable in its input.
    :param space: Its state space.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param context: Tensors of full batch rank.
    :param differentiable: Whether the gaps may be differentiated in the parameters, else they
        are detached.
    :returns: Shapes ``batch_shape`` and ``batch_shape + encoded_shape``.
    :raises EnergyError: If the energy is not differentiable in ``x``.

    .. note:: Costs one energy and its gradient in ``x``.
    """
    own = fast_path(energy, "energy_and_gradient")
    if own is not None:
        values, gradient = own(encoded, *context, differentiable=differentiable)
        if is_validating():
            batch_shape = encoded.shape[: encoded.dim() - len(space.encoded_shape)]
            check_energies(values, batch_shape, tuple(encoded.shape))
    else:
        values, gradient = _by_backward(energy, space, encoded, context, differentiable)
    if space.is_binary:
        return values, (2 * encoded - sum(space.states)) * gradient
    return values, (gradient * encoded).sum(-1, keepdim=True) - gradient


def _by_backward(
    energy: Energy, space: StateSpace, encoded: Tensor, context: Context, differentiable: bool
) -> tuple[Tensor, Tensor]:
    """Energies, detached, and their gradients in the data."""
    with torch.enable_grad():
        point = encoded.detach().clone().requires_grad_()
        values = evaluate_energy(energy, space, point, context)
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(
                values.sum(), point, allow_unused=True, create_graph=differentiable
            )
    if gradient is None:
        raise EnergyError(
            "Expected an energy that is differentiable in x, but its gradient does not reach x "
            "(rounding, indexing or .detach() cut it). Use what needs no gradient, "
            "proposal='uniform' or GibbsSweep(), or compute the energy from x by "
            "differentiable operations."
        )
    return values.detach(), gradient
