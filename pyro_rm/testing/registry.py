"""What the checks are run over: a line for each energy and step of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import networkx as nx
import torch

from pyro_rm import designs, energies, graphs, markov_steps, objectives, proposals
from pyro_rm.markov_steps import MarkovStep
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target
from pyro_rm.testing.designs import check_design
from pyro_rm.testing.energies import check_energy
from pyro_rm.testing.objectives import check_objective
from pyro_rm.testing.proposals import check_proposal
from pyro_rm.testing.steps import check_step

ENERGIES: Mapping[str, tuple[Callable[[], Any], ...]] = {
    "GraphEnergy": (
        lambda: graphs.GraphEnergy(nx.path_graph(4), ["edges", "gwesp(0.5)"]),
        lambda: graphs.GraphEnergy(nx.DiGraph(nx.path_graph(3)), ["edges", "mutual", "ttriple"]),
    ),
    "IsingEnergy": (
        lambda: energies.IsingEnergy(3),
        lambda: energies.IsingEnergy(3, states=(-1, 1)),
    ),
    "MLPEnergy": (
        lambda: energies.MLPEnergy(3, (4, 4)),
        lambda: energies.MLPEnergy(3, (4,), states=(-1, 1)),
        lambda: energies.MLPEnergy(2, (4,), num_categories=(2, 3)),
        lambda: energies.MLPEnergy(20, (4,)),
        lambda: energies.MLPEnergy(3, (4,), num_levels=2),
        lambda: Target.of(energies.MLPEnergy(3, (4,), num_levels=3), context=torch.tensor([2])),
    ),
    "OrdinalEnergy": (
        lambda: energies.OrdinalEnergy([(-0.5, 0.0, 0.5), (-0.5, 0.5), 3]),
        lambda: energies.OrdinalEnergy(
            [(0, 1, 2, 3), (0, 1, 2)], torch.tensor([[1, 0]]), thresholds="blume_capel"
        ),
    ),
    "PairwiseFunction": (
        lambda: energies.PairwiseFunction(1 - torch.eye(3), torch.ones(3), StateSpace(3)),
    ),
    "PottsEnergy": (lambda: energies.PottsEnergy(3, (2, 3, 2)), lambda: energies.PottsEnergy(3, 3)),
    "RBMEnergy": (
        lambda: energies.RBMEnergy(3, 2),
        lambda: energies.RBMEnergy(2, 3, states=(-1, 1)),
        lambda: energies.RBMEnergy(2, 2, num_categories=3),
    ),
    "RandomGraphEnergy": (lambda: energies.RandomGraphEnergy(4),),
    "RelationalGraphEnergy": (
        lambda: energies.RelationalGraphEnergy(3, num_hidden=4, num_walks=2),
        lambda: energies.RelationalGraphEnergy(3, num_hidden=4, directed=True),
        lambda: energies.RelationalGraphEnergy(
            2, num_hidden=4, num_walks=2, num_node_types=3, num_edge_types=2
        ),
        lambda: Target.of(
            energies.RelationalGraphEnergy(4, num_hidden=4), context=torch.tensor([3])
        ),
    ),
    "SparseIsingEnergy": (
        lambda: energies.SparseIsingEnergy(4, torch.tensor([[0, 1], [1, 2]])),
        lambda: energies.SparseIsingEnergy(3, torch.tensor([[0, 1], [1, 2], [0, 2]])),
    ),
    "SumEnergy": (lambda: 0.5 * energies.IsingEnergy(3) + energies.MLPEnergy(3, (4,)),),
    "restore_temperature": (
        lambda: energies.restore_temperature(energies.RBMEnergy(3, 2), "squared_ratio"),
    ),
    "with_levels": (
        lambda: Target.of(
            energies.with_levels(energies.MLPEnergy(3, (4,)), 2), context=torch.tensor([1])
        ),
    ),
}
"""Small examples by the public name that makes them."""

STEPS: Mapping[str, tuple[MarkovStep, ...]] = {
    "BlockGibbs": (markov_steps.BlockGibbs(),),
    "ColoredGibbs": (markov_steps.ColoredGibbs((0, 1)), markov_steps.ColoredGibbs((0, 1, 0, 1))),
    "DiscreteLangevin": (markov_steps.DiscreteLangevin(step_size=0.7),),
    "ParallelGibbs": (markov_steps.ParallelGibbs(num_proposals=1),),
    "GibbsSweep": (markov_steps.GibbsSweep(),),
    "GibbsWithGradients": (markov_steps.GibbsWithGradients(),),
    "Kawasaki": (markov_steps.Kawasaki(num_swaps=1),),
    "ParallelTempering": (
        markov_steps.ParallelTempering(markov_steps.GibbsSweep(), (1.0, 0.5)),
        markov_steps.ParallelTempering(markov_steps.BlockGibbs(), (1.0, 0.4)),
    ),
    "SimulatedTempering": (markov_steps.SimulatedTempering(markov_steps.GibbsSweep()),),
}
"""Examples by the name of their class."""


def every_check() -> Iterator[tuple[str, Callable[[], None]]]:
    """A check of each registered example.

    :returns: Pairs of a name and a function that raises if something is wrong.

    Example:

        >>> sum(1 for _ in every_check()) > 30
        True
    """
    for registry, check in (
        (objectives._BUILT_IN, check_objective),
        (proposals._BUILT_IN, check_proposal),
        (designs._BUILT_IN, check_design),
    ):
        for kind in registry.values():
            yield kind.__name__, lambda kind=kind, check=check: check(kind())  # type: ignore[misc]
    for name, examples in ENERGIES.items():
        for number, make in enumerate(examples):
            yield f"{name} {number}", lambda make=make: check_energy(make())  # type: ignore[misc]
    for steps in STEPS.values():
        for step in steps:
            yield repr(step), lambda step=step: check_step(step)  # type: ignore[misc]
