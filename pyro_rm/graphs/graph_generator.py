"""Many graphs learned, and more of them generated: the front door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_graphs
from pyro_rm.energies import RelationalGraphEnergy
from pyro_rm.estimator_options import NumNeighbors
from pyro_rm.estimators import Estimator
from pyro_rm.graphs.codec import GraphBatch, encode_graphs, of_similar_size
from pyro_rm.graphs.generation import generate_graphs
from pyro_rm.graphs.graph_types import GraphTypes
from pyro_rm.graphs.isomorphism_classes import class_log_likelihoods
from pyro_rm.graphs.one_size import exact_log_partition, target_of_size
from pyro_rm.noise_levels import NoiseLevels
from pyro_rm.read_off import read_off
from pyro_rm.target import Target
from pyro_rm.training.loop import train
from pyro_rm.training.schedules import warmup_cosine

_LEVELS = (0.0, 0.048, 0.12, 0.23, 0.37, 0.55, 0.76, 1.0)
_NUM_BUCKETS = 4


class GraphGenerator:
    """Learns an energy of graphs and their levels of noise, and draws graphs of the kind.

    A fit to a list of graphs, undirected or directed, of one size or of several, whose nodes and
    edges may have categories, as atoms and bonds of molecules have, at several levels
    of noise [1]. The level of each graph is learned, too, as one more site
    (:class:`~pyro_rm.infer.NoiseLevels`), so that log probabilities are read off. For
    one network and the question why it is as it is, see
    :class:`~pyro_rm.graphs.RandomGraphModel`.

    :param energy: ``"relational"``, a :class:`~pyro_rm.energies.RelationalGraphEnergy`; or your
        own, called as ``energy(pairs, num_nodes, level)``, with ``num_levels`` and ``resized``.
    :param node_attribute: Name of the node attribute whose categories are learned; None: none.
    :param edge_attribute: Name of the edge attribute whose categories are learned; None: none.
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
    ``densities_`` (of their edges by number of nodes), ``types_`` (categories, in the order of
    the alphabet) and ``training_``.

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
        node_attribute: str | None = None,
        edge_attribute: str | None = None,
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
        self.node_attribute, self.edge_attribute = node_attribute, edge_attribute
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
        :raises ValueError: As :func:`~pyro_rm.graphs.encode_graphs`, if all have one node, or an
            attribute is missing.
        """
        everything = encode_graphs(graphs)
        if everything.max_nodes < 2:
            raise ValueError("Expected graphs of two nodes or more, but all have one.")
        self.types_ = GraphTypes.fit(
            graphs, node_attribute=self.node_attribute, edge_attribute=self.edge_attribute
        )
        energy = self._energy_for(everything)
        self.energy_, self.directed_ = energy, everything.directed
        self.levels_ = _levels(energy.num_levels)
        self.sizes_, self.densities_ = everything.num_nodes, everything.densities()
        informative = [graph for graph in graphs if len(graph) > 1 or self.types_.nodes]
        parts = of_similar_size(informative, _NUM_BUCKETS)
        buckets = [(self.types_.encode(p), torch.tensor([len(g) for g in p])) for p in parts]
        num_sites = torch.stack([self._active(sizes).sum() for _, sizes in buckets]).double()

        def batch(step: int) -> tuple[Tensor, Tensor]:
            # small graphs are learned soon, and overfitted while large ones are still learned
            return buckets[int(torch.multinomial(num_sites, 1))]

        optimizer = torch.optim.AdamW(
            energy.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        warmup = min(200, self.num_steps // 5)
        self.training_ = train(
            self._loss, optimizer, batch, num_steps=self.num_steps,
            schedule=warmup_cosine(optimizer, self.num_steps, num_warmup_steps=warmup),
            clip_norm=1.0, average=0.999, checkpoint=checkpoint, progress=self.progress,
            stateful=[self.types_],
        )  # fmt: skip
        return self

    def _energy_for(self, batch: GraphBatch) -> Any:
        if not isinstance(self.energy, str):
            if getattr(self.energy, "directed", False) != batch.directed:
                raise ValueError(
                    "Expected an energy of the same kind as the graphs, but one is directed and "
                    "the other is not."
                )
            space = self.types_.space(batch.max_nodes, directed=batch.directed)
            own = self.energy.resized(batch.max_nodes).state_space
            if own != space:
                raise ValueError(f"Expected an energy on {space}, as of the graphs, but got {own}.")
            return self.energy
        types = self.types_
        return RelationalGraphEnergy(
            batch.max_nodes, num_walks=self.num_walks, num_levels=len(_LEVELS),
            directed=batch.directed, num_node_types=len(types.nodes),
            num_edge_types=len(types.edges),
        )  # fmt: skip

    def _active(self, num_nodes: Tensor) -> Tensor:
        """Sites of graphs that are padded to the largest of them."""
        return self.types_.active(num_nodes, int(num_nodes.max()), directed=self.directed_)

    def _loss(self, data: Tensor, num_nodes: Tensor) -> Tensor:
        largest, active = int(num_nodes.max()), self._active(num_nodes)
        model = self.energy_.resized(largest)
        level = self.levels_.draw(num_nodes.shape)
        background = self.types_.background(
            self.densities_[num_nodes], largest, directed=self.directed_
        )
        noisy = self.levels_.corrupt(
            model.state_space, data, level, background=background, active=active
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
            densities=self.densities_, types=self.types_, is_valid=self.is_valid,
            progress=self.progress,
        )  # fmt: skip

    def score_samples(self, graphs: Sequence[nx.Graph]) -> Tensor:
        """Exact log probabilities of the isomorphism classes of graphs, given their sizes.

        :param graphs: Undirected graphs of at most seven nodes: sums over all of their size. With
            categories, over all numbered graphs, at most 2 ** 22 of a size.
        :returns: Shape ``(N,)``.
        :raises ValueError: If nothing was fitted, or a graph is larger.
        """
        self._check_fitted()
        check_graphs(graphs)
        if self.types_.node_attribute is None and self.types_.edge_attribute is None:
            return class_log_likelihoods(
                lambda pairs, sizes: self.energy_(pairs, sizes, torch.zeros_like(sizes)), graphs
            )
        return self._log_probs(graphs, exact_log_partition) + self.types_.log_numberings(graphs)

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
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(0)
            return self._log_probs(graphs, lambda target: read_off(target).log_partition)

    @torch.no_grad()
    def _log_probs(
        self, graphs: Sequence[nx.Graph], partition: Callable[[Target], Tensor]
    ) -> Tensor:
        result = torch.zeros(len(graphs))  # a single node without categories has one graph
        for size in sorted({len(graph) for graph in graphs}):
            if size > 1 or self.types_.nodes:
                rows = [row for row, graph in enumerate(graphs) if len(graph) == size]
                target = self._target_of(size)
                x = target.encode(self.types_.encode([graphs[row] for row in rows]))
                result[rows] = (-target(x) - partition(target)).to(result)
        return result

    def _target_of(self, size: int) -> Target:
        """The model of graphs of one size, with its levels."""
        if size >= len(self.densities_):
            raise ValueError(
                f"Expected graphs of at most {len(self.densities_) - 1} nodes, as the largest that "
                f"was fitted, but got one of {size}."
            )
        return target_of_size(
            self.energy_, size, types=self.types_, density=self.densities_[size],
            levels=self.levels_,
        )  # fmt: skip

    def _check_fitted(self) -> None:
        if not hasattr(self, "training_"):
            raise ValueError("Expected a fitted GraphGenerator, but it has seen no graphs.")

    def __repr__(self) -> str:
        return f"GraphGenerator({self.energy!r})"


def _levels(count: int) -> NoiseLevels:
    """The default levels, or as many others in even steps."""
    if count == len(_LEVELS):
        return NoiseLevels(_LEVELS)
    return NoiseLevels(tuple(level / max(1, count - 1) for level in range(count)))
