"""Ising models with given couplings and fields, as Pyro distributions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.checks import check_real
from pyro_rm.distributions.energy_model import EnergyModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.state_space import StateSpace


class Ising(EnergyModel):
    r"""Ising model with given couplings and fields.

    :math:`\log p(x) = \tfrac12 x^\top J x + h^\top x + \text{const}`. The literature's
    :math:`x^\top J' x` is ``couplings=2 * J'``.

    :param couplings: Symmetric with zero diagonal, ``batch_shape + (D, D)``.
    :param fields: ``batch_shape + (D,)``; zeros if None.
    :param states: Values of a site, ``(0, 1)`` or ``(-1, 1)``.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``; see :class:`EnergyModel`.
    :param sampler: How to draw; see :class:`EnergyModel`.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If the couplings are not square, symmetric and zero on the diagonal.

    Example:

        >>> Ising(torch.zeros(7, 3, 3), torch.zeros(3)).batch_shape
        torch.Size([7])
    """

    arg_constraints: dict[str, constraints.Constraint] = {  # noqa: RUF012
        "couplings": constraints.independent(constraints.real, 2),
        "fields": constraints.real_vector,
    }

    def __init__(
        self,
        couplings: Tensor,
        fields: Tensor | None = None,
        *,
        states: tuple[float, float] = (0, 1),
        active: Tensor | None = None,
        sampler: MarkovSampler | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_real(couplings, "couplings")
        size = couplings.shape[-1] if couplings.dim() else 0
        if couplings.dim() < 2 or couplings.shape[-2] != size:
            raise ValueError(
                f"Expected couplings of shape (..., D, D), but got {tuple(couplings.shape)}."
            )
        fields = couplings.new_zeros(size) if fields is None else fields
        check_real(fields, "fields")
        if fields.shape[-1:] != couplings.shape[-1:]:
            raise ValueError(
                f"Expected fields of shape (..., {size}), but got {tuple(fields.shape)}."
            )
        validate = self._validate_args if validate_args is None else validate_args
        if validate and (couplings.diagonal(dim1=-2, dim2=-1) != 0).any():
            raise ValueError(
                "Expected couplings with a zero diagonal, but got other values there; "
                "move them to the fields."
            )
        if validate and not torch.allclose(couplings, couplings.mT):
            raise ValueError("Expected symmetric couplings, but got others; use (J + J.mT) / 2.")
        self.couplings, self.fields = couplings, fields
        function = PairwiseFunction(couplings, fields, StateSpace(size, states=states))
        super().__init__(function, active=active, sampler=sampler, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Ising:
        """The same model with a larger batch shape."""
        new: Any = self._get_checked_instance(Ising, _instance)
        super().expand(batch_shape, _instance=new)
        new.couplings, new.fields = self.couplings, self.fields
        return new
