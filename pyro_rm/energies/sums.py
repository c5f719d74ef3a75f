r"""Weighted sums of energies: products of models, temperatures, levels, paths between models."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rm.energies.sum_walk import SumWalk, total
from pyro_rm.energies.weighted_terms import LEVEL_ONLY, Term, Weight
from pyro_rm.energy_protocol import Context, Energy, fast_path, known_dtype, space_of
from pyro_rm.energy_protocol import energy_device as known_device
from pyro_rm.enumeration import outer_energies
from pyro_rm.generic_paths import LeveledAt, evaluated_levels
from pyro_rm.neighborhoods import Neighbors
from pyro_rm.site_walks import SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


class Summable:
    """Arithmetic on energies: ``beta * E + F`` is a :class:`SumEnergy`."""

    def __add__(self, other: Any) -> SumEnergy:
        return SumEnergy(self, other) if callable(other) else NotImplemented  # type: ignore[arg-type]

    def __radd__(self, other: Any) -> Any:
        return self if isinstance(other, Real) and other == 0 else NotImplemented  # sum() begins so

    def __sub__(self, other: Any) -> SumEnergy:
        return SumEnergy(self, (-1.0, other)) if callable(other) else NotImplemented  # type: ignore[arg-type]

    def __mul__(self, weight: Any) -> SumEnergy:
        if isinstance(weight, Real | Tensor) and not isinstance(weight, bool):
            return SumEnergy((weight, self))
        return NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> SumEnergy:
        if isinstance(divisor, Real | Tensor) and not isinstance(divisor, bool):
            return self * (1 / divisor)
        return NotImplemented

    def __neg__(self) -> SumEnergy:
        return self * -1.0


class SumEnergy(Summable, nn.Module):
    r"""A weighted sum of energies, :math:`E(x) = \sum_k w_k E_k(x)`, that keeps their fast ways.

    A product of models, :math:`p \propto \prod_k p_k^{w_k}`: an energy at another temperature, a
    neural correction of a pairwise model, an energy over a base density, the geometric path
    between two models. The library's energies add up by themselves: ``0.5 * E + F``.

    :param terms: Energies, or pairs of a weight and an energy. A weight is a number, a tensor of
        batch shape (trained if it is a :class:`torch.nn.Parameter`), or a function of the context
        that returns one. Where the sum has a context, each energy gets as many of the first
        tensors as its signature takes; ``(weight, energy, slice)`` says which ones instead.
    :param state_space: The space, where no energy says it.
    :raises ValueError: If there is no term, or the space is unknown or differs between terms.

    Example:

        >>> from pyro_rm.energies import IsingEnergy, MLPEnergy
        >>> energy = 0.5 * IsingEnergy(6) + MLPEnergy(6, (8,))
        >>> energy(torch.zeros(2, 6)).shape
        torch.Size([2])
        >>> hot = SumEnergy((0.5, lambda x: x.sum(-1)), state_space=StateSpace(3))
        >>> hot(torch.ones(3))
        tensor(1.5000)

    .. note:: Costs what its terms cost, each by its own fast way: a term's closed form is never
        lost to another that has none. All gaps are in closed form if they are for all terms.
    """

    def __init__(
        self, *terms: Energy | tuple[Any, ...], state_space: StateSpace | None = None
    ) -> None:
        super().__init__()
        made = [t if isinstance(t, tuple) else (1.0, t) for t in terms]
        if not made:
            raise ValueError("Expected at least one energy to add up, but got none.")
        for _, energy, *_ in made:
            own = getattr(energy, "state_space", None)
            state_space = state_space if own is None else space_of(energy, state_space)
        if state_space is None:
            state_space = space_of(made[0][1])
        self.state_space: StateSpace = state_space
        flat = [part for term in made for part in _flattened(*term)]
        self.terms: Sequence[Term] = nn.ModuleList(flat)  # type: ignore[assignment]
        if len(_known_levels(self.terms)) > 1:
            raise ValueError(
                f"Expected terms that know as many levels of noise, but got "
                f"{sorted(_known_levels(self.terms))}."
            )
        self._prepared: tuple[Energy, ...] | None = None

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the first term that has one."""
        return next(filter(None, (known_dtype(term.energy) for term in self.terms)), None)

    @property
    def device(self) -> torch.device | None:
        """Where the first term is that says it."""
        return next(filter(None, (known_device(term.energy) for term in self.terms)), None)

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the weights and the parameters."""
        weights = (t.weight.shape for t in self.terms if isinstance(t.weight, Tensor))
        energies = (getattr(t.energy, "batch_shape", torch.Size()) for t in self.terms)
        return torch.broadcast_shapes(*weights, *energies)

    def _parts(self, context: Context = ()) -> Iterator[tuple[float | Tensor, Target]]:
        """Weights and targets of the terms."""
        energies = self._prepared or [term.energy for term in self.terms]
        others = max(term.context.stop or 0 for term in self.terms)  # context before a level
        for term, energy in zip(self.terms, energies, strict=True):
            given = context[others:] if term.context == LEVEL_ONLY else context
            yield term.weight_at(context), Target(energy, self.state_space, given[term.context])

    def _on_sites(self, weight: float | Tensor) -> float | Tensor:
        """A weight, to multiply tables like encoded data."""
        if not isinstance(weight, Tensor):
            return weight
        return weight.view(weight.shape + (1,) * len(self.state_space.encoded_shape))

    @property
    def has_gap_table(self) -> bool:
        """Whether all terms give all their gaps at once."""
        return all(Target(term.energy, self.state_space).has_gap_table for term in self.terms)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        return total(w * part(x) for w, part in self._parts(context))

    def gap_table(self, x: Tensor, *context: Tensor) -> Tensor:
        """Gaps to all flips or categories, like ``x``."""
        parts = self._parts(context)
        return total(self._on_sites(w) * part.gap_table(x) for w, part in parts)

    def energy_gaps(self, x: Tensor, neighbors: Neighbors, *context: Tensor) -> Tensor:
        """Gaps to given neighbors, ``neighbors + batch_shape``."""
        return total(w * part.gaps(x, neighbors) for w, part in self._parts(context))

    def energy_and_gradient(
        self, x: Tensor, *context: Tensor, differentiable: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Energies, detached, and their gradients in the data."""
        values, gradients = [], []
        for weight, part in self._parts(context):
            value, gradient = part.energy_and_gradient(x, differentiable=differentiable)
            values.append(weight * value)
            gradients.append(self._on_sites(weight) * gradient)
        gradient = total(iter(gradients))
        return total(iter(values)).detach(), gradient if differentiable else gradient.detach()

    def prepared_at(self, x: Tensor, *context: Tensor) -> SumEnergy:
        """This sum with what its terms need of given data computed once."""
        prepared = tuple(part.prepared(x).energy for _, part in self._parts(context))
        same = all(p is t.energy for p, t in zip(prepared, self.terms, strict=True))
        if same:
            return self
        other = copy.copy(self)  # shares all parameters
        other._prepared = prepared
        return other

    @property
    def num_levels(self) -> int | None:
        """How many levels of noise the terms know that know any; None if none does."""
        return next(iter(_known_levels(self.terms)), None)

    def level_energies(self, x: Tensor, *context: Tensor) -> Tensor:
        """Energies at all levels of noise, ``batch_shape + (num_levels,)``."""
        if any(term.asks_for_level for term in self.terms):
            count = self.num_levels or 1
            return evaluated_levels(lambda x, c: self(x, *c), self.state_space, x, count, context)
        return total(term.level_energies(self.state_space, x, context) for term in self.terms)

    def at_level(self, position: float) -> Energy:
        """The sum at a level of noise, or between two."""
        if any(term.asks_for_level for term in self.terms):
            return LeveledAt(self, self.state_space, position)
        return SumEnergy(
            *(term.at_level(self.state_space, position) for term in self.terms),
            state_space=self.state_space,
        )

    def site_walk(self, x: Tensor, *context: Tensor) -> SiteWalk:
        """A walk along those of the terms; pairwise terms are one, and linear ones are fields."""
        merged = self.pairwise()
        if merged is not None:
            return merged.site_walk(x)
        walks: list[tuple[float | Tensor, SiteWalk]] = []
        fields: Tensor | None = None
        for weight, part in self._parts(context):
            weight = self._on_sites(weight)
            linear = fast_path(part.energy, "linear_fields")
            if linear is None:
                walks.append((weight, part.walk(x)))
            else:
                own = weight * linear(*part.context)
                fields = own if fields is None else fields + own
        if not walks:
            return SiteWalk(Target(self, self.state_space, context), x)
        added = [walks[0][1].adding(walks[0][0], fields)]
        added += [walk.adding(weight, None) for weight, walk in walks[1:]]
        return added[0] if len(added) == 1 else SumWalk(added)

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``."""
        return total(w * outer_energies(part, left, right) for w, part in self._parts())

    def pairwise(self) -> Any:
        """One function of merged couplings and fields, if all terms are pairwise; else None."""
        merged: Any = None
        for term in self.terms:
            weight, own = term.weight, fast_path(term.energy, "pairwise")
            function = None if own is None else own()
            scalar = isinstance(weight, Real) or (isinstance(weight, Tensor) and weight.dim() == 0)
            if function is None or not scalar:
                return None
            parts = [weight * p for p in (function.couplings, function.fields, function.constant)]
            if merged is not None:
                before = (merged.couplings, merged.fields, merged.constant)
                parts = [old + new for old, new in zip(before, parts, strict=True)]
            couplings, fields, constant = parts
            merged = replace(function, couplings=couplings, fields=fields, constant=constant)
        return merged

    def _only(self, name: str) -> Any:
        """A capability of the only term, where it has weight 1."""
        term = self.terms[0]
        if len(self.terms) > 1 or not (isinstance(term.weight, Real) and term.weight == 1):
            return None
        return fast_path(term.energy, name)

    def log_partition(self, max_states: int) -> Tensor | None:
        """By the closed form of merged pairwise terms; else None."""
        own, merged = self._only("log_partition"), self.pairwise()
        if own is not None:
            return own(max_states=max_states)
        return None if merged is None else merged.log_partition(max_states)

    def default_step(self) -> Any:
        """That of the only term, if its weight is 1; else None."""
        own = self._only("default_step")
        return None if own is None else own()

    @property
    def directed(self) -> bool:
        """Whether the terms are energies of directed graphs."""
        return any(getattr(term.energy, "directed", False) for term in self.terms)

    def resized(self, max_nodes: int) -> SumEnergy:
        """The same sum for another padding of graphs; itself if a term knows one only."""
        if not all(hasattr(term.energy, "resized") for term in self.terms):
            return self
        resized: Any = [(t.weight, t.energy, t.context) for t in self.terms]
        return SumEnergy(*((w, energy.resized(max_nodes), c) for w, energy, c in resized))


def _known_levels(terms: Sequence[Term]) -> set[int]:
    """How many levels of noise terms know."""
    return {count for term in terms if (count := term.num_levels) is not None}


def _flattened(weight: Weight, energy: Energy, context: slice | None = None) -> Iterator[Term]:
    """The terms of a nested sum, where their weights are plain numbers."""
    if not callable(energy):
        raise TypeError(f"Expected energies to add up, but got {type(energy).__name__}.")
    inner = energy.terms if type(energy) is SumEnergy and isinstance(weight, Real) else ()
    if context is None and inner and all(isinstance(t.weight, Real) for t in inner):
        for term in inner:
            yield Term(weight * term.weight, term.energy, term.context)
    else:
        yield Term(weight, energy, context)
