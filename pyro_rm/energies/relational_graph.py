"""Relational graph convolutions over all node pairs."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from pyro_rm.checks import check_counts
from pyro_rm.energies.level_rows import level_rows
from pyro_rm.energies.node_pairs import adjacency_matrix, num_pairs
from pyro_rm.energies.sums import Summable
from pyro_rm.state_space import StateSpace

_TYPICAL_NODES = 8.0


class RelationalGraphEnergy(Summable, nn.Module):
    r"""An energy of graphs: graph convolutions over edges and over non-edges [1].

    With the adjacency matrix :math:`A` of :math:`n` nodes and that of its complement
    :math:`\bar A`, each layer is

    .. math::

        h \leftarrow \text{SiLU}\!\left(
            h W + \tfrac{2}{n} A h W_1 + \tfrac{2}{n} \bar A h W_0 + b_\ell \right),

    and the energy is a sum over nodes of a two-layer network. It does not depend on the
    order of nodes, and is differentiable in the adjacency. Directed graphs have relations
    of their own for incoming arcs.

    Convolutions alone see no triangles. Where communities matter, ``num_walks`` lets nodes
    start from return probabilities of random walks [2], and adds two relations: edges and
    non-edges, weighted by the neighbors that their ends share,
    :math:`\sum_k A_{ik} A_{kj} / (d_k + 1)`.

    A datum is a vector over node pairs in row-major order
    (:func:`pyro_rm.graphs.encode_graphs`); the context is the number of nodes, where
    graphs are padded, then features of nodes, then a noise level, where there are such. With
    types, a pair is 0 or a type of edge, each a relation of its own, and categories of nodes,
    0, 1, ..., follow the pairs, to be learned with them.

    :param max_nodes: Nodes of the padding, at least 2.
    :param num_hidden: Width of the layers.
    :param num_layers: Number of convolutions.
    :param num_features: Features of a node.
    :param num_walks: Return probabilities of walks of 2, 3, ... steps that a node starts from.
    :param num_levels: Noise levels, each with its own shifts :math:`b_\ell`; None for an
        energy that takes no level.
    :param directed: Whether pairs are ordered.
    :param num_node_types: Categories of nodes, as sites; 0: nodes are no sites.
    :param num_edge_types: Types of edges.
    :raises ValueError: If there are less than two nodes, or nodes have a single category.

    Example:

        >>> energy = RelationalGraphEnergy(max_nodes=5, num_hidden=8)
        >>> energy(torch.zeros(3, 10), torch.tensor([3, 4, 5])).shape
        torch.Size([3])

    .. note:: An energy costs a product of :math:`A` with a matrix of ``num_hidden`` columns
        a layer, and no tensor of the complement; with walks three of them, and
        ``num_walks`` products of adjacency matrices.

    **References**

    [1] Michael Schlichtkrull, Thomas Kipf, Peter Bloem, Rianne van den Berg, Ivan Titov, Max
        Welling (2018) "Modeling relational data with graph convolutional networks", ESWC.
    [2] Vijay Prakash Dwivedi, Anh Tuan Luu, Thomas Laurent, Yoshua Bengio, Xavier Bresson
        (2022) "Graph neural networks with learnable structural and positional
        representations", ICLR.
    """

    def __init__(
        self,
        max_nodes: int,
        *,
        num_hidden: int = 32,
        num_layers: int = 5,
        num_features: int = 0,
        num_walks: int = 0,
        num_levels: int | None = None,
        directed: bool = False,
        num_node_types: int = 0,
        num_edge_types: int = 1,
    ) -> None:
        super().__init__()
        check_counts(2, max_nodes=max_nodes)
        check_counts(num_hidden=num_hidden, num_layers=num_layers)
        check_counts(0, num_features=num_features, num_walks=num_walks)
        if num_levels is not None:
            check_counts(num_levels=num_levels)
        check_counts(num_edge_types=num_edge_types)
        if num_node_types:
            check_counts(2, num_node_types=num_node_types)
        self.directed = directed
        self.num_node_types, self.num_edge_types = num_node_types, num_edge_types
        self.num_features = num_features
        self.num_walks = num_walks
        self.num_levels = num_levels
        self.max_nodes, self.state_space = max_nodes, self._space(max_nodes)
        # the node itself, types of edges and non-edges a direction, both by shared neighbors
        parts = 1 + (1 + num_edge_types) * (2 if directed else 1) + (2 if num_walks else 0)
        num_inputs = 2 + num_features + max(0, num_node_types - 1) + num_walks
        widths = [num_inputs] + [num_hidden] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.Linear(w, parts * num_hidden, bias=False) for w in widths)
        self.shifts = nn.Parameter(0.1 * torch.randn(num_levels or 1, num_layers, num_hidden))
        self.readout = nn.Sequential(
            nn.Linear(num_hidden, num_hidden), nn.SiLU(), nn.Linear(num_hidden, 1)
        )

    def resized(self, max_nodes: int) -> RelationalGraphEnergy:
        """The same energy for another padding; parameters are shared.

        :param max_nodes: Nodes of the padding. Small graphs are cheaper without much of it.
        :returns: An energy with its own state space.
        """
        check_counts(1 if self.num_node_types else 2, max_nodes=max_nodes)
        other = copy.copy(self)
        other.max_nodes, other.state_space = max_nodes, self._space(max_nodes)
        return other

    def _space(self, max_nodes: int) -> StateSpace:
        categories = (1 + self.num_edge_types,) * num_pairs(max_nodes, directed=self.directed)
        if self.num_node_types:
            categories += (self.num_node_types,) * max_nodes
        return StateSpace(len(categories), categories)

    def forward(self, x: Tensor, num_nodes: Tensor | None = None, *context: Tensor) -> Tensor:
        """Energies of encoded graphs.

        :param x: Pairs, and nodes where these have types, ``batch_shape + (D,)``, or one-hot if
            categorical, ``batch_shape + (D, K_max)``.
        :param num_nodes: Nodes of each graph, ``batch_shape``; None if there is no padding.
        :param context: Features, ``batch_shape + (nodes, F)``, and level, ``batch_shape``,
            as the energy was made to take them; without a level it is that of level 0.
        :returns: Shape ``batch_shape``.
        """
        num_features, num_levels = int(self.num_features > 0), int(self.num_levels is not None)
        if not num_features <= len(context) <= num_features + num_levels:
            raise ValueError(
                f"Expected {num_features + num_levels} tensors of context after the number of "
                f"nodes (features and level, where the energy has them), but got {len(context)}."
            )
        # a column for each category but the first, which stands for no edge
        codes = x[..., None] if self.state_space.is_binary else x[..., 1:]
        width = max(self.num_edge_types, self.num_node_types - 1)
        codes = pad(codes, (0, width - codes.shape[-1]))  # a single node knows no types of edges
        sites = codes.shape[-2] - (self.max_nodes if self.num_node_types else 0)
        matrices = adjacency_matrix(
            codes[..., :sites, : self.num_edge_types].movedim(-1, 0), directed=self.directed
        )
        matrix, batch_shape = matrices.sum(0), codes.shape[:-2]
        nodes = matrix.shape[-1]
        size = x.new_full(batch_shape, nodes) if num_nodes is None else num_nodes.to(x.dtype)
        size = size[..., None, None].expand((*batch_shape, 1, 1))
        exists = (torch.arange(nodes, device=x.device)[:, None] < size).to(x.dtype)
        inputs = [exists, exists * size / _TYPICAL_NODES]
        if self.num_features:
            inputs.append((exists * context[0]).expand((*exists.shape[:-1], self.num_features)))
        if self.num_node_types:
            inputs.append(exists * codes[..., sites:, : self.num_node_types - 1])
        weighted: tuple[Tensor, ...] = ()
        if self.num_walks:
            present = matrix * exists * exists.mT
            inputs.append(return_probabilities(present, self.num_walks))
            shared = shared_neighbors(present)
            weighted = matrix * shared, shared - matrix * shared
        level = context[-1].long() if len(context) > num_features else None
        shifts = level_rows(self.shifts, level).movedim(-2, 0)
        hidden = torch.cat(inputs, -1)
        relations = torch.cat(tuple(matrices), -1)  # side by side, to be summed in one product
        directions = [relations]
        if self.directed:
            directions.append(torch.cat(tuple(matrices.mT), -1))
        for layer, shift in zip(self.layers, shifts, strict=True):
            count = 1 + (1 + len(matrices)) * len(directions) + len(weighted)
            own, *parts = layer(hidden).chunk(count, -1)
            received = _messages(directions, weighted, parts)
            hidden = silu(own + 2 / size * received + shift[..., None, :]) * exists
        return (self.readout(hidden) * exists).sum((-2, -1))


def _messages(
    directions: list[Tensor], weighted: tuple[Tensor, ...], parts: list[Tensor]
) -> Tensor:
    """What each node receives: the sum over relations of their matrices times their parts."""
    received, remaining = torch.zeros_like(parts[0]), iter(parts)
    for direction in directions:
        # the complement's product without the complement: everybody, less oneself and neighbors
        near = [next(remaining) for _ in range(direction.shape[-1] // direction.shape[-2])]
        far = next(remaining)
        received = received + direction @ torch.cat([part - far for part in near], -2)
        received = received + far.sum(-2, keepdim=True) - far
    for weights, part in zip(weighted, remaining, strict=True):
        received = received + weights @ part
    return received


def shared_neighbors(matrix: Tensor) -> Tensor:
    """Neighbors that two different nodes share, each counted 1 / (degree + 1).

    :param matrix: Adjacency matrices, ``batch_shape + (nodes, nodes)``.
    :returns: Of the same shape, with zero diagonal.

    Example:

        >>> shared_neighbors(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
        tensor([[0.0000, 0.0000, 0.3333],
                [0.0000, 0.0000, 0.0000],
                [0.3333, 0.0000, 0.0000]])
    """
    paths = matrix @ (matrix / (matrix.sum(-1, keepdim=True) + 1))
    return paths - torch.diag_embed(paths.diagonal(dim1=-2, dim2=-1))


def return_probabilities(matrix: Tensor, num_walks: int) -> Tensor:
    """Probabilities that random walks of 2, 3, ... steps end where they started.

    A walk at a node of degree :math:`d` stops for good with probability
    :math:`1 / (d + 1)`, which keeps this smooth where a node loses its last edge.

    :param matrix: Adjacency matrices, ``batch_shape + (nodes, nodes)``.
    :param num_walks: How many lengths.
    :returns: Shape ``batch_shape + (nodes, num_walks)``.

    Example:

        >>> return_probabilities(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 2)
        tensor([[0.2500, 0.0000],
                [0.2500, 0.0000]])
    """
    walk = matrix / (matrix.sum(-1, keepdim=True) + 1)
    power, columns = walk, []
    for length in range(2, num_walks + 2):
        columns.append((power * walk.mT).sum(-1))
        if length <= num_walks:
            power = power @ walk
    return torch.stack(columns, -1)
