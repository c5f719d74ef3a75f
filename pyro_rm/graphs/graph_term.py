"""What a term of a graph model is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.nodes import KINDS, Array, Nodes


class GraphTerm(ABC):
    r"""A statistic :math:`s(x)` of graphs, or a few, whose coefficients a model learns.

    A subclass says what adding an edge changes, whether or not it is there,

    .. math:: \Delta_{ij}(x) = s(x \cup \{ij\}) - s(x \setminus \{ij\}),

    and, unless that depends on the nodes alone, the statistic itself.
    :func:`pyro_rm.testing.check_graph_term` compares the two by brute force.

    Class attributes: ``kinds``, the kinds of graphs that it is for; ``dyadic``, whether the
    change depends on the nodes alone.

    Example:

        >>> class Loners(GraphTerm):  # nodes without edges, of undirected graphs
        ...     kinds = ("undirected",)
        ...     def change(self, pairs):
        ...         degree = pairs.graph.out.degree
        ...         return sum(-1.0 * (degree[ends] == pairs.there) for ends in (pairs.i, pairs.j))
        ...     def value(self, graph):
        ...         return (graph.out.degree == 0).reshape(graph.num_copies, -1).sum(1)
        >>> from pyro_rm.testing import check_graph_term
        >>> check_graph_term(Loners())
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS
    dyadic: ClassVar[bool] = False

    def labels(self, nodes: Nodes) -> list[str]:
        """What tells its statistics apart; one empty label if there is one.

        :param nodes: Their attributes decide, for instance by their levels.
        """
        return [""]

    @abstractmethod
    def change(self, pairs: Pairs) -> Array:
        """Change statistics, ``(len(pairs),)``, or ``(len(pairs), len(labels))`` if it has more.

        NaN where an attribute of a node is missing: such pairs are held fixed.

        :param pairs: Pairs of nodes ``i`` and ``j`` of a ``graph``, and whether edges are there.
        """

    def value(self, graph: EdgeSets) -> Array:
        """The statistic of each copy, ``(copies,)`` or ``(copies, len(labels))``.

        :param graph: Copies of a network.
        """
        if not self.dyadic:
            raise NotImplementedError(
                f"Expected {type(self).__name__} to have a method value, as its change depends on "
                "other edges. Write one, or set dyadic = True if it does not."
            )
        i, j = graph.edges()
        return graph.sums(i, self.change(Pairs(graph, i, j)))
