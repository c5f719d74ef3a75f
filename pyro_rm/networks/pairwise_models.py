"""Pairwise models on given edges: one form for binary, categorical and ordinal sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.energies import OrdinalEnergy, PottsEnergy, SparseIsingEnergy
from pyro_rm.energies.ordinal import Site
from pyro_rm.markov_steps import ColoredGibbs, GibbsSweep, MarkovStep
from pyro_rm.networks.contrasts import contrasts, existing
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True)
class Sites:
    """What couples at ordinal, binary and nominal sites.

    :param scores: See :class:`~pyro_rm.energies.OrdinalEnergy`.
    :param thresholds: The same.
    """

    scores: Sequence[Site]
    _: KW_ONLY
    thresholds: str = "free"

    def energy(self, edges: Tensor) -> OrdinalEnergy:
        """An energy without couplings and fields."""
        return OrdinalEnergy(self.scores, edges.cpu(), thresholds=self.thresholds)


@dataclass(frozen=True, eq=False)
class PairwiseModel:
    """A trainable energy whose couplings outside the given edges stay zero.

    Its coordinates, without redundancy, are :math:`f` of a site, the first :math:`m` of which
    couple: the state itself of binary sites, contrasts of categories (see
    :func:`~pyro_rm.networks.contrasts.contrasts`), or scores.

    :param energy: An Ising or an ordinal energy on these edges, or a Potts energy.
    :param edges: Pairs of sites, ``(E, 2)``.
    """

    energy: SparseIsingEnergy | PottsEnergy | OrdinalEnergy
    edges: Tensor

    @classmethod
    def on(
        cls, space: StateSpace, edges: Tensor, like: Tensor, sites: Sites | None = None
    ) -> PairwiseModel:
        """A model without couplings and fields, in the type and on the device of a tensor."""
        edges = edges.to(like.device)
        if sites is not None:
            return cls(sites.energy(edges).to(like), edges)
        if space.is_binary:
            sparse = SparseIsingEnergy(space.num_sites, edges.cpu(), states=space.states)
            return cls(sparse.to(like), edges)
        energy = PottsEnergy(space.num_sites, space.num_categories).to(like)
        model = cls(energy, edges)
        mask = model.spread(like.new_ones(len(edges)))
        energy.weight.register_hook(lambda gradient: gradient * mask)
        return model

    @property
    def space(self) -> StateSpace:
        """The state space."""
        return self.energy.state_space

    def local_fields(self, encoded: Tensor) -> Tensor:
        """What each site, or each category of each site, feels, like ``encoded``."""
        energy = self.energy
        local = energy.pairwise() if isinstance(energy, PottsEnergy) else energy
        return local.local_fields(encoded)

    @property
    def basis(self) -> Tensor:
        """Coordinates of the categories, ``(K, f)``, or ``(D, K, f)`` if sites have their own."""
        energy = self.energy
        if isinstance(energy, OrdinalEnergy):
            return energy.basis.to(energy.fields)
        return contrasts(self.space, energy.fields.detach())

    @property
    def exists(self) -> Tensor:
        """Which coordinates a site has, ``(D, f)``."""
        if isinstance(self.energy, OrdinalEnergy):
            return self.energy.exists
        return existing(self.space, self.energy.fields.device)

    @property
    def couples(self) -> Tensor:
        """Which coordinates of a site couple, ``(D, m)``."""
        return self.energy.couples if isinstance(self.energy, OrdinalEnergy) else self.exists

    @property
    def paired(self) -> Tensor:
        """Which couplings an edge has, ``(E, m, m)``."""
        (first, second), couples = self.edges.unbind(1), self.couples
        return couples[first, :, None] & couples[second, None, :]

    def coordinates_of(self, encoded: Tensor) -> Tensor:
        """Encoded data in these coordinates, ``(R, D, f)``."""
        if self.space.is_binary:
            return encoded[..., None]
        basis = self.basis
        return encoded @ basis if basis.dim() == 2 else torch.einsum("rik,ikf->rif", encoded, basis)

    @torch.no_grad()
    def conditionals(self, encoded: Tensor) -> Tensor:
        """Probabilities of each site's values given all other sites, ``(R, D, K)``."""
        fields = self.local_fields(encoded)
        if self.space.is_binary:
            low, high = self.space.states
            up = ((high - low) * fields).sigmoid()
            return torch.stack([1 - up, up], -1)
        exists = self.space.category_mask(encoded.device)
        return fields.masked_fill(~exists, -torch.inf).softmax(-1)

    def spread(self, of_edges: Tensor) -> Tensor:
        """A number of each edge as one of each trainable coupling, like ``energy.weight``."""
        if isinstance(self.energy, OrdinalEnergy):
            return of_edges[:, None, None].expand_as(self.energy.weight)
        if self.space.is_binary:
            return of_edges
        sites, k = self.space.num_sites, self.space.max_categories
        matrix = of_edges.new_zeros(sites, sites)
        matrix[self.edges.amin(1), self.edges.amax(1)] = of_edges
        return matrix.repeat_interleave(k, 0).repeat_interleave(k, 1)

    @torch.no_grad()
    def start_from(self, other: PairwiseModel) -> None:
        """Take another model's fields, and its couplings on the edges of both, which are sorted."""
        own, theirs = self.energy, other.energy
        own.fields.copy_(theirs.fields)
        if isinstance(own, PottsEnergy):
            own.weight.copy_(theirs.weight * self.spread(torch.ones_like(self.edges[:, 0])))
            return
        sites = self.space.num_sites
        numbers, known = (edges[:, 0] * sites + edges[:, 1] for edges in (self.edges, other.edges))
        mine, match = (numbers[:, None] == known).nonzero().unbind(1)
        own.weight.zero_()
        own.weight[mine] = theirs.weight[match]

    def tables(self) -> Tensor:
        """The couplings of each edge, ``(E, m, m)``: numbers if binary, else of categories."""
        first, second = self.edges.unbind(1)
        if isinstance(self.energy, SparseIsingEnergy):
            return self.energy.weight.detach()[:, None, None]
        return self.energy.pairwise().couplings.detach()[first, :, second, :]

    def coordinates(self) -> Tensor:
        """The couplings of each edge without redundancy, ``(E, m, m)``."""
        if isinstance(self.energy, OrdinalEnergy):
            return self.energy.weight.detach()
        return self.basis.mT @ self.tables() @ self.basis


def independent_model(
    space: StateSpace, frequencies: Tensor, size: float, sites: Sites | None = None
) -> PairwiseModel:
    """The model without couplings that has given frequencies, or is next to them.

    :param space: The state space.
    :param frequencies: Mean of the encoded data, ``encoded_shape``.
    :param size: The number of data; what was never seen counts as half a datum.
    :param sites: What couples.
    :returns: The model.
    """
    model = PairwiseModel.on(space, torch.zeros(0, 2, dtype=torch.long), frequencies, sites)
    low, high = space.states
    with torch.no_grad():
        if sites is not None:
            shares = (frequencies + 0.5 / size) * space.category_mask(frequencies.device)
            model.energy.fields.copy_(_fields_of(model, shares / shares.sum(1, keepdim=True)))
        elif space.is_binary:
            share = ((frequencies - low) / (high - low)).clamp(0.5 / size, 1 - 0.5 / size)
            model.energy.fields.copy_(share.logit() / (high - low))
        else:
            model.energy.fields.copy_((frequencies + 0.5 / size).log())
    return model


def _fields_of(model: PairwiseModel, shares: Tensor, num_steps: int = 8) -> Tensor:
    """Most likely fields of independent sites, by Newton steps from a least-squares fit."""
    basis, absent = model.basis, torch.diag_embed((~model.exists).to(shares))
    logs = torch.where(shares > 0, shares.log(), 0.0)
    fields = torch.zeros_like(model.energy.fields)
    for number in range(num_steps):
        logits = (basis @ fields[..., None])[..., 0]
        chances = logits.masked_fill(shares == 0, -torch.inf).softmax(1)
        weights = shares if number == 0 else chances
        moved = basis - (weights[:, None] @ basis)
        curvature = moved.mT @ (weights[..., None] * moved) + absent
        gap = shares * logs if number == 0 else shares - chances
        fields += torch.linalg.solve(curvature, moved.mT @ gap[..., None])[..., 0]
    return fields


def sweep_of(model: PairwiseModel) -> MarkovStep:
    """A Gibbs sweep, in parallel over sites that do not interact."""
    sites = model.space.num_sites
    if len(model.edges) == sites * (sites - 1) // 2:
        return GibbsSweep()
    graph = nx.empty_graph(sites)
    graph.add_edges_from(model.edges.tolist())
    return ColoredGibbs.from_graph(graph)
