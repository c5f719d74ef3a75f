"""Models of graphs of one size, from an energy of graphs of all sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pyro_rm.evaluation import IndependentSites, log_partition
from pyro_rm.graphs.graph_types import GraphTypes
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.target import Target

_LARGEST_SUM = 2**22


def target_of_size(
    energy: Any, size: int, *, types: GraphTypes, density: Tensor, levels: NoiseLevels
) -> Target:
    """The model of graphs of one size, with levels of noise whose background is known.

    :param energy: Called as ``energy(x, num_nodes, level)``, with ``resized``.
    :param size: Number of nodes.
    :param types: Categories of nodes and edges.
    :param density: Edge density of the background, a scalar.
    :param levels: Levels of noise.
    """
    model = _OfSize(energy.resized(size), size)
    space = model.state_space
    table = types.background(density, size, directed=getattr(energy, "directed", False))
    tiny = torch.finfo(table.dtype).tiny  # where a site lacks a category
    logits = table.logit() if space.is_binary else table.clamp(min=tiny).log()
    background = IndependentSites(logits, space)
    return Target(model, space, levels=replace(levels, background=background))


def exact_log_partition(target: Target) -> Tensor:
    """The partition function of the data, by a sum over all of them."""
    if target.space.num_states > _LARGEST_SUM:
        raise ValueError(
            f"Expected a sum over at most {_LARGEST_SUM} graphs of a size, but there are "
            f"{target.space.num_states}. Use log_prob, which makes no sum."
        )
    return log_partition(replace(target, levels=None), max_states=_LARGEST_SUM)


class _OfSize:
    """An energy of graphs of one size, at level 0 unless another is given."""

    def __init__(self, energy: Any, size: int) -> None:
        self.energy, self.size = energy, size
        self.state_space, self.num_levels = energy.state_space, energy.num_levels

    def __call__(self, pairs: Tensor, level: Tensor | None = None) -> Tensor:
        batch_shape = pairs.shape[: pairs.dim() - len(self.state_space.encoded_shape)]
        sizes = torch.full(batch_shape, self.size, device=pairs.device)
        energies: Tensor = self.energy(
            pairs, sizes, torch.zeros_like(sizes) if level is None else level
        )
        return energies
