r"""A control variate: first-order contributions correct what a few visited neighbors estimate.

With contributions :math:`\tilde\phi_i = \phi(\tilde\delta_i)` at the Taylor gaps of all units
(neighbors or sites), a coefficient :math:`c`, and weights :math:`w_i` of the visited units, the
correction

.. math:: c \Bigl(\sum_i \tilde\phi_i - \sum_{i\text{ visited}} w_i \tilde\phi_i\Bigr)

has mean zero, whatever the energy, and so has its gradient: the difference estimator of survey
sampling [1]. It takes away the noise of visiting few neighbors as far as the energy is linear
between a datum and its neighbors.

**References**

[1] Carl-Erik Särndal, Bengt Swensson, Jan Wretman (1992) "Model assisted survey sampling",
    Springer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.designs import Draw, ProportionalToSize
from pyro_rm.drawn_gaps import drawn_gaps, unit_gaps
from pyro_rm.energy_checks import is_validating
from pyro_rm.energy_protocol import EnergyError, wide
from pyro_rm.objectives import Objective
from pyro_rm.target import Target

_MARGIN = 3.0  # by how much first-order gaps may exceed all gaps of the pilot


def taylor_correction(
    target: Target,
    encoded: Tensor,
    objective: Objective,
    candidates: Tensor | None,
    draw: Draw,
    max_neighbors_per_chunk: int | None = None,
) -> Tensor:
    """What first-order contributions add to an estimate: noise with mean zero that cancels its own.

    The coefficient comes from a pilot, a unit a datum that is drawn beside the others.

    :param target: Its energy must be differentiable in the data.
    :param encoded: Encoded data, ``batch_shape + encoded_shape``.
    :param objective: What a gap costs.
    :param candidates: Which entries may be visited, None for all.
    :param draw: What was visited, by an unbiased design.
    :param max_neighbors_per_chunk: Bound on neighbor states of the pilot evaluated at once.
    :returns: Shape ``batch_shape``, differentiable in the parameters.
    :raises EnergyError: If the energy is not differentiable in ``x``, or a contribution is not
        finite, where validation is on.

    Example:

        >>> from pyro_rm import StateSpace
        >>> from pyro_rm.objectives import Pseudolikelihood
        >>> x, objective = torch.zeros(9, 3), Pseudolikelihood()
        >>> first_site = Draw(torch.zeros(1, 9, dtype=torch.long), torch.full((1, 9), 3.0))
        >>> target = Target.of(lambda x: x @ torch.arange(3.0), StateSpace(3))
        >>> correction = taylor_correction(target, x, objective, None, first_site)
        >>> exact = objective(torch.tensor([0.0, -1.0, -2.0])).sum()
        >>> torch.allclose(3 * objective(torch.zeros(())) + correction, exact)
        True

    .. note:: Costs one energy and its gradient in ``x``, both differentiated in the parameters,
        about two energies; and a neighbor (or all of a site) without its gradient.
    """
    first_order = target.taylor_gaps(encoded, differentiable=torch.is_grad_enabled())
    table = unit_gaps(target.space, encoded, first_order, objective)
    table = table.flatten(len(target.batch_shape_of(encoded)))
    with torch.no_grad():
        if candidates is None:
            sizes = wide(table.new_ones(())).expand(table.shape)  # one number in memory
        else:
            candidates = candidates.reshape(table.shape)
            sizes = candidates.float()
        pilot = ProportionalToSize().draw(sizes, 1)
        gaps = drawn_gaps(target, encoded, objective, pilot, max_neighbors_per_chunk)
    # a first-order gap can be far too large, where the objective of an actual one is moderate
    terms = objective(wide(table).minimum(gaps.max() + _MARGIN))
    if candidates is not None:
        terms = torch.where(candidates, terms, 0.0)
    visited = (_at(terms, draw) * draw.weights).sum(0)
    correction = coefficient(objective(gaps), _at(terms, pilot)) * (terms.sum(-1) - visited)
    if is_validating() and not correction.detach().isfinite().all():
        raise EnergyError(
            f"Expected finite first-order contributions, but {objective!r} overflowed. Use "
            "objective='pseudolikelihood', which grows linearly, or control_variate=False."
        )
    return correction


def _at(table: Tensor, draw: Draw) -> Tensor:
    """Entries of ``batch_shape + (candidates,)`` that were drawn, ``draws + batch_shape``."""
    return table.gather(-1, draw.candidates.movedim(0, -1)).movedim(-1, 0)


def coefficient(exact: Tensor, first_order: Tensor) -> Tensor:
    r"""How far first-order contributions are to be trusted, in [0, 1].

    The slope of a regression of the exact on the first-order contributions, which is best for the
    value, times their squared correlation (adjusted for their number), because gradients agree less
    than values.

    :param exact: Contributions, of any shape. Not those that are to be corrected, or the correction
        would not have mean zero.
    :param first_order: The same at Taylor gaps.
    :returns: A scalar, detached; 0 where nothing can be told, as by fewer than three.

    Example:

        >>> x = torch.arange(3.0)
        >>> coefficient(x, x), coefficient(x, 2 * x), coefficient(x, -x)
        (tensor(1.), tensor(0.5000), tensor(0.))

    .. note:: Costs no energy.
    """
    count = exact.numel()
    if count < 3:
        return exact.new_zeros(())
    exact, first_order = exact.detach(), first_order.detach()
    exact, first_order = exact - exact.mean(), first_order - first_order.mean()
    common, own = (exact * first_order).mean(), first_order.square().mean()
    unexplained = 1 - common.square() / (own * exact.square().mean())
    adjusted = 1 - unexplained * (count - 1) / (count - 2)
    return (common / own * adjusted.clamp(min=0)).nan_to_num().clamp(0, 1)
