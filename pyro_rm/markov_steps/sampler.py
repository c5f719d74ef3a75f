"""A documented chain that draws from a model: its start, its step, its length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energy_protocol import Context
from pyro_rm.markov_steps.chains import Chains, burn_in_step, starting_data
from pyro_rm.markov_steps.transition import MarkovStep
from pyro_rm.noise_levels import draw_background
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


@dataclass(frozen=True, eq=False)
class MarkovSampler:
    """Draws that are the ends of chains of a given length, one chain a draw.

    Draws are independent of each other and approximate: their distribution is as close to
    the model as ``num_steps`` steps bring it; steps that adapt do so in the first half. Chains
    that stay in the first mode they meet spread better over the modes if they cool down
    (``annealed`` [1]), at the same cost; from the draws of a similar model start by
    :meth:`starting_from`. Those of a model with levels of noise
    start at its background and move by simulated tempering; in the second half of the steps the
    highest level comes down to that of the data. Exact draws of small models come from
    :class:`~pyro_rm.distributions.NormalizedModel`.

    :param num_steps: Steps of each chain.
    :param step: The Markov step; None: that of the energy (:func:`default_step`), or
        :class:`ParallelGibbs` where a sweep would cost an energy a site.
    :param initial: Where chains start: data that broadcast to the draws. They also hold the
        values of clamped sites. Sites that are NaN start at random; all do if it is None, or at
        the background of the levels.
    :param progress: Whether to show a bar, if it takes longer than two seconds.
    :param annealed: Whether step :math:`k` of :math:`n` follows :math:`e^{-E(x)k/n}`, rather
        than the model itself from the first step.
    :raises ValueError: If ``num_steps`` is negative.

    Example:

        >>> sampler = MarkovSampler(num_steps=5)
        >>> draws = sampler(lambda x: 9 - 99 * x.sum(-1), StateSpace(3), (2,))
        >>> draws
        tensor([[1., 1., 1.],
                [1., 1., 1.]])

    .. note:: Costs ``num_steps`` steps. Biased, unless it starts at exact draws.

    **References**

    [1] Scott Kirkpatrick, Daniel Gelatt, Mario Vecchi (1983) "Optimization by simulated
        annealing", Science 220(4598).
    """

    num_steps: int
    step: MarkovStep | None = None
    _: KW_ONLY
    initial: Tensor | None = None
    progress: bool = True
    annealed: bool = False

    def __post_init__(self) -> None:
        check_counts(0, num_steps=self.num_steps)

    def starting_from(self, initial: Tensor) -> MarkovSampler:
        """The same from warm starts, e.g. earlier draws, and not annealed: heat would lose them."""
        return replace(self, initial=initial, annealed=False)

    def __call__(
        self,
        model: Any,
        state_space: StateSpace | None = None,
        sample_shape: tuple[int, ...] = (),
        context: Tensor | Context = (),
        active: Tensor | None = None,
    ) -> Tensor:
        """Draw.

        :param model: An energy, a model or a :class:`~pyro_rm.Target`.
        :param state_space: The space, where the energy does not say it.
        :param sample_shape: How many draws; those of a model with a batch shape have it, too.
        :param context: Tensors whose leading dimensions are those of the draws.
        :param active: Booleans that broadcast to the draws; other sites are clamped.
        :returns: Data, ``sample_shape + batch_shape + (D,)``.
        """
        shape = torch.Size(sample_shape) + getattr(model, "batch_shape", torch.Size())
        target = Target.of(model, state_space, context=context, active=active, batch_shape=shape)
        initial, levels = self.initial, target.levels
        if initial is None and levels is not None:
            like = torch.empty((*shape, target.space.num_sites), device=target.device)
            initial = draw_background(target.space, like, levels.background)
        start = starting_data(target, shape, initial)
        encoded = target.encode(start)
        step = burn_in_step(target, encoded) if self.step is None else self.step
        chains = Chains(target, encoded, step)
        schedule = None
        if levels is not None:
            schedule = self._descending(target)
        elif self.annealed:
            schedule = self._cooling(target, step, chains.encoded)
        chains.run(
            self.num_steps,
            num_adapting=self.num_steps // 2,
            schedule=schedule,
            progress=self.progress,
        )
        return target.decode(chains.encoded)

    def _cooling(self, target: Target, step: MarkovStep, like: Tensor) -> Callable[[int], Target]:
        """From the number of a step to a target less and less hot."""

        def schedule(number: int) -> Target:
            if number + 1 >= self.num_steps:
                return target  # the last step follows the model itself
            return step.tempered(target, like.new_tensor((number + 1) / self.num_steps))

        return schedule

    def _descending(self, target: Target) -> Callable[[int], Target]:
        """From the number of a step to a target with fewer and fewer levels in its second half."""
        assert target.levels is not None
        count, half = len(target.levels), self.num_steps / 2
        below = [replace(target, levels=target.levels.first(k)) for k in range(1, count + 1)]

        def schedule(number: int) -> Target:
            left = (self.num_steps - 1 - number) / max(half, 1)  # 1 at half, 0 at the last step
            return below[min(count - 1, int(left * count))]

        return schedule
