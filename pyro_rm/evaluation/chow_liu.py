"""Chow-Liu trees: the best tree-structured density, a baseline with exact likelihoods."""

from __future__ import annotations

from dataclasses import dataclass, replace

import networkx as nx
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_rm.checks import check_counts
from pyro_rm.energies.sums import Summable
from pyro_rm.state_space import StateSpace


@dataclass(frozen=True, eq=False)
class ChowLiuTree(Summable):
    r"""A density :math:`\prod_i p(x_i \mid x_{\text{parent}(i)})`; an energy with log Z = 0.

    :param parents: Parent of each site, ``(D,)``; the root is its own.
    :param order: The sites, parents before children.
    :param log_tables: :math:`\log p(x_i = k \mid x_{\text{parent}(i)} = l)` at ``[i, l, k]``,
        ``(D, K_max, K_max)``; the root's rows are alike.
    :param state_space: The space.

    Example:

        >>> data = torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
        >>> tree = ChowLiuTree.fit(data, StateSpace(3))
        >>> tree.parents[1]
        tensor(0)

    .. note:: Fitting costs :math:`D^2` mutual informations (one matrix product) and a
        spanning tree [1].

    **References**

    [1] C. K. Chow, C. N. Liu (1968) "Approximating discrete probability distributions with
        dependence trees", IEEE Transactions on Information Theory 14(3).
    """

    parents: Tensor
    order: tuple[int, ...]
    log_tables: Tensor
    state_space: StateSpace

    @classmethod
    def fit(cls, data: Tensor, state_space: StateSpace, *, smoothing: float = 1.0) -> ChowLiuTree:
        """The tree of greatest likelihood, with smoothed tables.

        :param data: Data, ``batch_shape + (D,)``.
        :param state_space: Their space.
        :param smoothing: Pseudo-counts a pair of sites, spread over its pairs of values.
        """
        state_space.validate(data)
        data = data.flatten(0, -2) if data.dim() > 1 else data[None]
        joint = _joint_probabilities(data, state_space, smoothing)  # (D, K, D, K)
        marginal = joint.sum(-1)[:, :, 0]
        log_joint = torch.where(joint > 0, joint, 1).log()
        log_marginal = torch.where(marginal > 0, marginal, 1).log()
        excess = log_joint - log_marginal[:, :, None, None] - log_marginal
        parents, order = _spanning_tree((joint * excess).sum((1, 3)))
        sites = torch.arange(len(parents), device=log_joint.device)
        tables = log_joint[parents, :, sites] - log_marginal[parents, :, None]
        tables[order[0]] = log_marginal[order[0]]
        return cls(parents, order, tables.to(torch.get_default_dtype()), state_space)

    def __call__(self, encoded: Tensor) -> Tensor:
        """Energies, here ``-log p``, of encoded data; ``batch_shape``."""
        hot = encoded
        if self.state_space.is_binary:
            low, high = self.state_space.states
            up = (encoded - low) / (high - low)
            hot = torch.stack([1 - up, up], -1)
        given = torch.einsum("...dl,dlk->...dk", hot[..., self.parents, :], self.log_tables.to(hot))
        return -(given * hot).sum((-2, -1))

    def to(self, device: torch.device | None) -> ChowLiuTree:
        """The same on another device; where it is if None."""
        return replace(self, parents=self.parents.to(device), log_tables=self.log_tables.to(device))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probabilities of data, ``batch_shape``."""
        self.state_space.validate(value)
        return -self(self.state_space.encode(value, self.log_tables.dtype))

    def sample(self, num_samples: int) -> Tensor:
        """Independent draws, ``(num_samples, D)``."""
        check_counts(0, num_samples=num_samples)
        device = self.log_tables.device
        codes = torch.zeros(num_samples, len(self.parents), dtype=torch.long, device=device)
        exists = self.state_space.category_mask(device)
        for site in self.order:
            logits = self.log_tables[site].masked_fill(~exists[site], -torch.inf)
            rows = logits.softmax(-1)[codes[:, self.parents[site]]]
            codes[:, site] = torch.multinomial(rows, 1)[:, 0]
        if not self.state_space.is_binary:
            return codes
        low, high = self.state_space.states
        return low + (high - low) * codes.to(self.log_tables.dtype)


def _joint_probabilities(data: Tensor, space: StateSpace, smoothing: float) -> Tensor:
    """Smoothed probabilities of pairs of values, ``(D, K, D, K)``, zero where padded."""
    if not smoothing > 0:
        raise ValueError(f"Expected smoothing to be positive, but got {smoothing}.")
    codes = (data == space.states[1]) if space.is_binary else data
    hot = one_hot(codes.long(), space.max_categories).flatten(-2).double()
    prior = space.category_mask(data.device).double()
    prior = (prior / prior.sum(-1, keepdim=True)).flatten()
    counts = hot.mT @ hot + smoothing * prior[:, None] * prior
    shape = (space.num_sites, space.max_categories)
    return counts.view(*shape, *shape) / (len(data) + smoothing)


def _spanning_tree(information: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Parents of the sites in the heaviest spanning tree, and an order from its root."""
    size, device = len(information), information.device
    graph = nx.from_numpy_array(information.clamp(min=1e-300).fill_diagonal_(0).cpu().numpy())
    tree = nx.maximum_spanning_tree(graph)
    parents = torch.arange(size)
    order = [0]
    for parent, child in nx.bfs_edges(tree, 0):
        parents[child] = parent
        order.append(child)
    return parents.to(device), tuple(order)
