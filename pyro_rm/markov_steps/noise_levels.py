r"""Training on several levels of noise: one energy for data more and less corrupted.

Objectives that look at single flips know nothing far from the data. A remedy for any
energy and any objective, at no cost in energy evaluations, is to corrupt the data at a
random level and to tell the energy the level, as its last context::

    levels = NoiseLevels((0.0, 0.1, 0.3, 1.0))
    level = levels.draw(x.shape[:-1])
    noisy = levels.corrupt(space, x, level)
    loss = estimate(energy, noisy, context=(level,), state_space=space).mean()

or ``pyro.sample("x", EnergyModel(energy, context=level, context_event_dim=0), obs=noisy)``
in a Pyro program. Level 0 is the model of the data; :func:`sample_by_levels` walks down
to it. For an energy that takes no level there is
:func:`~pyro_rm.energies.with_levels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real
from pyro_rm.energy_protocol import Context, is_validating
from pyro_rm.markov_steps.chains import Chains
from pyro_rm.markov_steps.transition import MarkovStep
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


@dataclass(frozen=True)
class NoiseLevels:
    r"""At level :math:`l` each site is redrawn with probability :math:`p_l`, independently.

    The discrete counterpart of the noise scales of [1]: what is learned at level
    :math:`l` is :math:`p_l(x) = \sum_{x_0} p_\text{data}(x_0)\, c_l(x \mid x_0)`, and the
    levels share their parameters.

    :param probabilities: :math:`p_l` in [0, 1], increasing. Start with 0 if the model of
        the data themselves is wanted, and end with 1 if it is sampled from noise.
    :raises ValueError: If there is none, or they are out of range or order.

    Example:

        >>> levels = NoiseLevels((0.0, 0.5))
        >>> levels.corrupt(StateSpace(3), torch.ones(2, 3), torch.zeros(2, dtype=torch.long))
        tensor([[1., 1., 1.],
                [1., 1., 1.]])

    .. note:: Costs no energy evaluation. Consistent at each level if the objective is, for
        an energy that is free to differ between levels; shared parameters regularize.

    **References**

    [1] Yang Song, Stefano Ermon (2019) "Generative modeling by estimating gradients of the
        data distribution", NeurIPS.
    """

    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(float(p) for p in self.probabilities)
        increasing = all(a < b for a, b in pairwise((-1.0, *values)))
        if not values or not increasing or values[0] < 0 or values[-1] > 1:
            raise ValueError(
                f"Expected increasing probabilities in [0, 1], but got {self.probabilities}."
            )
        object.__setattr__(self, "probabilities", values)

    def __len__(self) -> int:
        return len(self.probabilities)

    def draw(
        self, batch_shape: torch.Size | tuple[int, ...], device: torch.device | None = None
    ) -> Tensor:
        """A level for each datum, uniformly."""
        return torch.randint(len(self), tuple(batch_shape), device=device)

    def corrupt(
        self,
        space: StateSpace,
        value: Tensor,
        level: Tensor,
        *,
        background: Tensor | None = None,
        active: Tensor | None = None,
    ) -> Tensor:
        """Redraw sites from a background.

        :param space: The state space.
        :param value: Data, ``batch_shape + (D,)``.
        :param level: Levels that broadcast to ``batch_shape``.
        :param background: Probabilities of the second state (binary; broadcasts to
            ``value``), or of all categories (``... + (D, K_max)``). None: uniform.
        :param active: Booleans that broadcast to ``value``; other sites are left alone.
        :returns: Corrupted data, of the shape of ``value``.
        :raises TypeError: If the data are not a tensor of real numbers.
        :raises ValueError: If their shape or an active value is not of the space.
        """
        if is_validating():
            space.validate(value, active)
        space.validate_shape(value)
        chances = torch.tensor(self.probabilities, device=value.device)
        probability = chances[level.to(value.device)][..., None]
        redrawn = torch.rand(value.shape, device=value.device) < probability
        if active is not None:
            redrawn = redrawn & active
        return torch.where(redrawn, background_draw(space, value, background), value)


def background_draw(space: StateSpace, like: Tensor, background: Tensor | None = None) -> Tensor:
    """Independent draws of all sites: data at full noise, from which chains start.

    :param space: The state space.
    :param like: Data, for the shape and the type.
    :param background: As for :meth:`NoiseLevels.corrupt`.
    :returns: Of the shape of ``like``.
    :raises TypeError: If ``like`` is not a tensor of real numbers.
    :raises ValueError: If its shape is not of the space.

    Example:

        >>> background_draw(StateSpace(2), torch.zeros(2), torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    space.validate_shape(like)
    if space.is_binary:
        low, high = space.states
        half = torch.full((), 0.5, device=like.device)
        chance = half if background is None else background
        on = torch.rand(like.shape, device=like.device) < chance
        return torch.where(on, high, low).to(like.dtype)
    if background is None:
        background = space.category_mask(like.device).to(torch.get_default_dtype())
    table = background.expand((*like.shape, space.max_categories))
    drawn = torch.multinomial(table.reshape(-1, space.max_categories), 1)
    return drawn.view(like.shape).to(like.dtype)


def sample_by_levels(
    model: Any,
    start: Tensor,
    *,
    num_levels: int,
    state_space: StateSpace | None = None,
    step: MarkovStep | None = None,
    num_steps: int = 2,
    context: Tensor | Context = (),
    active: Tensor | None = None,
    progress: bool = True,
) -> Tensor:
    """Walk chains from full noise to the data, some Markov steps at each level [1].

    :param model: An energy that takes a level as its last context, or a model or
        :class:`~pyro_rm.Target` of one, without the level.
    :param start: Data at the highest level, ``batch_shape + (D,)``, as of
        ``background_draw``.
    :param num_levels: Number of levels; the last one visited is 0.
    :param state_space: The space, where the energy does not say it.
    :param step: What moves the chains; that of the energy if None.
    :param num_steps: Steps at each level.
    :param context: Tensors that come before the level, ``batch_shape + ...``.
    :param active: Booleans that broadcast to ``start``; other sites are clamped.
    :param progress: Whether to show a bar, if it takes longer than two seconds.
    :returns: Data, of the shape of ``start``.
    :raises TypeError: If ``start`` is not a tensor of real numbers.
    :raises ValueError: If its shape or a value is not of the space.

    Example:

        >>> def energy(x, level):
        ...     return -99 * (x.sum(-1) - level).abs()
        >>> sample_by_levels(energy, torch.zeros(1, 3), num_levels=1, state_space=StateSpace(3))
        tensor([[1., 1., 1.]])

    .. note:: Costs ``num_levels * num_steps`` Markov steps. Approximate: the steps leave
        each level's model invariant, and how near the last one comes depends on their number.

    **References**

    [1] Yang Song, Stefano Ermon (2019) "Generative modeling by estimating gradients of the
        data distribution", NeurIPS.
    """
    check_counts(num_levels=num_levels)
    check_counts(0, num_steps=num_steps)
    check_real(start)
    target = Target.of(
        model, state_space, context=context, active=active, batch_shape=start.shape[:-1]
    )
    target.space.validate(start)
    encoded = target.encode(start)

    @lru_cache(maxsize=1)  # one target for all steps of a level
    def at(level: int) -> Target:
        levels = torch.full(start.shape[:-1], level, device=encoded.device)
        return target.on(levels)

    chains = Chains(at(num_levels - 1), encoded, step)
    chains.run(
        num_levels * num_steps,
        schedule=lambda number: at(num_levels - 1 - number // num_steps),
        progress=progress,
    )
    return target.decode(chains.encoded)
