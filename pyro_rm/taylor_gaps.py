"""Gaps to first order, by one gradient of the energy in its input.

An energy that has the gradient more cheaply offers ``energy_and_gradient(encoded, *context,
differentiable)``, which returns both in the shapes of :func:`energy_and_taylor_gaps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def recording() -> Iterator[None]:
    """Record operations for a gradient in the data, also where no other gradient is wanted.

    Example:

        >>> with torch.inference_mode(), recording():
        ...     torch.ones(2, requires_grad=True).sum().requires_grad
        True
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def recordable(tensor: Tensor) -> Tensor:
    """The same numbers, also where they were made under :func:`torch.inference_mode`.

    :param tensor: Any tensor.
    :returns: It, or a copy that may enter a gradient.

    Example:

        >>> with torch.inference_mode():
        ...     made = torch.ones(2)
        >>> made.is_inference(), recordable(made).is_inference()
        (True, False)
    """
    return tensor.clone() if tensor.is_inference() else tensor


def _by_backward(
    energy: Energy, space: StateSpace, encoded: Tensor, context: Context, differentiable: bool
) -> tuple[Tensor, Tensor]:
    """Energies, detached, and their gradients in the data."""
    with recording():
        point = encoded.detach().clone().requires_grad_()
        values = evaluate_energy(energy, space, point, tuple(recordable(c) for c in context))
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
