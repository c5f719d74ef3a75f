"""The network examples run, and write what they promise."""

import pytest
import torch

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")


def test_ising_on_a_lattice(run_example):
    """4 x 4 sites, 2000 data: couplings within 0.03, an edge or two too many at most."""
    results = run_example("ising.py")
    assert results["support_f1"] > 0.9
    assert results["neg_log_rmse"] > 4.5
    assert results["seconds"] > 0


def test_ising_on_a_table(run_example, tmp_path):
    path = tmp_path / "x.csv"
    x = torch.randint(2, (300, 3))
    x[:, 1] = torch.where(torch.rand(300) < 0.8, x[:, 0], x[:, 1])
    rows = [",".join(map(str, row)) for row in x.tolist()]
    path.write_text("\n".join(["a,b,c", *rows, "1,1,", "0,,0"]))
    results = run_example("ising.py", "--data", str(path))
    assert results["num_edges"] >= 1


@pytest.mark.parametrize("blanks", ["0", "0.2"])
def test_evidence(run_example, blanks):
    """5 sites, 2 sets of 500: the mean log probability of 20 edges is far above chance."""
    results = run_example("evidence.py", "--blanks", blanks)
    assert abs(results["log_score"] - results["log_score_exact"]) < 0.05
    assert results["log_score"] > -0.6
    assert results["false_edges_per_set"] <= 2
    assert {"share_true_above_90", "seconds_per_set"} < set(results)


def test_votes(run_example):
    results = run_example("votes.py")
    assert results["num_rows"] == 200
    assert results["num_blanks"] > 0
    assert all(edge["lower"] < edge["weight"] < edge["upper"] for edge in results["edges"])


def test_contacts(run_example):
    results = run_example("contacts.py")
    assert results["precision_at_L5"] > 0.8
    assert results["precision_at_L"] < 12.1 / 30  # there are twelve contacts
    assert len(results["pairs"]) == results["num_positions"]
