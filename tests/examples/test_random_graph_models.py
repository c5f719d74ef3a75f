"""The example of random graph models runs, and writes what it promises."""

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")


def test_random_graph_models(run_example):
    results = run_example("random_graph_models.py")
    assert set(results) == {"florentine", "karate"}
    assert set(results["karate"]["terms"]) >= {"edges", "nodematch('club')"}
    assert results["florentine"]["terms"]["edges"]["estimate"] < 0
