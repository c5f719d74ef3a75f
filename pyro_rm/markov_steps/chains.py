"""Parallel chains: their state, and the one loop that runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pyro_rm.checks import check_counts, check_real
from pyro_rm.energy_checks import is_validating
from pyro_rm.energy_protocol import EnergyError, energy_dtype, energy_of, fast_path
from pyro_rm.markov_steps.block_gibbs import BlockGibbs, has_hidden_units
from pyro_rm.markov_steps.gibbs import GibbsSweep
from pyro_rm.markov_steps.parallel_gibbs import ParallelGibbs
from pyro_rm.markov_steps.simulated_tempering import SimulatedTempering
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.target import Target

SECONDS_BEFORE_A_BAR = 2.0
_FEW_SITES = 16  # that a sweep visits as fast


class Chains:
    r"""Chains that follow a target by a step: the only thing in the library that runs chains.

    Samplers, levels, annealing, fills, contrastive divergence and MCMC kernels each hold one.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`.
    :param start: Where the chains start, encoded, ``batch_shape + encoded_shape``.
    :param step: The step; that of the energy (:func:`default_step`) if None.
    :raises ValueError: If the start is not of the target's space.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> chains = Chains(IsingEnergy(4), torch.zeros(100, 4))
        >>> chains.run(20).encoded.shape
        torch.Size([100, 4])
        >>> chains.acceptance.mean()
        tensor(1.)

    .. note:: Costs a step for each step; with steps that keep what they know of a state, one
        evaluation more at the start and after each :meth:`follow`.
    """

    def __init__(self, model: Any, start: Tensor, step: MarkovStep | None = None) -> None:
        target = Target.of(model)
        self.step = default_step(target) if step is None else step
        if is_validating():
            target.check_states(start)
        replicas = self.step.num_replicas
        if replicas is not None:
            start = start.expand((replicas, *start.shape)).clone()
        self.state = ChainState(start)
        self.follow(target)

    @classmethod
    def resumed(cls, model: Any, encoded: Tensor, step: MarkovStep | None = None) -> Chains:
        """Chains that go on from ``state.encoded`` of others, with the replicas of their step.

        :param model: An energy, a model or a :class:`~pyro_rm.Target`.
        :param encoded: The states, unchecked.
        :param step: The step; that of the energy if None.
        """
        target = Target.of(model)
        chains = cls.__new__(cls)
        chains.step = default_step(target) if step is None else step
        chains.state = ChainState(encoded)
        chains.follow(target)
        return chains

    @property
    def encoded(self) -> Tensor:
        """The chains that follow the target, ``batch_shape + encoded_shape``."""
        encoded = self.state.encoded
        return encoded if self.step.num_replicas is None else encoded[0]

    @property
    def acceptance(self) -> Tensor | None:
        """Mean acceptance probability of the last step's proposals; None before the first."""
        return self.state.acceptance

    def follow(self, target: Target) -> None:
        """Go on under another target, or under one whose parameters have changed.

        :param target: On the same space.

        .. note:: Costs what the step wants to know of the state that the chains are in.
        """
        if self.step.num_replicas is not None:
            target = replace(target, context=tuple(c[None] for c in target.context))
        self.target, self._stale = target, True

    @torch.no_grad()
    def run(
        self,
        num_steps: int,
        *,
        num_adapting: int = 0,
        schedule: Callable[[int], Target] | None = None,
        observe: Callable[[int], Any] | None = None,
        progress: bool = False,
        description: str = "sample",
    ) -> Chains:
        """Take steps.

        :param num_steps: How many.
        :param num_adapting: After so many of them at the start the step adapts to its acceptance,
            if it can: burn-in, as chains do not follow the target exactly meanwhile.
        :param schedule: From the number of a step, 0, 1, ..., to the target that it follows, for
            inverse temperatures or levels; calls that return the same object change nothing.
        :param observe: Called with the number of each step that was taken, to keep or weigh the
            state: burn-in and thinning are a condition in it.
        :param progress: Whether to show a bar, if it takes longer than two seconds.
        :param description: What the bar says.
        :returns: The chains themselves.
        """
        check_counts(0, num_steps=num_steps)
        last: Target | None = None
        for number in tqdm(
            range(num_steps),
            desc=description,
            disable=not progress,
            delay=SECONDS_BEFORE_A_BAR,
            leave=False,
        ):
            if schedule is not None:
                target = schedule(number)
                if target is not last:
                    self.follow(target)
                last = target
            if self._stale:
                self.state = self.step.init(self.target, self.state.encoded)
                self._stale = False
            self.state = self.step(self.target, self.state)
            if number < num_adapting and self.step.is_adaptive:
                assert self.state.acceptance is not None
                self.step = self.step.adapted(self.state.acceptance)
            if observe is not None:
                observe(number)
        return self


def default_step(model: Any) -> MarkovStep:
    """The fastest valid step of an energy.

    What its method ``default_step()`` returns; block Gibbs where it has hidden units; else a
    Gibbs sweep. Simulated tempering by that step where a target has levels of noise.

    :param model: An energy, a model or a :class:`~pyro_rm.Target`.
    :returns: A step.

    Example:

        >>> from pyro_rm.energies import RBMEnergy
        >>> default_step(RBMEnergy(5, 2))
        BlockGibbs()

    .. note:: Costs no energy.
    """
    energy = energy_of(model)
    own = fast_path(energy, "default_step")
    chosen = None if own is None else own()
    if chosen is None:
        chosen = BlockGibbs() if has_hidden_units(energy) else GibbsSweep()
    has_levels = hasattr(model, "target_at") and model.target_at().levels is not None
    return SimulatedTempering(chosen) if has_levels else chosen


def burn_in_step(target: Target, start: Tensor) -> MarkovStep:
    """The fastest valid step for chains that have a burn-in, in which a step can adapt.

    :func:`default_step`, but many sites at once where a sweep would cost an energy a site: for
    energies without a table of gaps on more than 16 sites, whose gradient reaches the data. A
    sweep of an MLP with one hidden layer costs little more than an energy.

    :param target: What the chains follow.
    :param start: Where they start, encoded, ``batch_shape + encoded_shape``.
    :returns: A step.

    Example:

        >>> from pyro_rm.energies import MLPEnergy
        >>> burn_in_step(Target.of(MLPEnergy(50)), torch.zeros(2, 50))
        ParallelGibbs(share=0.5, num_proposals=5, target_acceptance=0.574)

    .. note:: Costs a gradient at the start for such energies.
    """
    chosen = default_step(target)
    is_small = target.space.num_sites <= _FEW_SITES
    if is_small or chosen != GibbsSweep() or start.numel() == 0 or _sweeps_cheaply(target.energy):
        return chosen
    try:
        _, gaps = target.energy_and_gaps(start)
    except EnergyError:
        return chosen
    return ParallelGibbs() if gaps.is_meta or bool(gaps.any()) else chosen


def _sweeps_cheaply(energy: Any) -> bool:
    """Whether a sweep costs about as much as some evaluations, of a sum if it does of all terms."""
    if getattr(energy, "terms", None):
        return all(_sweeps_cheaply(term.energy) for term in energy.terms)
    has_gaps = fast_path(energy, "gap_table") is not None
    return has_gaps or bool(getattr(energy, "is_shallow", False))


def starting_data(target: Target, batch_shape: torch.Size, initial: Tensor | None = None) -> Tensor:
    """Where chains start: given values, and uniform ones where there are none.

    :param target: Unknown values of its inactive sites become the first state.
    :param batch_shape: How many chains.
    :param initial: Data that broadcast to ``batch_shape + (D,)``, NaN where unknown.
    :returns: Data as floats, ``batch_shape + (D,)``, on the target's device.
    :raises TypeError: If ``initial`` is not a tensor of real numbers.
    :raises ValueError: If ``initial`` does not broadcast, or holds other values.

    Example:

        >>> from pyro_rm import StateSpace
        >>> target = Target.of(lambda x: x.sum(-1), StateSpace(2))
        >>> starting_data(target, torch.Size([4]), torch.tensor([1.0, torch.nan]))[:, 0]
        tensor([1., 1., 1., 1.])

    .. note:: Costs no energy.
    """
    space, active = target.space, target.active
    shape = (*batch_shape, space.num_sites)
    device = target.device
    if initial is not None:
        check_real(initial, "initial data")
        if not _broadcasts(initial.shape, shape):
            raise ValueError(
                f"Expected initial data that broadcast to {shape}, but got {tuple(initial.shape)}."
            )
        device = initial.device if device is None else device
    dtype = energy_dtype(target.energy, torch.empty(0))
    uniform = torch.rand(shape, device=device, dtype=dtype)
    low, high = space.states
    start = low + (high - low) * (uniform * uniform.new_tensor(space.categories)).floor()
    if initial is None:
        return start if active is None else torch.where(active, start, float(low))
    initial = initial.to(device).expand(shape)
    known = ~initial.isnan()
    if is_validating():
        space.validate(initial, known)
    start = torch.where(known, initial.to(dtype), start)
    return start if active is None else torch.where(active | known, start, float(low))


def _broadcasts(shape: torch.Size, target: tuple[int, ...]) -> bool:
    try:
        return torch.broadcast_shapes(shape, target) == target
    except RuntimeError:
        return False
