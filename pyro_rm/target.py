"""What everything works on: an energy on a space, with its context and its active sites."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import advise_on_memory, check_active
from pyro_rm.energy_checks import (
    check_context,
    check_energies,
    check_layers,
    check_levels,
    check_repeats,
    is_validating,
)
from pyro_rm.energy_protocol import (
    Context,
    Energy,
    EnergyError,
    as_context,
    energy_device,
    energy_of,
    fast_path,
    floating_type,
    known_dtype,
    space_of,
)
from pyro_rm.generic_paths import (
    LeveledAt,
    backward_gradient,
    evaluated_gaps,
    evaluated_levels,
    recomputed,
)
from pyro_rm.neighborhoods import Neighbors, all_neighbors, at_neighbors, linear_gaps
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.site_walks import SiteWalk
from pyro_rm.state_space import StateSpace

__all__ = ["Target"]


@dataclass(frozen=True, eq=False)
class Target:
    r"""An energy on a space: :math:`p(x) \propto e^{-E(x)}`, its context and its active sites.

    The one argument of estimators, proposals, Markov steps, exact sums and evaluation. It asks
    the energy for its fast ways (see :mod:`pyro_rm.energy_protocol`), and takes the generic ones
    where there are none. :meth:`of` makes one of whatever a user has.

    :param energy: The energy.
    :param space: Its state space.
    :param context: What the energy takes beside the data: tensors whose leading dimensions are
        the batch shape of the data, or broadcast to it.
    :param active: Booleans that broadcast to ``batch_shape + (D,)``; sites that are False are
        never flipped, drawn or counted. None: all are active.
    :param levels: Levels of noise that the energy knows, as the last of its context; without one
        it is the energy of the data, at level 0. None: it knows none, or is at one of them.

    Example:

        >>> target = Target.of(lambda x: x.sum(-1), StateSpace(3))
        >>> x = target.bind(torch.zeros(2, 3))
        >>> target.gap_table(x)
        tensor([[-1., -1., -1.],
                [-1., -1., -1.]])

    .. note:: A frozen value, free to make. Each method states its cost.
    """

    energy: Energy
    space: StateSpace
    context: Context = ()
    active: Tensor | None = None
    levels: NoiseLevels | None = None

    @staticmethod
    def of(
        model: Any,
        state_space: StateSpace | None = None,
        *,
        context: Tensor | Context = (),
        active: Tensor | None = None,
        levels: NoiseLevels | None = None,
        batch_shape: torch.Size | None = None,
    ) -> Target:
        """The target of an energy, of a distribution, or of a target.

        :param model: A callable energy, an :class:`~pyro_rm.distributions.EnergyModel`, or a
            target.
        :param state_space: The space, where the energy does not say it.
        :param context: A tensor or a tuple of them, where the model has none.
        :param active: Booleans, where the model has none.
        :param levels: Levels of noise, where the model has none but its energy knows them.
        :param batch_shape: Shape of the data that the context of a model belongs to.
        :returns: The target.
        :raises TypeError: If ``model`` is none of these.
        :raises ValueError: If the space is unknown or another one, or an argument is given twice.

        Example:

            >>> from pyro_rm.energies import IsingEnergy
            >>> Target.of(IsingEnergy(3)).space.num_sites
            3
        """
        context = as_context(context)
        if isinstance(model, type) or not hasattr(model, "target_at"):
            energy = energy_of(model)
            if levels is not None:
                check_levels(energy, levels)
            return Target(energy, space_of(energy, state_space), context, active, levels)
        found: Target = model.target_at(batch_shape)
        if state_space is not None and state_space != found.space:
            raise EnergyError(f"Expected a model on {state_space}, but got one on {found.space}.")
        for name, given, own in (
            ("context", context or None, found.context or None),
            ("active", active, found.active),
            ("levels", levels, found.levels),
        ):
            if given is not None and own is not None:
                raise ValueError(
                    f"Expected {name} once, but got it beside a model that has its own. Leave the "
                    "argument out, or pass model.energy."
                )
        if not context and active is None and levels is None:
            return found
        if levels is not None:
            check_levels(found.energy, levels)
        return replace(
            found,
            context=context or found.context,
            active=found.active if active is None else active,
            levels=levels or found.levels,
        )

    def target_at(self, batch_shape: torch.Size | None = None) -> Target:
        """Itself: the door for whatever has a target."""
        return self

    def on(self, *context: Tensor) -> Target:
        """The same with further context, such as a level, after what it has."""
        return replace(self, context=(*self.context, *context), levels=None)

    def between(self, position: float) -> Target:
        """The target at a level, or between two of them, by interpolation of their energies.

        :param position: From 0 to the number of levels less one.
        :returns: A target without levels.

        .. note:: Costs one or two energies; one where the energy can be ``at_level``.
        """
        own = fast_path(self.energy, "at_level")
        energy = LeveledAt(self.energy, self.space, position) if own is None else own(position)
        return replace(self, energy=energy, levels=None)

    @cached_property
    def device(self) -> torch.device | None:
        """Where the energy computes; None if it does not say."""
        return energy_device(self.energy)

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the energy's parameters."""
        return getattr(self.energy, "batch_shape", torch.Size())

    @cached_property
    def has_gap_table(self) -> bool:
        """Whether the energy gives all its gaps at about the cost of one evaluation."""
        exists = fast_path(self.energy, "gap_table") is not None
        return exists and getattr(self.energy, "has_gap_table", True)

    def bind(self, value: Tensor) -> Tensor:
        """Data as the energy takes them: checked, encoded, on its device. Once, if they stay.

        Inactive sites keep their value if it is a state; else (NaN, padding) they take the
        first one.

        :param value: Data, ``batch_shape + (D,)``.
        :returns: Shape ``batch_shape + encoded_shape``.
        :raises TypeError: If they are not a tensor of numbers.
        :raises ValueError: If a shape, an active value or the context does not fit, or the
            energy is random, where validation is on.
        """
        validating = is_validating()
        if validating:
            self.space.validate(value, self.active)
            if self.context:
                check_context(self.context, value.shape[:-1])
        else:
            self.space.validate_shape(value)
        if self.active is not None:
            known = self.active | self.space.contains(value)
            value = torch.where(known, value, float(self.space.states[0]))
        encoded = self.encode(value)
        if validating:
            check_repeats(self, self.energy, encoded)
        return encoded

    def encode(self, value: Tensor) -> Tensor:
        """Encoded data in the type and on the device of the energy, unchecked."""
        dtype = known_dtype(self.energy) or floating_type(value)
        return self.space.encode(value.to(self.device or value.device), dtype)

    def decode(self, encoded: Tensor) -> Tensor:
        """Data, ``batch_shape + (D,)``: floats if binary, else integer codes."""
        return self.space.decode(encoded)

    def batch_shape_of(self, encoded: Tensor) -> torch.Size:
        """Batch shape of encoded data."""
        return encoded.shape[: encoded.dim() - len(self.space.encoded_shape)]

    def check_states(self, encoded: Tensor) -> None:
        """Refuse what is not encoded states of the space; reads them from the device.

        :raises ValueError: If a shape or a value does not fit, or ``active`` does not.
        :raises EnergyError: If the energy is random in training mode.
        """
        check_layers(self.energy)
        self.space.validate_encoded(encoded)
        if self.active is not None:
            shape = torch.Size((*self.batch_shape_of(encoded), self.space.num_sites))
            check_active(self.active, shape)

    def __call__(self, encoded: Tensor) -> Tensor:
        """Energies, ``batch_shape``, checked where validation is on."""
        return self._evaluate(encoded, self.context)

    def _evaluate(self, encoded: Tensor, context: Context) -> Tensor:
        version = None if encoded.is_inference() else encoded._version
        result = self.energy(encoded, *context)
        if version is not None and encoded._version != version:
            raise EnergyError(
                "Expected an energy that leaves its argument alone, but it changed the data in "
                "place, as x.mul_() and x[:, 0] = 0 do. Begin it with x = x.clone(), and make the "
                "data anew."
            )
        check_energies(result, self.batch_shape_of(encoded), tuple(encoded.shape))
        return result

    def level_energies(self, encoded: Tensor, num_levels: int) -> Tensor:
        """Energies at the first levels of noise that the energy knows.

        :param encoded: Encoded data, ``batch_shape + encoded_shape``.
        :param num_levels: How many levels.
        :returns: Shape ``batch_shape + (num_levels,)``.

        .. note:: Costs one energy where it has one output a level, ``level_energies``; else one
            a level.
        """
        own = fast_path(self.energy, "level_energies")
        if own is None:
            return evaluated_levels(self._evaluate, self.space, encoded, num_levels, self.context)
        table: Tensor = own(encoded, *self.context)[..., :num_levels]
        shape = torch.Size((*self.batch_shape_of(encoded), num_levels))
        check_energies(table, shape, tuple(encoded.shape), "energies of all levels")
        return table

    def gaps(
        self, encoded: Tensor, neighbors: Neighbors, max_neighbors_per_chunk: int | None = None
    ) -> Tensor:
        r"""Gaps :math:`E(x) - E(x')` to given neighbors, by the cheapest way.

        :param encoded: Encoded data, ``batch_shape + encoded_shape``.
        :param neighbors: Which neighbors, ``neighbors + batch_shape``, at least one.
        :param max_neighbors_per_chunk: Neighbor states (summed over the batch) to evaluate at
            once, forward and backward; at least one neighbor a datum. None: all.
        :returns: Shape ``neighbors + batch_shape``.
        :raises EnergyError: If a shape is wrong or a value is not finite.

        .. note:: Costs one gap table, or ``len(neighbors)`` energies a datum and one more for
            the datum; in chunks they are computed again in the backward pass.
        """
        if neighbors.sites.shape[0] == 0:
            raise ValueError("Expected at least one neighbor, but got none.")
        own = fast_path(self.energy, "energy_gaps")
        if own is None and self.has_gap_table:
            return at_neighbors(self.gap_table(encoded), neighbors)
        if max_neighbors_per_chunk is None:
            return self._visited_gaps(own, encoded, neighbors)
        step = max(1, max_neighbors_per_chunk // max(1, neighbors.sites[0].numel()))
        pieces = []
        for start in range(0, len(neighbors), step):
            chunk = neighbors.slice(start, start + step)
            if torch.is_grad_enabled():
                pieces.append(recomputed(self._visited_gaps, own, encoded, chunk))
            else:
                pieces.append(self._visited_gaps(own, encoded, chunk))
        return torch.cat(pieces)

    def _visited_gaps(self, own: Any, encoded: Tensor, neighbors: Neighbors) -> Tensor:
        try:
            if own is None:
                return evaluated_gaps(self._evaluate, self.space, encoded, neighbors, self.context)
            gaps: Tensor = own(encoded, neighbors, *self.context)
        except RuntimeError as error:
            advise_on_memory(
                error,
                f"{neighbors.sites.numel()} neighbors were evaluated at once. Set "
                "max_neighbors_per_chunk to a smaller number, or draw fewer by num_neighbors.",
            )
            raise
        check_energies(gaps, neighbors.sites.shape, tuple(encoded.shape))
        return gaps

    def gap_table(self, encoded: Tensor, max_neighbors_per_chunk: int | None = None) -> Tensor:
        """Gaps to all flips or categories, exactly; 0 at current categories.

        :param encoded: Encoded data, ``batch_shape + encoded_shape``.
        :param max_neighbors_per_chunk: As of :meth:`gaps`, where there is no closed form.
        :returns: Shape of ``encoded``.
        :raises EnergyError: If a shape is wrong or a value is not finite.

        .. note:: Costs about one energy where :attr:`has_gap_table`, else one a neighbor.
        """
        if self.has_gap_table:
            table: Tensor = self.energy.gap_table(encoded, *self.context)  # type: ignore[attr-defined]
            check_energies(table, encoded.shape, tuple(encoded.shape), "gap table")
            return table
        neighbors, exists = all_neighbors(self.space, encoded)
        gaps = self.gaps(encoded, neighbors, max_neighbors_per_chunk).movedim(0, -1)
        if neighbors.categories is None:
            return gaps
        gaps = gaps * exists.movedim(0, -1)
        index = neighbors.sites * self.space.max_categories + neighbors.categories
        table = gaps.new_zeros((*gaps.shape[:-1], self.space.encoded_shape.numel()))
        return table.scatter_add(-1, index.movedim(0, -1), gaps).view(encoded.shape)

    def taylor_gaps(self, encoded: Tensor, *, differentiable: bool = False) -> Tensor:
        r"""First-order gaps :math:`\langle x - x', \nabla_x E(x) \rangle` to all neighbors.

        What guides the steps of [1]. Exact for energies that are affine in each site.

        :param encoded: Encoded data, ``batch_shape + encoded_shape``.
        :param differentiable: Whether the gaps may be differentiated in the parameters; if not,
            they are detached.
        :returns: Shape of ``encoded``; the entry of a current category is 0.
        :raises EnergyError: If the energy is not differentiable in the data.

        .. note:: Costs one energy and its gradient in the data, whatever the number of sites.

        **References**

        [1] Will Grathwohl, Kevin Swersky, Milad Hashemi, David Duvenaud, Chris Maddison (2021)
            "Oops I took a gradient: scalable sampling for discrete distributions", ICML.
        """
        _, gradient = self.energy_and_gradient(encoded, differentiable=differentiable)
        return linear_gaps(self.space, encoded, -gradient)

    def energy_and_gradient(
        self, encoded: Tensor, *, differentiable: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Energies, detached, and their gradients in the data, as :meth:`taylor_gaps` takes them.

        :returns: Shapes ``batch_shape`` and ``batch_shape + encoded_shape``.
        """
        own = fast_path(self.energy, "energy_and_gradient")
        if own is None:
            return backward_gradient(
                self._evaluate, encoded, self.context, differentiable=differentiable
            )
        values, gradient = own(encoded, *self.context, differentiable=differentiable)
        check_energies(values, self.batch_shape_of(encoded), tuple(encoded.shape))
        return values, gradient

    def energy_and_gaps(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Energies and gaps to all neighbors: exact ones from a gap table, else of first order."""
        if self.has_gap_table:
            return self(encoded), self.gap_table(encoded)
        values, gradient = self.energy_and_gradient(encoded)
        return values, linear_gaps(self.space, encoded, -gradient)

    def prepared(self, encoded: Tensor) -> Target:
        """The same, with what the energy needs of these data computed once, if it offers that.

        .. note:: Costs part of one energy, which gaps at these data then do not cost.
        """
        own = fast_path(self.energy, "prepared_at")
        return self if own is None else replace(self, energy=own(encoded, *self.context))

    def walk(self, encoded: Tensor) -> SiteWalk:
        """The energy's own walk over the sites of a copy of the chains, or the generic one."""
        own = fast_path(self.energy, "site_walk")
        return SiteWalk(self, encoded) if own is None else own(encoded, *self.context)
