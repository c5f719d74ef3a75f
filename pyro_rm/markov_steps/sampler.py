"""A documented chain that draws from a model: its start, its step, its length."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace

import torch
from torch import Tensor
from tqdm import trange

from pyro_rm.checks import check_counts, check_real
from pyro_rm.energy_protocol import Context, Energy, energy_device, energy_dtype, is_validating
from pyro_rm.markov_steps.gibbs import GibbsSweep
from pyro_rm.markov_steps.transition import (
    MarkovStep,
    Transition,
    add_replicas,
    check_chains,
    first_replica,
    num_replicas,
    tempered,
)
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class MarkovSampler:
    """Draws that are the ends of chains of a given length, one chain a draw.

    Draws are independent of each other and approximate: their distribution is as close to
    the model as ``num_steps`` steps bring it. Chains that stay in the first mode they meet
    spread better over the modes if they cool down (``annealed`` [1]), at the same cost; from the
    draws of a similar model start by :meth:`starting_from`. Exact draws of small models come from
    :class:`~pyro_rm.distributions.NormalizedModel`.

    :param num_steps: Steps of each chain.
    :param step: The Markov step.
    :param initial: Where chains start: data that broadcast to the draws. They also hold the
        values of clamped sites. Sites that are NaN start at random; all do if it is None.
    :param progress: Whether to show one.
    :param annealed: Whether step :math:`k` of :math:`n` follows :math:`e^{-E(x)k/n}`, rather
        than the model itself from the first step.
    :raises ValueError: If ``num_steps`` is negative.

    Example:

        >>> sampler = MarkovSampler(num_steps=5)
        >>> draws = sampler(lambda x: 9 - 99 * x.sum(-1), StateSpace(3), torch.Size([2]))
        >>> draws
        tensor([[1., 1., 1.],
                [1., 1., 1.]])

    .. note:: Costs ``num_steps`` steps. Biased, unless it starts at exact draws.

    **References**

    [1] Scott Kirkpatrick, Daniel Gelatt, Mario Vecchi (1983) "Optimization by simulated
        annealing", Science 220(4598).
    """

    num_steps: int
    step: MarkovStep = field(default_factory=GibbsSweep)
    _: KW_ONLY
    initial: Tensor | None = None
    progress: bool = False
    annealed: bool = False

    def __post_init__(self) -> None:
        check_counts(0, num_steps=self.num_steps)

    def starting_from(self, initial: Tensor) -> MarkovSampler:
        """The same from warm starts, e.g. earlier draws, and not annealed: heat would lose them."""
        return replace(self, initial=initial, annealed=False)

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        batch_shape: torch.Size,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Tensor:
        """Draw.

        :param energy: The energy.
        :param space: Its state space.
        :param batch_shape: How many draws.
        :param context: Tensors of full batch rank, ``batch_shape + ...``.
        :param active: Booleans that broadcast to ``batch_shape + (D,)``; others are clamped.
        :returns: Data, ``batch_shape + (D,)``.
        """
        start = starting_data(energy, space, batch_shape, self.initial, active)
        encoded = space.encode(start, energy_dtype(energy, start))
        check_chains(energy, space, encoded, active)
        chains = add_replicas(self.step, encoded)
        steps = trange(self.num_steps, disable=not self.progress, desc="sample")
        for k in steps:
            target = self._target(energy, space, chains, k + 1)
            chains = move(self.step, target, space, chains, context, active).encoded
        return space.decode(first_replica(self.step, chains))

    def _target(self, energy: Energy, space: StateSpace, chains: Tensor, step: int) -> Energy:
        """What a step follows, the last one the energy itself."""
        if not self.annealed or step == self.num_steps:
            return energy
        return tempered(self.step, energy, space, chains.new_tensor(step / self.num_steps))


def move(
    step: MarkovStep,
    energy: Energy,
    space: StateSpace,
    chains: Tensor,
    context: Context = (),
    active: Tensor | None = None,
) -> Transition:
    """Take a step with chains that may have replicas and a context that has none.

    :param step: The step.
    :param energy: The energy.
    :param space: Its state space.
    :param chains: Chains as the step takes them, see :func:`add_replicas`.
    :param context: Tensors of full batch rank, without replicas.
    :param active: Sites that may move; broadcasts to data.
    :returns: The chains after it.

    Example:

        >>> energy = lambda x: -99 * x.sum(-1)
        >>> move(GibbsSweep(), energy, StateSpace(2), torch.zeros(1, 2)).encoded
        tensor([[1., 1.]])

    .. note:: Costs one step.
    """
    if num_replicas(step) is not None:
        context = tuple(c[None] for c in context)
    return step(energy, space, chains, context, active)


def starting_data(
    energy: Energy,
    space: StateSpace,
    batch_shape: torch.Size,
    initial: Tensor | None = None,
    active: Tensor | None = None,
) -> Tensor:
    """Where chains start: given values, and uniform ones where there are none.

    :param energy: Says the floating type.
    :param space: The state space.
    :param batch_shape: How many chains.
    :param initial: Data that broadcast to ``batch_shape + (D,)``, NaN where unknown.
    :param active: Unknown values of sites that are False become the first state.
    :returns: Data as floats, ``batch_shape + (D,)``.
    :raises TypeError: If ``initial`` is no tensor of real numbers.
    :raises ValueError: If ``initial`` does not broadcast, or holds other values.

    Example:

        >>> known = torch.tensor([1.0, torch.nan])
        >>> starting_data(lambda x: x.sum(-1), StateSpace(2), torch.Size([4]), known)[:, 0]
        tensor([1., 1., 1., 1.])

    .. note:: Costs no energy.
    """
    shape = (*batch_shape, space.num_sites)
    if initial is not None:
        check_real(initial, "initial data")
    device = energy_device(energy) if initial is None else initial.device
    uniform = torch.rand(shape, device=device, dtype=energy_dtype(energy, torch.empty(0)))
    start = (uniform * torch.tensor(space.categories, device=device)).floor()
    low, high = space.states
    start = low + (high - low) * start
    if initial is None:
        known = torch.zeros(shape, dtype=torch.bool, device=device)
    elif _broadcasts(initial.shape, shape):
        known = ~initial.isnan().expand(shape)
        if is_validating():
            space.validate(initial.expand(shape), known)
        start = torch.where(known, initial.to(start.dtype), start)
    else:
        raise ValueError(
            f"Expected initial data that broadcast to {shape}, but got {tuple(initial.shape)}."
        )
    return start if active is None else torch.where(active | known, start, float(low))


def _broadcasts(shape: torch.Size, target: tuple[int, ...]) -> bool:
    try:
        return torch.broadcast_shapes(shape, target) == target
    except RuntimeError:
        return False
