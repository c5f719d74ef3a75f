"""Many graphs learned, and more of them generated: the front door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graphs
from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.estimator_options import NumNeighbors
from pyro_rm.estimators import Estimator
from pyro_rm.evaluation import IndependentSites
from pyro_rm.graphs.codec import GraphBatch, active_pairs, encode_graphs, size_buckets
from pyro_rm.graphs.generation import generate_graphs
from pyro_rm.graphs.isomorphism_classes import class_log_likelihoods
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.read_off import read_off
from pyro_rm.target import Target
from pyro_rm.training.loop import train
from pyro_rm.training.schedules import warmup_cosine

_LEVELS = (0.0, 0.048, 0.12, 0.23, 0.37, 0.55, 0.76, 1.0)
_NUM_BUCKETS = 4


class GraphGenerator:
    """Learns an energy of graphs and their levels of noise, and draws graphs of the kind.

    A fit to a list of graphs, undirected or directed, of one size or of several, at several levels
    of noise [1]. The level of each graph is learned, too, as one more site
    (:class:`~pyro_rm.infer.NoiseLevels`), so that log probabilities are read off. For
    one network and the question why it is as it is, see
    :class:`~pyro_rm.graphs.RandomGraphModel`.

    :param energy: ``"relational"``, a :class:`~pyro_rm.energies.RelationalGraphEnergy`; or your
        own, called as ``energy(pairs, num_nodes, level)``, with ``num_levels`` and ``resized``.
    :param num_steps: Steps of training.
    :param num_walks: Return probabilities of random walks that nodes start from, for
        ``"relational"``; 4 where triangles and communities matter.
    :param num_neighbors: Pairs of each graph that a step of training compares.
    :param learning_rate: The largest one.
    :param weight_decay: Of the energy's parameters.
    :param num_sweeps: Sweeps to draw a graph, over all levels.
    :param is_valid: Graphs that fail are drawn again, such as :func:`networkx.is_connected`.
    :param progress: Whether to show progress bars.
    :raises TypeError: If the energy is neither a name nor a callable.
    :raises ValueError: If the name is unknown, or the energy has no levels.

    Fitted attributes: ``energy_``, ``levels_``, ``sizes_`` (nodes of the training graphs),
    ``densities_`` (of their edges by number of nodes) and ``training_``.

    Example:

        >>> graphs = [nx.cycle_graph(n) for n in (4, 5, 6)] * 4
        >>> generator = GraphGenerator(num_steps=3).fit(graphs)
        >>> [graph.is_directed() for graph in generator.sample(2)]
        [False, False]

    .. note:: A step of training costs ``num_neighbors + 1`` energies of a quarter of the graphs,
        and one a level; a drawn graph ``num_sweeps`` sweeps. Randomness is torch's.

    **References**

    [1] Chenhao Niu, Yang Song, Jiaming Song, Shengjia Zhao, Aditya Grover, Stefano Ermon
        (2020) "Permutation invariant graph generation via score-based generative modeling",
        AISTATS.
    """

    def __init__(
        self,
        energy: Any = "relational",
        *,
        num_steps: int = 700,
        num_walks: int = 0,
        num_neighbors: NumNeighbors = 8,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.3,
        num_sweeps: int = 16,
        is_valid: Callable[[nx.Graph], bool] | None = None,
        progress: bool = False,
    ) -> None:
        check_counts(num_steps=num_steps, num_sweeps=num_sweeps)
        if isinstance(energy, str) and energy != "relational":
            raise ValueError(f"Expected energy 'relational' or your own, but got {energy!r}.")
        if not isinstance(energy, str) and not callable(energy):
            raise TypeError(
                f"Expected energy 'relational' or a callable, but got {type(energy).__name__}."
            )
        if not isinstance(energy, str) and getattr(energy, "num_levels", None) is None:
            raise ValueError(
                "Expected an energy with num_levels, which takes a level as its last argument. "
                "Wrap it by pyro_rm.energies.with_levels."
            )
        self.energy = energy
        self.num_steps = num_steps
        self.num_walks = num_walks
        self.num_neighbors = num_neighbors
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.num_sweeps = num_sweeps
        self.is_valid = is_valid
        self.progress = progress

    def fit(
        self, graphs: Sequence[nx.Graph], *, checkpoint: str | Path | None = None
    ) -> GraphGenerator:
        """Learn from graphs.

        :param graphs: Graphs of one kind, directed or not, without self-loops.
        :param checkpoint: A file to resume from where it exists, and to write.
        :returns: The fitted generator.
        :raises TypeError: As :func:`~pyro_rm.graphs.encode_graphs`.
        :raises ValueError: As :func:`~pyro_rm.graphs.encode_graphs`, or if all have one node.
        """
        everything = encode_graphs(graphs)
        if everything.max_nodes < 2:
            raise ValueError("Expected graphs of two nodes or more, but all have one.")
        energy = self._energy_for(everything)
        self.energy_, self.directed_ = energy, everything.directed
        self.levels_ = _levels(energy.num_levels)
        self.sizes_, self.densities_ = everything.num_nodes, everything.densities()
        buckets = size_buckets([graph for graph in graphs if len(graph) > 1], _NUM_BUCKETS)
        num_pairs = torch.stack([bucket.active.sum() for bucket in buckets])

        def batch(step: int) -> tuple[Tensor, Tensor]:
            # small graphs are learned soon, and overfitted while large ones are still learned
            bucket = buckets[int(torch.multinomial(num_pairs.double(), 1))]
            return bucket.pairs, bucket.num_nodes

        optimizer = torch.optim.AdamW(
            energy.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        warmup = min(200, self.num_steps // 5)
        self.training_ = train(
            self._loss, optimizer, batch, num_steps=self.num_steps,
            schedule=warmup_cosine(optimizer, self.num_steps, num_warmup_steps=warmup),
            clip_norm=1.0, average=0.999, checkpoint=checkpoint, progress=self.progress,
        )  # fmt: skip
        return self

    def _energy_for(self, batch: GraphBatch) -> Any:
        if not isinstance(self.energy, str):
            if getattr(self.energy, "directed", False) != batch.directed:
                raise ValueError(
                    "Expected an energy of the same kind as the graphs, but one is directed and "
                    "the other is not."
                )
            return self.energy
        return RelationalGraphEnergy(
            batch.max_nodes, num_walks=self.num_walks, num_levels=len(_LEVELS),
            directed=batch.directed,
        )  # fmt: skip

    def _loss(self, pairs: Tensor, num_nodes: Tensor) -> Tensor:
        largest = int(num_nodes.max())
        model = self.energy_.resized(largest)
        active = active_pairs(num_nodes, largest, directed=self.directed_)
        level, background = self.levels_.draw(num_nodes.shape), self.densities_[num_nodes][:, None]
        noisy = self.levels_.corrupt(
            model.state_space, pairs, level, background=background, active=active
        )
        target = Target(model, model.state_space, (num_nodes,), active, self.levels_)
        estimator = Estimator(num_neighbors=self.num_neighbors)
        return estimator.joint_terms(target, level, target.on(level).bind(noisy)).value.mean()

    def sample(self, n: int = 1) -> list[nx.Graph]:
        """Draw graphs, of sizes like those of the training graphs.

        :param n: How many.
        :returns: Graphs on nodes 0, 1, ...; fewer, with a warning, if too many are not valid.
        :raises ValueError: If nothing was fitted.
        """
        self._check_fitted()
        check_counts(0, n=n)
        if n == 0:
            return []
        sizes = self.sizes_[torch.randint(len(self.sizes_), (n,))]
        levels = len(self.levels_)
        return generate_graphs(
            self.energy_, sizes, num_levels=levels, num_steps=max(1, self.num_sweeps // levels),
            densities=self.densities_, is_valid=self.is_valid, progress=self.progress,
        )  # fmt: skip

    def score_samples(self, graphs: Sequence[nx.Graph]) -> Tensor:
        """Exact log probabilities of the isomorphism classes of graphs, given their sizes.

        :param graphs: Undirected graphs of at most seven nodes: sums over all of their size.
        :returns: Shape ``(N,)``.
        :raises ValueError: If nothing was fitted, or a graph is larger.
        """
        self._check_fitted()
        check_graphs(graphs)
        return class_log_likelihoods(
            lambda pairs, sizes: self.energy_(pairs, sizes, torch.zeros_like(sizes)), graphs
        )

    def log_prob(self, graphs: Sequence[nx.Graph]) -> Tensor:
        """Log probabilities of graphs as their nodes are numbered, given their sizes.

        Read off the levels of noise (:func:`~pyro_rm.evaluation.read_off`): no sum over graphs and
        no chain, for graphs of any size. The probability of an isomorphism class is that of one of
        its graphs times the number of different ways to number the nodes.

        :param graphs: Graphs of the kind that was fitted.
        :returns: Shape ``(N,)``; the same at each call.
        :raises TypeError: As :func:`~pyro_rm.graphs.encode_graphs`.
        :raises ValueError: As :func:`~pyro_rm.graphs.encode_graphs`, if nothing was fitted, a
            graph is larger than all that were, or the levels do not go from 0 to 1.

        .. note:: Costs an energy a graph, and 4096 a size.
        """
        self._check_fitted()
        check_graphs(graphs, directed=self.directed_)
        result = torch.zeros(len(graphs))  # a single node has one graph
        with torch.no_grad(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(0)
            for size in sorted({len(graph) for graph in graphs} - {1}):
                rows = [row for row, graph in enumerate(graphs) if len(graph) == size]
                target = self._target_of(size)
                found = read_off(target)
                x = target.encode(encode_graphs([graphs[row] for row in rows]).pairs)
                result[rows] = (-target(x) - found.log_partition).to(result)
        return result

    def _target_of(self, size: int) -> Target:
        """The model of graphs of one size, with its levels."""
        if size >= len(self.densities_):
            raise ValueError(
                f"Expected graphs of at most {len(self.densities_) - 1} nodes, as the largest that "
                f"was fitted, but got one of {size}."
            )
        energy = _OfSize(self.energy_.resized(size), size)
        logit = self.densities_[size].logit().expand(energy.state_space.num_sites)
        background = IndependentSites(logit, energy.state_space)
        levels = replace(self.levels_, background=background)
        return Target(energy, energy.state_space, levels=levels)

    def _check_fitted(self) -> None:
        if not hasattr(self, "training_"):
            raise ValueError("Expected a fitted GraphGenerator, but it has seen no graphs.")

    def __repr__(self) -> str:
        return f"GraphGenerator({self.energy!r})"


class _OfSize:
    """An energy of graphs of one size, at level 0 unless another is given."""

    def __init__(self, energy: Any, size: int) -> None:
        self.energy, self.size = energy, size
        self.state_space, self.num_levels = energy.state_space, energy.num_levels

    def __call__(self, pairs: Tensor, level: Tensor | None = None) -> Tensor:
        sizes = torch.full(pairs.shape[:-1], self.size, device=pairs.device)
        energies: Tensor = self.energy(
            pairs, sizes, torch.zeros_like(sizes) if level is None else level
        )
        return energies


def _levels(count: int) -> NoiseLevels:
    """The default levels, or as many others in even steps."""
    if count == len(_LEVELS):
        return NoiseLevels(_LEVELS)
    return NoiseLevels(tuple(level / max(1, count - 1) for level in range(count)))
