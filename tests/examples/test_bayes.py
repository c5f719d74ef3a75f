"""The examples of posteriors, missing cells and conditional models run at their small size."""

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")


def test_bayesian_ising(run_example):
    results = run_example("bayesian_ising.py")
    assert len(results["eigenvalues"]) == 6
    assert 0.2 < results["weight"] < 1.5
    # both draw from one posterior: 12 differences, as large by chance in 1 of 1e7 seeds
    assert results["nuts_against_reweighted_guide"]["in_monte_carlo_errors"] < 6


def test_missing(run_example):
    results = run_example("missing.py")
    assert results["Ising model"]["accuracy"] > results["column mode"]["accuracy"]


def test_missing_in_a_file(run_example, tmp_path):
    rows = ["party,a,b,c"]
    rows += [
        f"{'left' if k % 2 else 'right'},{k % 2},{'' if k % 5 == 0 else k % 2},{k % 3 // 2}"
        for k in range(60)
    ]
    (tmp_path / "votes.csv").write_text("\n".join(rows))
    results = run_example("missing.py", "--data", str(tmp_path / "votes.csv"))
    assert set(results) == {"Ising model", "column mode", "logistic regression"}


def test_conditional(run_example):
    results = run_example("conditional.py")
    coupled = results["network fields, coupled"]["pixel_error"]
    assert coupled < results["noisy"]["pixel_error"]
