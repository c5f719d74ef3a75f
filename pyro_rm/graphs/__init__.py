"""Graphs: one network explained, many encoded, generated from energies and compared."""

from pyro_rm.graphs.codec import (
    GraphBatch as GraphBatch,
)
from pyro_rm.graphs.codec import (
    active_pairs,
    decode_graphs,
    encode_graphs,
    size_buckets,
)
from pyro_rm.graphs.generation import generate_graphs
from pyro_rm.graphs.graph_energy import GraphEnergy
from pyro_rm.graphs.graph_generator import GraphGenerator
from pyro_rm.graphs.graph_term import GraphTerm
from pyro_rm.graphs.isomorphism_classes import class_log_likelihoods, novelty, uniqueness
from pyro_rm.graphs.metrics import (
    dominated_share,
    graph_mmd,
    graph_mmd_floor,
)
from pyro_rm.graphs.orbit_counts import orbit_counts
from pyro_rm.graphs.random_graph_model import RandomGraphModel
from pyro_rm.graphs.sets import community_graphs, ego_small
from pyro_rm.graphs.terms import GRAPH_TERMS, graph_term

__all__ = [
    "GRAPH_TERMS",
    "GraphEnergy",
    "GraphGenerator",
    "GraphTerm",
    "RandomGraphModel",
    "active_pairs",
    "class_log_likelihoods",
    "community_graphs",
    "decode_graphs",
    "dominated_share",
    "ego_small",
    "encode_graphs",
    "generate_graphs",
    "graph_mmd",
    "graph_mmd_floor",
    "graph_term",
    "novelty",
    "orbit_counts",
    "size_buckets",
    "uniqueness",
]
