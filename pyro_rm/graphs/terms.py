"""Terms by name, and several of them together."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_rm.graphs import attribute_terms, degree_terms, triad_terms
from pyro_rm.graphs.edge_sets import EdgeSets, Pairs
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.nodes import Array, Nodes

GRAPH_TERMS: Mapping[str, type[GraphTerm]] = {
    "absdiff": attribute_terms.AbsoluteDifference,
    "b1cov": attribute_terms.PartCovariate,
    "b1star": degree_terms.FirstPartStars,
    "b2cov": attribute_terms.SecondPartCovariate,
    "b2star": degree_terms.SecondPartStars,
    "ctriple": triad_terms.CyclicTriples,
    "degree": degree_terms.NodesOfDegree,
    "edgecov": attribute_terms.EdgeCovariate,
    "edges": attribute_terms.Edges,
    "gwb1degree": degree_terms.FirstPartWeightedDegree,
    "gwb2degree": degree_terms.SecondPartWeightedDegree,
    "gwdegree": degree_terms.WeightedDegree,
    "gwdsp": triad_terms.DyadwisePartners,
    "gwesp": triad_terms.EdgewisePartners,
    "gwidegree": degree_terms.WeightedInDegree,
    "gwodegree": degree_terms.WeightedOutDegree,
    "isolates": degree_terms.Isolates,
    "istar": degree_terms.InStars,
    "kstar": degree_terms.Stars,
    "mutual": triad_terms.Mutual,
    "nodecov": attribute_terms.NodeCovariate,
    "nodefactor": attribute_terms.NodeFactor,
    "nodeicov": attribute_terms.ReceiverCovariate,
    "nodeifactor": attribute_terms.ReceiverFactor,
    "nodematch": attribute_terms.NodeMatch,
    "nodemix": attribute_terms.NodeMix,
    "nodeocov": attribute_terms.SenderCovariate,
    "nodeofactor": attribute_terms.SenderFactor,
    "ostar": degree_terms.OutStars,
    "receiver": attribute_terms.Receiver,
    "sender": attribute_terms.Sender,
    "triangle": triad_terms.Triangles,
    "triangles": triad_terms.Triangles,
    "ttriple": triad_terms.TransitiveTriples,
}
"""Classes of terms by the name that field users know them by."""


def graph_term(text: str) -> GraphTerm:
    """The term that a text such as ``"gwesp(0.5)"`` stands for.

    :param text: A name of :data:`~pyro_rm.graphs.GRAPH_TERMS`, with arguments in parentheses if it
        takes any.
    :returns: The term.
    :raises ValueError: If the name is unknown, or the arguments do not fit.

    Example:

        >>> graph_term("nodematch('club')")
        NodeMatch(attribute='club', diff=False)
    """
    if not isinstance(text, str):
        raise TypeError(f"Expected terms as text or as GraphTerm, but got {type(text).__name__}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        name = call.func.id  # type: ignore[attr-defined]
        arguments = [ast.literal_eval(each) for each in call.args]
        options = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError, AttributeError) as error:
        raise ValueError(
            f"Expected a term such as 'edges', 'gwesp(0.5)' or \"nodematch('club')\", but got "
            f"{text!r}."
        ) from error
    if name not in GRAPH_TERMS:
        raise ValueError(f"Expected a term of {sorted(GRAPH_TERMS)}, but got {name!r}.")
    try:
        return GRAPH_TERMS[name](*arguments, **options)
    except TypeError as error:
        raise ValueError(f"Expected other arguments of {text!r}: {error}.") from error


class Terms:
    """Terms of a model on the nodes of a network: their statistics side by side.

    :param given: Texts, or terms.
    :param nodes: The nodes.
    :raises TypeError: If one is neither.
    :raises ValueError: If there are none, one is given twice, or one does not fit the graph.
    """

    def __init__(self, given: Sequence[str | GraphTerm], nodes: Nodes) -> None:
        self.nodes = nodes
        self.terms: list[GraphTerm] = []
        self.labels: list[str] = []
        self._columns: list[int | slice] = []
        for each in given:
            self._append(each)
        if not self.labels:
            raise ValueError("Expected at least one term, but got none.")
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"Expected different terms, but got {twice[0]!r} more than once.")

    def _append(self, given: str | GraphTerm) -> None:
        term = given if isinstance(given, GraphTerm) else graph_term(given)
        name = given.strip() if isinstance(given, str) else type(given).__name__
        if self.nodes.kind not in term.kinds:
            raise ValueError(
                f"Expected terms for {self.nodes.kind} graphs, but {name} is for "
                f"{' and '.join(term.kinds)} ones."
            )
        start, labels = len(self.labels), term.labels(self.nodes)
        self.terms.append(term)
        self.labels += [f"{name}[{label}]" if label else name for label in labels]
        single = labels == [""]
        self._columns.append(start if single else slice(start, start + len(labels)))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def dyadic(self) -> bool:
        """Whether all of them depend on the two nodes of an edge alone."""
        return all(term.dyadic for term in self.terms)

    def change(self, pairs: Pairs) -> Array:
        """Change statistics, ``(len(pairs), K)``; 0 where an attribute is missing."""
        result = np.empty((len(pairs), len(self)))
        for term, column in zip(self.terms, self._columns, strict=True):
            result[:, column] = term.change(pairs)
        result[np.isnan(result)] = 0
        return result

    def value(self, graph: EdgeSets) -> Array:
        """Statistics of each copy, ``(copies, K)``."""
        result = np.empty((graph.num_copies, len(self)))
        for term, column in zip(self.terms, self._columns, strict=True):
            if term.dyadic:
                i, j = graph.edges()
                change: Any = np.nan_to_num(term.change(Pairs(graph, i, j)))
                result[:, column] = graph.sums(i, change)
            else:
                result[:, column] = term.value(graph)
        return result

    def known(self, pairs: Pairs) -> Array:
        """Whether both nodes have all attributes that terms ask for, ``(len(pairs),)``."""
        result = np.ones(len(pairs), dtype=bool)
        for term in self.terms:
            if term.dyadic:
                change = term.change(pairs)
                result &= ~np.isnan(change if change.ndim == 1 else change.sum(1))
        return result
