"""Energies whose first layer is linear: a neighbor costs the rest of the network only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyro_rm.checks import check_counts
from pyro_rm.energies.spaced_energy import SpacedEnergy
from pyro_rm.energy_protocol import Energy, wide
from pyro_rm.generic_paths import recordable, recording
from pyro_rm.neighborhoods import Neighbors, at_neighbors, linear_gaps
from pyro_rm.site_walks import Block, SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

_KEPT_BY_FEATURES = {"energy_gaps", "features", "forward"}


class LinearFirstEnergy(SpacedEnergy):
    r"""An energy :math:`E(x) = f(W^\top x + b)`, with :meth:`trunk` :math:`f`.

    The trunk may take a noise level beside the features. Changing site :math:`i` changes the
    pre-activation by a row of :math:`W`, so that no tensor of neighboring states exists and a
    neighbor costs a trunk.

    :param state_space: The state space.
    :param num_features: Width :math:`H` of the first layer.
    :param centered: Whether {0, 1} inputs are coded as -1 and 1 inside, which trains better.
    """

    _is_trunk_of_features = True
    num_levels: int | None = None
    """How many levels of noise the trunk knows; None if it takes none."""

    def __init__(self, state_space: StateSpace, num_features: int, *, centered: bool) -> None:
        super().__init__(state_space)
        self.centered = centered and state_space.is_binary and state_space.states == (0, 1)
        check_counts(num_features=num_features)
        num_inputs = state_space.encoded_shape.numel()
        self.weight = nn.Parameter(torch.empty(num_inputs, num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Subclasses inherit no fast path of a trunk or of features that they override."""
        super().__init_subclass__(**kwargs)
        if "trunk" in vars(cls) and "trunk_gaps" not in vars(cls):
            cls.trunk_gaps = LinearFirstEnergy.trunk_gaps  # type: ignore[method-assign]
        if "features" in vars(cls) and "forward" not in vars(cls):
            cls.forward = cls.forward  # type: ignore[method-assign]  # an energy of its own
        cls._is_trunk_of_features = all(
            getattr(cls, name) is getattr(LinearFirstEnergy, name) for name in _KEPT_BY_FEATURES
        )

    def trunk(self, features: Tensor, *level: Tensor) -> Tensor:
        """Energies of pre-activations, ``batch_shape + (H,)`` to ``batch_shape``; a subclass's."""
        raise NotImplementedError(f"Expected {type(self).__name__} to define trunk(features).")

    def features(self, x: Tensor) -> Tensor:
        """Pre-activations of the first layer, ``batch_shape + (H,)``."""
        inputs = x if self.state_space.is_binary else x.flatten(-2)
        if self.centered:
            inputs = 2 * inputs - 1
        return inputs @ self.weight + self.bias

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Energies of encoded data, ``batch_shape``.

        :param x: Encoded data, ``batch_shape + encoded_shape``.
        :param level: Levels of noise, integers, ``batch_shape``, where the trunk takes them.
        """
        return self.trunk(self.features(x), *(() if level is None else (level,)))

    def energy_gaps(self, x: Tensor, neighbors: Neighbors, *level: Tensor) -> Tensor:
        """Gaps of given neighbors, ``neighbors + batch_shape``; one trunk each."""
        return self.trunk_gaps(self.neighbor_features(self.features(x), x, neighbors), *level)

    def prepared_at(self, x: Tensor, *level: Tensor) -> Energy:
        """This energy with its features of given data computed once.

        :param x: Encoded data, ``batch_shape + encoded_shape``.
        :param level: What the trunk takes beside the features.
        :returns: An energy that keeps them; this one itself where a subclass adds to the trunk.
        """
        replaced = not _KEPT_BY_FEATURES.isdisjoint(vars(self))  # as by torch.compile
        adds = replaced or not self._is_trunk_of_features or (level and self.num_levels is None)
        return self if adds else LinearFirstAt(self, x)

    def trunk_gaps(self, features: Tensor, *level: Tensor) -> Tensor:
        """Differences of trunks, ``neighbors + batch_shape``.

        Subclasses that subtract before their last sum lose less to rounding.

        :param features: Pre-activations of the data and, from index 1, of their neighbors:
            ``(1 + neighbors,) + batch_shape + (H,)``.
        """
        return own_minus_others(wide(self.trunk(features, *level)))

    def outer_energies(self, left: Tensor, right: Tensor) -> Tensor:
        """Energies of all sums of partial states, ``(L, R)``; one trunk each."""
        rest = self.features(right) - self.features(torch.zeros_like(right[:1]))
        return self.trunk(self.features(left)[:, None] + rest)

    def site_walk(self, x: Tensor, *level: Tensor) -> SiteWalk:
        """A walk from given chains that keeps their features."""
        return LinearFirstWalk(self, x, level=level)

    def neighbor_features(self, features: Tensor, x: Tensor, neighbors: Neighbors) -> Tensor:
        """Features of the data, as neighbors that change nothing, and of their neighbors.

        :param features: Of the data, ``batch_shape + (H,)``.
        :param x: The encoded data.
        :param neighbors: Which neighbors, ``neighbors + batch_shape``.
        :returns: Shape ``(1 + neighbors,) + batch_shape + (H,)``.
        """
        sites = torch.cat([neighbors.sites[:1], neighbors.sites])
        if neighbors.categories is None:
            step = site_changes(self.state_space, x, neighbors) * (2 if self.centered else 1)
            step = torch.cat([torch.zeros_like(step[:1]), step])[..., None]
            return torch.addcmul(features, step, functional.embedding(sites, self.weight))
        first = sites * self.state_space.max_categories
        current = at_neighbors(current_categories(x), Neighbors(sites))
        new = torch.cat([current[:1], neighbors.categories])
        gained = functional.embedding(first + new, self.weight)
        return features + (gained - functional.embedding(first + current, self.weight))


class LinearFirstAt:
    r"""An energy :math:`E(x) = f(W^\top x + b)` whose features of given data are computed once.

    Both the gradient in ``x``, for guidance, and the gaps of neighbors begin with them. At other
    data it is the energy itself, and so are its other attributes.

    :param energy: The energy, with trunk :math:`f`.
    :param x: Encoded data, ``batch_shape + encoded_shape``, known by identity.
    """

    def __init__(self, energy: LinearFirstEnergy, x: Tensor) -> None:
        self.energy, self.x, self.kept = energy, x, energy.features(x)

    def __call__(self, x: Tensor, *level: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``."""
        return self.energy(x, *level)

    def __getattr__(self, name: str) -> Any:
        if name == "energy" or name.startswith("__"):  # as in the middle of a copy
            raise AttributeError(name)
        return getattr(self.energy, name)

    def features(self, x: Tensor) -> Tensor:
        """Pre-activations of the first layer, ``batch_shape + (H,)``."""
        return self.kept if x is self.x else self.energy.features(x)

    def energy_gaps(self, x: Tensor, neighbors: Neighbors, *level: Tensor) -> Tensor:
        """Gaps of given neighbors, ``neighbors + batch_shape``; one trunk each."""
        features = self.energy.neighbor_features(self.features(x), x, neighbors)
        return self.energy.trunk_gaps(features, *level)

    def energy_and_gradient(
        self, x: Tensor, *level: Tensor, differentiable: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Energies, detached, and their gradients in ``x``, detached unless asked for."""
        weight = self.energy.weight if differentiable else self.energy.weight.detach()
        with recording():
            features = recordable(self.features(x))
            if not (differentiable and features.requires_grad):
                features = features.detach().requires_grad_()
            values = self.energy.trunk(features, *level)
            (slope,) = torch.autograd.grad(values.sum(), features, create_graph=differentiable)
        slope = 2 * slope if self.energy.centered else slope
        return values.detach(), (slope @ weight.mT).view(x.shape)


class LinearFirstWalk(SiteWalk):
    r"""A walk on :math:`E(x) = f(W^\top x + b) - a^\top x` that keeps the pre-activations.

    :param energy: The energy, with trunk :math:`f`.
    :param encoded: Encoded chains, ``batch_shape + encoded_shape``.
    :param fields: :math:`a`, of ``encoded_shape``; None if there are none.
    :param level: What the trunk takes beside the features.

    .. note:: A block of ``m`` sites costs ``m + 1`` trunks, or ``m * K + 1`` if categorical.
    """

    def __init__(
        self,
        energy: LinearFirstEnergy,
        encoded: Tensor,
        fields: Tensor | None = None,
        level: tuple[Tensor, ...] = (),
    ) -> None:
        super().__init__(Target(energy, energy.state_space, level), encoded)
        self.trunk_gaps, self.fields, self.level = energy.trunk_gaps, fields, level
        self.factor: float | Tensor | None = None
        self.scale = 2 if energy.centered else 1
        self.weight = energy.weight.view(*self.space.encoded_shape, -1)
        self.features = energy.features(self.encoded)

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites."""
        now, rows = self.at(self.encoded, block), self.weight[block]
        if self.space.is_binary:
            step = torch.rsub(now, sum(self.space.states), alpha=2)
            gaps = self._gaps_of((self.scale * step)[..., None] * rows)
        else:
            change = rows - now[..., None, :] @ rows
            gaps = self._gaps_of(change.flatten(-3, -2)).view(now.shape)
        if self.factor is not None:
            gaps = self.factor * gaps
        if self.fields is None:
            return gaps
        return gaps + linear_gaps(self.space, now, self.at(self.fields, block))

    def adding(self, weight: float | Tensor, fields: Tensor | None) -> SiteWalk:
        """The walk at another temperature and in further fields."""
        self.factor = weight if self.factor is None else weight * self.factor
        if self.fields is not None:
            own = weight * self.fields
            fields = own if fields is None else own + fields
        self.fields = fields
        return self

    def _gaps_of(self, change: Tensor) -> Tensor:
        """Gaps that changes of the features make: ``batch + (n, H)`` to ``batch + (n,)``."""
        features = self.features[..., None, :]
        stacked = torch.cat([features, features + change], -2).movedim(-2, 0)
        return self.trunk_gaps(stacked, *self.level).movedim(0, -1)

    def move(self, block: Block, values: Tensor) -> None:
        """Give some sites new encoded values."""
        rank = self.features.dim() - 1
        change = (values - self.at(self.encoded, block)).flatten(rank)
        rows = self.weight[block]
        self.features = self.features + self.scale * change @ rows.view(-1, rows.shape[-1])
        super().move(block, values)


def own_minus_others(rows: Tensor) -> Tensor:
    """The first row minus each other one, split so that going backward fills no zeros."""
    own, others = rows.split((1, len(rows) - 1))
    return own - others


def current_categories(x: Tensor) -> Tensor:
    """Categories of one-hot data, ``batch_shape + (D,)``."""
    return x.argmax(-1)


def site_changes(space: StateSpace, x: Tensor, neighbors: Neighbors) -> Tensor:
    """By how much each flip changes its binary site, ``neighbors + batch_shape``."""
    return sum(space.states) - 2 * at_neighbors(x, neighbors)
