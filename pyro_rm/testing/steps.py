"""The check of Markov steps: transition matrices that leave the model invariant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy, RBMEnergy, SparseIsingEnergy
from pyro_rm.enumeration import index_of, states_at
from pyro_rm.markov_steps import Chains, MarkovStep
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing.expectations import expect, moved, name_of, seeded
from pyro_rm.testing.transition_matrices import transition_matrix


def _bumpy(x: Tensor, *fields: Tensor) -> Tensor:
    """A plain function of binary sites, which knows nothing of itself."""
    energies = (x @ x.new_tensor([1.0, -2.0, 0.5])).sin() + x[..., 0] * x[..., 1] * x[..., 2]
    return energies - sum((field * x).sum(-1) for field in fields)


def _ring(num_sites: int, states: tuple[float, float] = (0, 1)) -> SparseIsingEnergy:
    sites = torch.arange(num_sites)
    return SparseIsingEnergy(num_sites, torch.stack([sites, sites.roll(-1)], 1), states=states)


def small_targets() -> Mapping[str, Target]:
    """Targets with parameters of every size on spaces that can be enumerated, in double precision.

    :returns: By name: with and without gap tables, gradients, hidden units, loops and contexts.

    Example:

        >>> small_targets()["two spins"].space.num_states
        4
    """
    with seeded():
        energies: dict[str, nn.Module] = {
            "two spins": IsingEnergy(2, states=(-1, 1)),
            "two Potts sites": PottsEnergy(2, 3),
            "two sites and hidden units": RBMEnergy(2, 2),
            "two categorical sites and a hidden unit": RBMEnergy(2, 1, num_categories=3),
            "three bits": IsingEnergy(3),
            "a ring of four": _ring(4),
            "a network of spins": MLPEnergy(3, (5,), states=(-1, 1)),
            "a network of categories": MLPEnergy(3, (5,), num_categories=(3, 2, 3)),
            "a network at levels of noise": MLPEnergy(2, (4,), num_levels=3),
        }
        for energy in energies.values():
            for parameter in energy.double().parameters():
                nn.init.normal_(parameter, std=0.7)
    levels = {3: NoiseLevels((0.0, 0.5, 1.0), shares=(0.5, 0.3, 0.2)), None: None}
    targets = {
        name: Target.of(energy, levels=levels[getattr(energy, "num_levels", None)])
        for name, energy in energies.items()
    }
    field = torch.tensor([[0.5, -1.0, 0.2]], dtype=torch.float64)
    plain = Target(_bumpy, StateSpace(3))
    return {**targets, "a function": plain, "a function of a context": plain.on(field)}


def check_step(step: MarkovStep, energy: Any = None) -> None:
    r"""Check that a Markov step leaves the model invariant, :math:`\pi P = \pi` to 1e-10.

    Its transition matrix :math:`P` is found by running every branch of its randomness, which must
    come from :mod:`pyro_rm.markov_steps.randomness`: on several small energies, with and without
    clamped sites and context. Of steps with replicas the first one must follow the model in the
    long run. Two steps in a row, with what the step keeps of a state, must be :math:`P^2`.

    :param step: The step, of this library or your own.
    :param energy: What it moves: an energy, a model or a :class:`~pyro_rm.Target` on a space of few
        states. If None, every one of :func:`small_targets` that the step does not refuse by a
        ``ValueError`` or ``TypeError``.
    :raises AssertionError: If something is wrong, saying what.

    Example:

        >>> from pyro_rm.markov_steps import GibbsSweep
        >>> check_step(GibbsSweep())

    .. note:: Takes some seconds; in double precision, and without a tolerance for chance.
    """
    targets = small_targets()
    if energy is not None:
        given = Target.of(energy)
        targets = {"the energy": replace(given, energy=moved(given.energy, torch.float64))}
    refusals, checked = [], 0
    for name, target in targets.items():
        x = _every_state(target)
        if step.num_replicas is not None and len(x) ** step.num_replicas > 64:
            continue
        try:
            with seeded():
                Chains(target, x, step).run(1)
        except (ValueError, TypeError) as error:
            refusals.append(f"{name}: {error}")
            continue
        checked += 1
        with seeded():
            _check_on(step, target, f"{name_of(step)} on {name}")
    expect(
        checked > 0,
        f"Expected {step!r} to move one of {list(targets)} at least, but it refused all: "
        f"{refusals[:3]}. Pass a small energy that it moves as check_step(step, energy).",
    )


def _every_state(target: Target) -> Tensor:
    """Chains at all states."""
    number = torch.arange(target.space.num_states)
    return target.space.encode(states_at(target.space, number), torch.float64)


def _check_on(step: MarkovStep, target: Target, what: str) -> None:
    clamped = torch.arange(target.space.num_sites) != 0
    for active, how in ((None, what), (clamped, f"{what} with the first site clamped")):
        here = replace(target, active=active)
        _check_form(step, here, how)
        _check_matrix(step, here, how, twice=target.space.num_states == 4)


def _invariant(step: MarkovStep, target: Target, x: Tensor) -> Tensor:
    """What a step should leave invariant: the model, or the mixture over the levels it redraws."""
    if not step.redraws_levels or target.levels is None:
        return (-target(x)).detach().softmax(0)
    energies = target.level_energies(x, len(target.levels)).detach()
    return (target.levels.log_shares(energies) - energies).logsumexp(1).softmax(0)


def _check_matrix(step: MarkovStep, target: Target, what: str, *, twice: bool) -> None:
    """Of all chains, or of all replicas of chains jointly."""
    x = _every_state(target)
    p, same = _invariant(step, target, x), torch.ones(len(x), len(x), dtype=torch.bool)
    if target.active is not None:
        fixed = target.decode(x)[:, ~target.active]
        same = (fixed[:, None] == fixed).all(-1)
    replicas = step.num_replicas or 1
    number = torch.arange(len(x) ** replicas)
    places = [number // len(x) ** (replicas - 1 - t) % len(x) for t in range(replicas)]
    allowed = torch.stack([same[places[0], place] for place in places]).all(0)
    chosen = torch.stack(places)[:, allowed]
    starts = x[chosen] if step.num_replicas is not None else x[chosen[0]]

    def index(encoded: Tensor) -> Tensor:
        value = target.decode(encoded)
        strange = (target.encode(value) != encoded).flatten(value.dim() - 1).any(-1)
        found = index_of(target.space, value).masked_fill(strange, -len(number))
        if step.num_replicas is None:
            return found
        weights = torch.tensor([len(x) ** (replicas - 1 - t) for t in range(replicas)])
        return (found * weights[:, None]).sum(0)

    def matrix_of(num_steps: int) -> Tensor:
        def run(encoded: Tensor) -> Tensor:
            return Chains.resumed(target, encoded, step).run(num_steps).state.encoded

        dim = 0 if step.num_replicas is None else 1
        size = len(number)
        return transition_matrix(run, starts, index, size, chain_dim=dim, strict=True)

    matrix = matrix_of(1)
    if step.num_replicas is None:
        _check_invariance(matrix, p, same, what)
    else:
        _check_first_replica(matrix[allowed][:, allowed], chosen[0], p, same, what)
    if twice and step.num_replicas is None:
        error = (matrix_of(2) - matrix @ matrix).abs().max().item()
        expect(
            error < 1e-10,
            f"Expected two steps of {what} in a row to be what two fresh ones are, but their "
            f"transition probabilities differ by up to {error:.3g}: what the step keeps in "
            "ChainState.known is not what init() finds at the new state.",
        )


def _check_form(step: MarkovStep, target: Target, what: str) -> None:
    """Shapes, types and acceptance of a step as it is."""
    chains = Chains(target, _every_state(target), step)
    start = chains.state.encoded
    chains.run(1)
    shape, acceptance = target.batch_shape_of(start), chains.acceptance
    fits = acceptance is not None and acceptance.shape == shape
    expect(
        acceptance is not None and fits and ((acceptance >= 0) & (acceptance <= 1 + 1e-9)).all(),
        f"Expected acceptance probabilities of shape {tuple(shape)} from {what}, but got "
        f"{acceptance}.",
    )
    expect(
        not chains.state.encoded.requires_grad and chains.state.encoded.dtype == start.dtype,
        f"Expected chains in {start.dtype} without a gradient from {what}, but got "
        f"{chains.state.encoded.dtype}. Write the step under torch.no_grad().",
    )


def _check_invariance(matrix: Tensor, p: Tensor, same: Tensor, what: str) -> None:
    expect(
        (matrix[~same] == 0).all(),
        f"Expected clamped sites to stay, but {what} moved them: use target.active.",
    )
    error = (p @ matrix - p).abs()
    worst = int(error.argmax())
    expect(
        error.max() < 1e-10,
        f"Expected pi P = pi, but {what} does not leave the model invariant: the probability "
        f"{p[worst].item():.6g} of state {worst} changes by {(p @ matrix - p)[worst].item():.3g}. "
        "Proposals must be accepted by the Metropolis-Hastings ratio, with the probabilities of "
        "proposing both ways.",
    )


def _check_first_replica(matrix: Tensor, first: Tensor, p: Tensor, same: Tensor, what: str) -> None:
    """The limit of the first replica is the model, given the clamped sites."""
    limit = torch.linalg.matrix_power(matrix, 2**24)
    marginal = torch.zeros(len(first), len(p), dtype=torch.float64).index_add_(1, first, limit)
    conditional = p * same
    conditional = (conditional / conditional.sum(1, keepdim=True))[first]
    error = (marginal - conditional).abs().max().item()
    expect(
        error < 1e-8,
        f"Expected the first replica of {what} to follow the model, but in the long run its "
        f"probabilities differ by up to {error:.3g}.",
    )
