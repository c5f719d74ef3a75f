"""Pairwise models on given edges: one form for binary and for categorical sites."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.energies import PottsEnergy, SparseIsingEnergy
from pyro_rm.markov_steps import ColoredGibbs, GibbsSweep, MarkovStep
from pyro_rm.networks.contrasts import contrasts
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class PairwiseModel:
    """A trainable energy whose couplings outside the given edges stay zero.

    :param energy: An Ising energy on these edges, or a Potts energy.
    :param edges: Pairs of sites, ``(E, 2)``.
    """

    energy: SparseIsingEnergy | PottsEnergy
    edges: Tensor

    @classmethod
    def on(cls, space: StateSpace, edges: Tensor, like: Tensor) -> PairwiseModel:
        """A model without couplings and fields, in the type and on the device of a tensor."""
        edges = edges.to(like.device)
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
        if self.space.is_binary:
            return of_edges
        sites, k = self.space.num_sites, self.space.max_categories
        matrix = of_edges.new_zeros(sites, sites)
        matrix[self.edges.amin(1), self.edges.amax(1)] = of_edges
        return matrix.repeat_interleave(k, 0).repeat_interleave(k, 1)

    def tables(self) -> Tensor:
        """The couplings of each edge, ``(E, m, m)``: numbers if binary, else of categories."""
        first, second = self.edges.unbind(1)
        if isinstance(self.energy, SparseIsingEnergy):
            return self.energy.weight.detach()[:, None, None]
        return self.energy.couplings.detach()[first, :, second, :]

    def coordinates(self) -> Tensor:
        """The couplings of each edge without redundancy, ``(E, m, m)``; see ``contrasts``."""
        basis = contrasts(self.space, self.energy.fields.detach())
        return basis.mT @ self.tables() @ basis


def independent_model(space: StateSpace, frequencies: Tensor, size: float) -> PairwiseModel:
    """The model without couplings that has given frequencies.

    :param space: The state space.
    :param frequencies: Mean of the encoded data, ``encoded_shape``.
    :param size: The number of data; what was never seen counts as half a datum.
    :returns: The model.
    """
    model = PairwiseModel.on(space, torch.zeros(0, 2, dtype=torch.long), frequencies)
    low, high = space.states
    with torch.no_grad():
        if space.is_binary:
            share = ((frequencies - low) / (high - low)).clamp(0.5 / size, 1 - 0.5 / size)
            model.energy.fields.copy_(share.logit() / (high - low))
        else:
            model.energy.fields.copy_((frequencies + 0.5 / size).log())
    return model


def sweep_of(model: PairwiseModel) -> MarkovStep:
    """A Gibbs sweep, in parallel over sites that do not interact."""
    sites = model.space.num_sites
    if len(model.edges) == sites * (sites - 1) // 2:
        return GibbsSweep()
    graph = nx.empty_graph(sites)
    graph.add_edges_from(model.edges.tolist())
    return ColoredGibbs.from_graph(graph)
