"""The check of energies: all that an energy says about itself, against its values."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rm.energies import PairwiseFunction, SumEnergy, with_levels
from pyro_rm.energy_protocol import Energy, energy_device, fast_path
from pyro_rm.enumeration import Enumeration, outer_energies, states_at
from pyro_rm.estimators import estimate
from pyro_rm.evaluation import IndependentSites, exact_samples
from pyro_rm.evaluation.annealing_paths import annealing_path
from pyro_rm.markov_steps import default_step
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing.energy_paths import PathChecks
from pyro_rm.testing.expectations import (
    double_precision,
    expect,
    expect_equal,
    moved,
    name_of,
    seeded,
    unvalidated,
)
from pyro_rm.testing.steps import check_step

_FEW_STATES = 4096


def check_energy(energy: Any, state_space: StateSpace | None = None) -> None:
    """Check all that an energy says about itself: see :mod:`pyro_rm.energy_protocol`.

    Gaps, gap tables, walks, gradients, prepared energies and estimates are compared with plain
    evaluation, alone and inside sums, at other temperatures and at levels; closed forms of sums
    over states with enumeration where the space is small; the default step by
    :func:`check_step` where it is tiny. The energy must give the same twice, broadcast over
    leading dimensions, keep double precision, and run where its parameters and data are.

    :param energy: An energy, a model or a :class:`~pyro_rm.Target`, which may have a context of
        one leading dimension of size 1. A module is checked as a copy in double precision, also
        with random parameters.
    :param state_space: The space, where the energy does not say it.
    :raises AssertionError: If something is wrong, saying what.

    Example:

        >>> check_energy(lambda x: (x * x.roll(1, -1)).sum(-1), StateSpace(4))

    .. note:: Takes a second or so on small spaces, all states of which are visited; on others
        some random states are.
    """
    given = Target.of(energy, state_space)
    name = name_of(given.energy)
    with seeded():
        for target in _variants(given):
            _check_values(target, name)
            for wrapped, values, what in _wrapped(target, name):
                PathChecks(wrapped, values, what).run()
            with double_precision():
                _check_closed_forms(target, name)
        _check_device(given, name)


def _variants(target: Target) -> Iterator[Target]:
    """The energy in double precision, as it is and with random parameters."""
    precise = moved(target.energy, torch.float64)
    context = tuple(c.double() if c.is_floating_point() else c for c in target.context)
    target = dataclasses.replace(target, energy=precise, context=context)
    yield target
    if not isinstance(precise, nn.Module):
        return
    other = copy.deepcopy(precise)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
    changed = dataclasses.replace(target, energy=other)
    x = PathChecks(changed, other, "").states()
    if other(x, *context).isfinite().all():  # parameters may have bounds
        yield changed


def _plain(energy: Energy) -> Energy:
    """The same values, of which nothing else is known."""
    return lambda x, *context: energy(x, *context)


def _check_values(target: Target, name: str) -> None:
    """Shapes, types, broadcasting and determinism."""
    checks = PathChecks(target, target.energy, name)
    x, context = checks.states(), target.context

    def values_at(x: Tensor, *context: Tensor) -> Tensor:
        try:
            return target.energy(x, *context)
        except (RuntimeError, IndexError) as error:
            raise AssertionError(
                f"Expected {name} to take any leading dimensions, but it fails on an input of "
                f"shape {tuple(x.shape)} in {x.dtype}: {error}"
            ) from error

    values = values_at(x, *context)
    expect(
        isinstance(values, Tensor) and values.shape == x.shape[:1] and values.dtype == x.dtype,
        f"Expected energies of {name} of shape {tuple(x.shape[:1])} in {x.dtype}, as the data and "
        f"parameters are, but got {tuple(values.shape)} in {values.dtype}.",
    )
    single = torch.stack([values_at(row[None], *context)[0] for row in x])
    expect_equal(single, values, f"energies of {name} one by one, as in a batch,")
    expect_equal(values_at(x, *context), values, f"a second evaluation of {name}")
    wide, more = checks.batched(2)
    found = values_at(more, *wide.context)
    expect_equal(found, values.view(more.shape[:2]), f"energies of {name} in two batch dimensions")
    if not context:
        expect_equal(values_at(x[0]), values[0], f"the energy of {name} without a batch dimension")


def _wrapped(target: Target, name: str) -> Iterator[tuple[Target, Energy, str]]:
    """The energy alone and inside sums, with the values that it must have there."""
    energy, space = target.energy, target.space
    yield target, _plain(energy), name
    fields = torch.randn(space.encoded_shape, dtype=torch.float64)
    d, k = space.num_sites, space.max_categories
    shape = (d, d) if space.is_binary else (d, k, d, k)
    couplings = torch.randn(shape, dtype=torch.float64)
    mirrored = couplings.mT if space.is_binary else couplings.permute(2, 3, 0, 1)
    couplings = couplings + mirrored
    sites = torch.arange(d)
    couplings[(sites, sites) if space.is_binary else (sites, slice(None), sites)] = 0
    pairwise = PairwiseFunction(couplings, fields, space)
    others: dict[str, Energy] = {
        "a pairwise energy": pairwise,
        "a plain function": lambda x: (x * fields).flatten(-len(space.encoded_shape)).sum(-1).sin(),
    }
    rank = len(target.context)
    none = slice(0, 0)

    def scaled(x: Tensor, *context: Tensor) -> Tensor:
        return 0.5 * energy(x, *context)

    half = SumEnergy((0.5, energy, slice(0, rank)), state_space=space)
    yield dataclasses.replace(target, energy=half), scaled, f"0.5 * {name}"
    for what, other in others.items():
        terms = (0.5, energy, slice(0, rank)), (1.0, other, none)
        mixed = SumEnergy(*terms, state_space=space)

        def values(x: Tensor, *context: Tensor, other: Energy = other) -> Tensor:
            return scaled(x, *context) + other(x)

        yield dataclasses.replace(target, energy=mixed), values, f"0.5 * {name} plus {what}"
    leveled = with_levels(energy, 3, num_context=rank, state_space=space).double()
    for parameter in leveled.terms[1].parameters():
        nn.init.normal_(parameter)
    plain = _plain(leveled)
    level = target.on(torch.tensor([1]))
    yield dataclasses.replace(level, energy=leveled), plain, f"{name} at a level"


def _check_closed_forms(target: Target, name: str) -> None:
    """What an energy says of sums over states, of paths, of partial states, and of its step."""
    energy, space = target.energy, target.space
    if target.context or space.num_states > _FEW_STATES:
        return
    plain = Target(_plain(energy), space)
    every = space.encode(states_at(space, torch.arange(space.num_states)), torch.float64)
    values = energy(every).detach()
    exact = Enumeration(target).log_partition().detach()
    own = fast_path(energy, "log_partition")
    found = None if own is None else own(max_states=_FEW_STATES)
    if found is not None:
        expect_equal(found, (-values).logsumexp(0), f"log_partition of {name}", tolerance=1e-8)
    expect_equal(exact, (-values).logsumexp(0), f"the sum over all states of {name}")
    space.validate(exact_samples(target, 3))
    function = _called(energy, "pairwise")
    if function is not None:
        expect_equal(function(every), values, f"energies of pairwise() of {name}")
    fields = _called(energy, "linear_fields")
    if fields is not None:
        rest = values + (fields * every).flatten(1).sum(1)
        expect_equal(rest, rest[:1].expand(rest.shape), f"energies beside linear_fields of {name}")
    left, right = every.clone(), every.clone()
    left[:, 1:], right[:, :1] = 0, 0
    sums = plain(left[:, None] + right)
    expect_equal(outer_energies(target, left, right), sums, f"outer_energies of {name}")
    base = IndependentSites(torch.zeros(space.encoded_shape, dtype=torch.float64), space)
    path = annealing_path(base, target)
    rest = path.at(0.0)(every).detach()
    start = base(every)
    constant = torch.full_like(rest, path.log_partition_at_base)
    expect_equal(start - rest, constant, f"the begin of path_from of {name}, up to a constant,")
    expect_equal(path.at(1.0)(every).detach(), values, f"the end of path_from of {name}")
    if space.num_states <= 8:
        check_step(default_step(target), target)


def _called(energy: Energy, name: str) -> Any:
    method = fast_path(energy, name)
    return None if method is None else method()


def _check_device(target: Target, name: str) -> None:
    """Runs on tensors of another device, which have no values."""
    energy = moved(target.energy, "meta")
    if energy_device(energy) not in (None, torch.device("meta")):
        return  # it says where it is, and cannot be moved
    space = target.space
    context = tuple(c.to("meta") for c in target.context)
    there = Target(energy, space, context)
    value = torch.full((4, space.num_sites), float(space.states[0]), device="meta")
    x = there.encode(value)
    results: dict[str, Any] = {
        "its call": lambda: there(x),
        "its gaps": lambda: there.gap_table(x),
        "its site_walk": lambda: there.walk(x).gaps(slice(0, 1)),
        "an exact estimate": lambda: estimate(there, value, num_neighbors="all"),
        "a sampled estimate": lambda: estimate(there, value, num_neighbors=1),
    }
    with unvalidated():
        for what, result in results.items():
            try:
                device = result().device.type
            except (RuntimeError, NotImplementedError) as error:
                raise AssertionError(
                    f"Expected {name} to run on the device of its parameters and data, but {what} "
                    f"fails on another device: {error}. Make tensors by x.new_tensor, by "
                    "device=x.device, or as buffers of a module, and do not branch on values."
                ) from error
            expect(
                device == "meta",
                f"Expected {name} to stay on the device of its parameters and data, but {what} "
                f"is on {device}.",
            )
