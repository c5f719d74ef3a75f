"""Unknown sites drawn from a model, going on from the last draw where the data are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.markov_steps import Chains, MarkovStep
from pyro_rm.markov_steps.chains import starting_data
from pyro_rm.target import Target


class Fill:
    """Draws the active sites of a target given all others, by Markov steps.

    :param num_steps: Steps from a random start. Data that come again as the same tensors go on
        from their last draw, by one step.
    :param step: The Markov step; that of the energy if None.
    :raises ValueError: If ``num_steps`` is not positive.

    Example:

        >>> from pyro_rm import StateSpace
        >>> x = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
        >>> def energy(x):
        ...     return -99 * x[..., 0] * x[..., 1]
        >>> Fill(3).draw(Target(energy, StateSpace(2), active=x.isnan()), x)
        tensor([[1., 1.],
                [0., 1.]])

    .. note:: Costs ``num_steps`` Markov steps, or one.
    """

    def __init__(self, num_steps: int, step: MarkovStep | None = None) -> None:
        check_counts(num_steps=num_steps)
        self.num_steps, self.step = num_steps, step
        self._last: tuple[list[Tensor], Tensor] | None = None

    def draw(self, target: Target, value: Tensor, given: Sequence[Tensor] = ()) -> Tensor:
        """Draw.

        :param target: What is drawn from; only its active sites are.
        :param value: Data, ``batch_shape + (D,)``, NaN where unknown.
        :param given: What the draw belongs to, by the identity of its memory; the data if empty.
        :returns: Data as floats, of the same shape.
        """
        given = list(given) or [value]
        start, num_steps = value, self.num_steps
        kept = self._last  # once, as other threads may fill other data meanwhile
        if kept is not None and _same_memory(kept[0], given):
            last, num_steps = kept[1], 1
            start = last if target.active is None else torch.where(target.active, last, value)
        start = starting_data(target, value.shape[:-1], start)
        at_data = replace(target, levels=None)
        chains = Chains(at_data, target.encode(start), self.step).run(num_steps)
        filled = target.decode(chains.encoded).to(start.dtype)
        self._last = (given, filled)
        return filled


def _same_memory(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    """Whether tensors are the same memory, pair by pair."""
    return len(first) == len(second) and all(
        a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
        for a, b in zip(first, second, strict=True)
    )
