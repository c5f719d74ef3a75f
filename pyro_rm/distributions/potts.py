"""Potts models with given couplings and fields, as Pyro distributions."""

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


class Potts(EnergyModel):
    r"""Potts model with given couplings and fields: categorical sites that interact in pairs.

    :math:`\log p(x) = \sum_{i<j} J_{ij}(x_i, x_j) + \sum_i h_i(x_i) + \text{const}`, with
    :math:`J_{ij}(k, l)` at ``couplings[i, k, j, l]``. Data are integer codes.

    :param couplings: Symmetric, zero within a site, ``batch_shape + (D, K, D, K)``.
    :param fields: ``batch_shape + (D, K)``; zeros if None.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``; see :class:`EnergyModel`.
    :param sampler: How to draw; see :class:`EnergyModel`.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If a shape does not fit, there are only two categories, or the couplings
        are not symmetric and zero within a site.

    Example:

        >>> Potts(torch.zeros(7, 4, 3, 4, 3), torch.zeros(4, 3)).batch_shape
        torch.Size([7])
    """

    arg_constraints: dict[str, constraints.Constraint] = {  # noqa: RUF012
        "couplings": constraints.independent(constraints.real, 4),
        "fields": constraints.independent(constraints.real, 2),
    }

    def __init__(
        self,
        couplings: Tensor,
        fields: Tensor | None = None,
        *,
        active: Tensor | None = None,
        sampler: MarkovSampler | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_real(couplings, "couplings")
        shape = couplings.shape[-2:]
        if couplings.dim() < 4 or couplings.shape[-4:-2] != shape:
            raise ValueError(
                f"Expected couplings of shape (..., D, K, D, K), but got {tuple(couplings.shape)}."
            )
        if shape[1] < 3:
            raise ValueError(f"Expected 3 categories or more, but got {shape[1]}; use Ising.")
        fields = couplings.new_zeros(shape) if fields is None else fields
        check_real(fields, "fields")
        if fields.shape[-2:] != shape:
            raise ValueError(
                f"Expected fields of shape (..., {shape[0]}, {shape[1]}), "
                f"but got {tuple(fields.shape)}."
            )
        validate = self._validate_args if validate_args is None else validate_args
        if validate and (couplings.diagonal(dim1=-4, dim2=-2) != 0).any():
            raise ValueError(
                "Expected couplings that are zero within a site, but got other values there; "
                "move them to the fields."
            )
        if validate and not torch.allclose(
            couplings, couplings.transpose(-4, -2).transpose(-3, -1)
        ):
            raise ValueError(
                "Expected symmetric couplings, couplings[i, k, j, l] equal to "
                "couplings[j, l, i, k], but got others."
            )
        self.couplings, self.fields = couplings, fields
        function = PairwiseFunction(couplings, fields, StateSpace(shape[0], shape[1]))
        super().__init__(function, active=active, sampler=sampler, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Potts:
        """The same model with a larger batch shape."""
        new: Any = self._get_checked_instance(Potts, _instance)
        super().expand(batch_shape, _instance=new)
        new.couplings, new.fields = self.couplings, self.fields
        return new
