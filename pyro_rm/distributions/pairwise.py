"""Ising and Potts models with given couplings and fields, as Pyro distributions."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.checks import check_real
from pyro_rm.distributions.energy_model import EnergyModel
from pyro_rm.energies import PairwiseFunction
from pyro_rm.markov_steps import MarkovSampler
from pyro_rm.state_space import StateSpace

Self = TypeVar("Self", bound="_PairwiseModel")


class _PairwiseModel(EnergyModel):
    """A model of couplings and fields; a subclass says their shapes."""

    _shapes: str  # of the couplings, for messages
    _site_rank: int  # 1 if binary, else 2

    def _prepare(
        self, couplings: Tensor, fields: Tensor | None, validate_args: bool | None
    ) -> Tensor:
        """Keep the parameters, checked.

        :returns: The fields.
        """
        check_real(couplings, "couplings")
        rank = self._site_rank
        site = couplings.shape[couplings.dim() - rank :]
        if couplings.dim() < 2 * rank or couplings.shape[-2 * rank : -rank] != site:
            raise ValueError(
                f"Expected couplings of shape {self._shapes}, but got {tuple(couplings.shape)}."
            )
        fields = couplings.new_zeros(site) if fields is None else fields
        check_real(fields, "fields")
        if fields.shape[-rank:] != site:
            expected = ", ".join(str(size) for size in site)
            raise ValueError(
                f"Expected fields of shape (..., {expected}), but got {tuple(fields.shape)}."
            )
        validate = self._validate_args if validate_args is None else validate_args
        first, second = couplings.dim() - 2 * rank, couplings.dim() - rank
        if validate and (couplings.diagonal(dim1=first, dim2=second) != 0).any():
            raise ValueError(
                "Expected couplings that are zero on the diagonal, from a site to itself, but got "
                "other values there; move them to the fields."
            )
        swapped = couplings.transpose(-1, -rank - 1)
        swapped = swapped if rank == 1 else swapped.transpose(-2, -4)
        if validate and not torch.allclose(couplings, swapped):
            raise ValueError(
                "Expected symmetric couplings, but got others. Use (J + J.mT) / 2; of a Potts "
                "model couplings[i, k, j, l] must equal couplings[j, l, i, k]."
            )
        self.couplings, self.fields = couplings, fields
        return fields

    def expand(self: Self, batch_shape: Any, _instance: Any = None) -> Self:
        """The same model with a larger batch shape."""
        new: Any = self._get_checked_instance(type(self), _instance)
        super().expand(batch_shape, _instance=new)
        new.couplings, new.fields = self.couplings, self.fields
        return new


class Ising(_PairwiseModel):
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
    _shapes, _site_rank = "(..., D, D)", 1

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
        fields = self._prepare(couplings, fields, validate_args)
        function = PairwiseFunction(
            couplings, fields, StateSpace(couplings.shape[-1], states=states)
        )
        super().__init__(function, active=active, sampler=sampler, validate_args=validate_args)


class Potts(_PairwiseModel):
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
    _shapes, _site_rank = "(..., D, K, D, K)", 2

    def __init__(
        self,
        couplings: Tensor,
        fields: Tensor | None = None,
        *,
        active: Tensor | None = None,
        sampler: MarkovSampler | None = None,
        validate_args: bool | None = None,
    ) -> None:
        fields = self._prepare(couplings, fields, validate_args)
        num_sites, num_categories = couplings.shape[-2:]
        if num_categories < 3:
            raise ValueError(f"Expected 3 categories or more, but got {num_categories}; use Ising.")
        function = PairwiseFunction(couplings, fields, StateSpace(num_sites, num_categories))
        super().__init__(function, active=active, sampler=sampler, validate_args=validate_args)
