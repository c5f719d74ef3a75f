"""Gibbs sweeps that redraw conditionally independent sites at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.checks import check_graph
from pyro_rm.markov_steps.gibbs import redraw_blocks
from pyro_rm.markov_steps.transition import ChainState, MarkovStep
from pyro_rm.target import Target


@dataclass(frozen=True)
class ColoredGibbs(MarkovStep):
    """A Gibbs sweep, color by color: sites of one color are redrawn in parallel [1].

    Exact if and only if sites of one color do not interact, which makes them independent
    given all others. :meth:`from_graph` and :meth:`from_couplings` ensure it where the graph
    holds all interactions; with validation on, a step refuses a color whose conditionals
    changed as it moved. A checkerboard has two colors, a tree has two, and a dense model as
    many as sites.

    :param colors: The color of each site, :math:`0, 1, \\dots`
    :raises ValueError: If colors are not integers from 0.

    Example:

        >>> import networkx as nx
        >>> step = ColoredGibbs.from_graph(nx.grid_2d_graph(4, 4, periodic=True))
        >>> step.num_colors
        2

    .. note:: Costs one gap table a color (two with validation on); pairwise energies, one
        matrix product in all.

    **References**

    [1] Joseph Gonzalez, Yucheng Low, Arthur Gretton, Carlos Guestrin (2011) "Parallel Gibbs
        sampling: from colored fields to thin junction trees", AISTATS.
    """

    colors: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "colors", tuple(int(color) for color in self.colors))
        if set(self.colors) != set(range(self.num_colors)):
            raise ValueError(
                f"Expected colors 0, 1, ... without gaps, but got {sorted(set(self.colors))}."
            )

    @property
    def num_colors(self) -> int:
        """How many colors there are."""
        return max(self.colors, default=-1) + 1

    @classmethod
    def from_graph(cls, graph: Any) -> ColoredGibbs:
        """Color an interaction graph greedily, trying to keep to two colors.

        :param graph: A :class:`networkx.Graph`; its nodes in their order are the sites.
        :returns: The step.
        :raises TypeError: If it is not an undirected graph.
        :raises ValueError: If it has self-loops.
        """
        check_graph(graph)
        if nx.is_bipartite(graph):
            found = nx.bipartite.color(graph)
        else:
            found = nx.greedy_color(graph, strategy="DSATUR")
        return cls(tuple(found[node] for node in graph.nodes))

    @classmethod
    def from_couplings(cls, couplings: Tensor) -> ColoredGibbs:
        """Color the sites that couplings other than zero connect.

        :param couplings: ``batch_shape + (D, D)``, or ``(D, K, D, K)`` of a Potts model
            reduced to ``(D, D)``, e.g. by their norms.
        :returns: The step.
        """
        connected = (couplings != 0).reshape(-1, *couplings.shape[-2:]).any(0)
        connected.fill_diagonal_(False)
        return cls.from_graph(nx.from_numpy_array(connected.cpu().numpy()))

    @torch.no_grad()
    def __call__(self, target: Target, state: ChainState) -> ChainState:
        """One sweep over all active sites."""
        if len(self.colors) != target.space.num_sites:
            raise ValueError(
                f"Expected a color for each of {target.space.num_sites} sites, but got "
                f"{len(self.colors)}."
            )
        blocks = [
            torch.tensor([site for site, own in enumerate(self.colors) if own == color])
            for color in range(self.num_colors)
        ]
        blocks = [block.to(state.encoded.device) for block in blocks]
        moved = redraw_blocks(target, state.encoded, blocks, check=state.known is None)
        # that the blocks are independent is seen once under a target
        return ChainState(moved, moved.new_ones(target.batch_shape_of(moved)), known=True)
