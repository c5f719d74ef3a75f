"""The sets of graphs are what their recipes say."""

import gzip

import networkx as nx
import numpy as np
import pytest

from pyro_rm.graphs import community_graphs, ego_small


def test_ego_small_is_the_published_set(real_data):
    train, test = ego_small(real_data / "graphs" / "citeseer_edges.csv.gz")
    with np.load(real_data / "graphs" / "ego_small.npz") as stored:
        matrices, sizes = stored["adj"], stored["n"]
        split = stored["test_idx"].tolist(), stored["train_idx"].tolist()
    for ours, indices in zip((test, train), split, strict=True):
        assert len(ours) == len(indices)
        for graph, index in zip(ours, indices, strict=True):
            n = sizes[index]
            assert nx.is_isomorphic(graph, nx.from_numpy_array(matrices[index][:n, :n]))


@pytest.mark.parametrize("text", [
    "u,v\n0,1\n1,2\n1,3\n1,4\n4,4\n", "\ufeffu\tv\r\n0\t1\r\n1\t2\r\n1\t3\r\n1\t4\r\n",
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_too_small_a_network_is_refused(tmp_path, text, suffix):
    path = tmp_path / f"edges.csv{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix else text.encode())
    with pytest.raises(ValueError, match=r"200 ego graphs of 4 to 18 nodes, but .* has 1"):
        ego_small(path)


@pytest.mark.parametrize("row", ["1,", "1,2.5", "1,x", "1,2,3", "1"])
def test_rows_that_are_not_edges_are_refused(tmp_path, row):
    path = tmp_path / "edges.csv"
    path.write_text(f"u,v\n0,1\n{row}\n")
    with pytest.raises(ValueError, match=r"Expected .*edges\.csv"):
        ego_small(path)


def test_community_graphs():
    graphs = community_graphs(30, sizes=(12, 16))
    assert {len(graph) for graph in graphs} == {12, 16}
    for graph in graphs:
        half = len(graph) // 2
        bridges = sum((u < half) != (v < half) for u, v in graph.edges)
        assert bridges == 1
    density = np.mean([g.number_of_edges() / (len(g) * (len(g) / 2 - 1) / 2) for g in graphs])
    assert abs(density - 0.7) < 0.1  # more than five standard errors
