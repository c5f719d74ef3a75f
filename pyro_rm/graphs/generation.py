"""Graphs drawn from an energy of node pairs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
import torch
from torch import Tensor
from tqdm import tqdm

from pyro_rm.checks import check_counts, check_sizes
from pyro_rm.energy_protocol import energy_device, energy_dtype, energy_of
from pyro_rm.graphs.graph_types import GraphTypes
from pyro_rm.markov_steps import Chains, MarkovStep, default_step
from pyro_rm.markov_steps.sample_by_levels import sample_by_levels
from pyro_rm.noise_levels import draw_background
from pyro_rm.target import Target


def generate_graphs(
    model: Any,
    num_nodes: Tensor,
    *,
    num_levels: int | None = None,
    inverse_temperatures: Sequence[float] = (1.0,),
    step: MarkovStep | None = None,
    num_steps: int = 2,
    densities: Tensor | None = None,
    features: Tensor | None = None,
    types: GraphTypes | None = None,
    is_valid: Callable[[nx.Graph], bool] | None = None,
    max_rounds: int = 10,
    progress: bool = True,
) -> list[nx.Graph]:
    """Draw graphs of given sizes by Markov chains over their edges.

    Chains start as Erdos-Renyi graphs and walk down the noise levels of the energy [1], or
    through inverse temperatures. Graphs of equal size move together, without padding where
    the energy has ``resized``.

    :param model: An energy, called as ``energy(pairs, num_nodes)``, with features and then a level
        as further arguments where they are given; or a model or :class:`~pyro_rm.Target` of one.
    :param num_nodes: Nodes of each graph, ``(N,)``: draw them from the data.
    :param num_levels: Noise levels of the energy; see
        :func:`~pyro_rm.infer.sample_by_levels`. None: the energy takes none.
    :param inverse_temperatures: What the energy is multiplied by, one after the other; for
        energies without levels. The last one should be 1.
    :param step: What moves the chains; that of the energy if None.
    :param num_steps: Steps at each level or temperature.
    :param densities: Edge densities of the starts by number of nodes, as of
        :meth:`~pyro_rm.graphs.GraphBatch.densities`: the background of the noise that the
        energy was trained with. None: one half.
    :param features: Features of nodes that the energy takes, ``(N, max_nodes, F)``.
    :param types: Categories of nodes and edges, as ``types_`` of a
        :class:`~pyro_rm.graphs.GraphGenerator`; None: plain graphs.
    :param is_valid: Graphs that fail are drawn again.
    :param max_rounds: How often, before those that still fail are left out with a warning.
    :param progress: Whether to show a progress bar.
    :returns: Graphs in the order of ``num_nodes``.
    :raises TypeError: If the numbers of nodes are not integers.
    :raises ValueError: If a size is below 1, or levels and temperatures are both given.

    Example:

        >>> from pyro_rm.energies import RandomGraphEnergy
        >>> graphs = generate_graphs(RandomGraphEnergy(5), torch.tensor([3, 5]), progress=False)
        >>> [len(graph) for graph in graphs]
        [3, 5]

    .. note:: Costs ``num_steps`` Markov steps at each level or temperature, for each size.
        Approximate, as the chains are of finite length.

    **References**

    [1] Chenhao Niu, Yang Song, Jiaming Song, Shengjia Zhao, Aditya Grover, Stefano Ermon
        (2020) "Permutation invariant graph generation via score-based generative modeling",
        AISTATS.
    """
    check_sizes(num_nodes)
    if num_nodes.dim() != 1:
        raise ValueError(f"Expected numbers of nodes as (N,), but got {tuple(num_nodes.shape)}.")
    if len(num_nodes) == 0 or int(num_nodes.min()) < 1:
        raise ValueError(f"Expected positive numbers of nodes, but got {num_nodes.tolist()}.")
    if num_levels is not None and tuple(inverse_temperatures) != (1.0,):
        raise ValueError("Expected noise levels or inverse temperatures, but got both.")
    check_counts(max_rounds=max_rounds)
    check_counts(0, num_steps=num_steps)
    if num_levels is not None:
        check_counts(num_levels=num_levels)
    energy = energy_of(model)
    step = default_step(energy) if step is None else step

    def walk(target: Target, start: Tensor) -> Tensor:
        if num_levels is not None:
            return sample_by_levels(
                target, start, num_levels=num_levels, step=step, num_steps=num_steps,
                progress=False,
            )  # fmt: skip
        return _anneal(target, start, step, num_steps, inverse_temperatures)

    found: list[nx.Graph | None] = [None] * len(num_nodes)
    with tqdm(total=len(found), desc="generate", disable=not progress) as bar:
        for _ in range(max_rounds if is_valid else 1):
            missing = torch.tensor([graph is None for graph in found], device=num_nodes.device)
            for size in num_nodes[missing].unique().tolist():
                rows = (missing & (num_nodes == size)).nonzero()[:, 0]
                graphs = _graphs_of_size(
                    energy, size, rows, densities, features, types or GraphTypes(), walk
                )
                for row, graph in zip(rows.tolist(), graphs, strict=True):
                    if is_valid is None or is_valid(graph):
                        found[row] = graph
                        bar.update()
    graphs = [graph for graph in found if graph is not None]
    if len(graphs) < len(found):
        warnings.warn(
            f"{len(found) - len(graphs)} of {len(found)} graphs were invalid in all "
            f"{max_rounds} rounds and are left out.",
            stacklevel=2,
        )
    return graphs


def _anneal(
    target: Target,
    start: Tensor,
    step: MarkovStep,
    num_steps: int,
    inverse_temperatures: Sequence[float],
) -> Tensor:
    encoded = target.encode(start)
    heated = [step.tempered(target, encoded.new_tensor(beta)) for beta in inverse_temperatures]
    chains = Chains(target, encoded, step)
    chains.run(num_steps * len(heated), schedule=lambda number: heated[number // num_steps])
    return target.decode(chains.encoded)


@torch.no_grad()
def _graphs_of_size(
    energy: Any,
    size: int,
    rows: Tensor,
    densities: Tensor | None,
    features: Tensor | None,
    types: GraphTypes,
    walk: Callable[[Target, Tensor], Tensor],
) -> list[nx.Graph]:
    directed = getattr(energy, "directed", False)
    if size == 1 and not types.nodes:
        return [nx.empty_graph(1, nx.DiGraph if directed else nx.Graph) for _ in rows]
    if hasattr(energy, "resized"):
        energy = energy.resized(size)
    padding = types.num_nodes_of(energy.state_space.num_sites, directed=directed)
    device = energy_device(energy)
    counts = torch.full_like(rows, size, device=device)
    active = types.active(counts, padding, directed=directed)
    density = torch.tensor(0.5) if densities is None else densities[size]
    background = types.background(density.to(device), padding, directed=directed)
    dtype = energy_dtype(energy, torch.empty(0))
    empty = torch.zeros(active.shape, dtype=dtype, device=active.device)
    start = torch.where(active, draw_background(energy.state_space, empty, background), empty)
    context: tuple[Tensor, ...] = (counts,)
    if features is not None:
        context = (counts, features[rows, :padding].to(device))
    target = Target(energy, energy.state_space, context, active)
    return types.decode(walk(target, start), counts, directed=directed)
