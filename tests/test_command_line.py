"""The command line: files that it writes, and what it says where something is wrong."""

import csv
import json

import networkx as nx
import numpy as np
import pytest

import pyro_rm.__main__
from pyro_rm.__main__ import main
from pyro_rm.networks import IsingNetwork, PottsNetwork

pytest.importorskip("matplotlib")


@pytest.fixture
def table(tmp_path):
    """Two pairs of columns that go together, with labels, weights and blanks."""
    generator = np.random.default_rng(0)
    x = (generator.random((400, 4)) < 0.5).astype(float)
    x[:, 1] = np.where(generator.random(400) < 0.85, x[:, 0], x[:, 1])
    x[:, 3] = np.where(generator.random(400) < 0.85, 1 - x[:, 2], x[:, 3])
    x[generator.random(x.shape) < 0.02] = np.nan
    path = tmp_path / "answers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["person", "sex", "a", "b", "c", "d", "times"])
        for number, row in enumerate(x):
            cells = ["" if cell != cell else int(cell) for cell in row]
            writer.writerow([number, "fm"[number % 2], *cells, 1 + number % 2])
    return path, x


def read_edges(folder):
    with (folder / "edges.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_ising_writes_what_a_network_says(table, tmp_path, capsys):
    path, x = table
    out = tmp_path / "out"
    options = ["--drop", "person", "sex", "--weights", "times", "--out", str(out)]
    assert main(["ising", str(path), *options]) == 0
    edges = read_edges(out)
    network = IsingNetwork(random_state=0).fit(x, sample_weight=1 + np.arange(400) % 2)
    assert {(e["source"], e["target"]) for e in edges} == {("a", "b"), ("c", "d")}
    found = sorted(float(e["coupling"]) for e in edges)
    np.testing.assert_allclose(found, sorted(network.weights_))
    assert all(float(e["lower"]) < float(e["coupling"]) < float(e["upper"]) for e in edges)
    assert all(float(e["standard_error"]) > 0 for e in edges)
    results = json.loads((out / "results.json").read_text())
    assert results["num_rows"] == 400
    assert results["num_blanks"] == int(np.isnan(x).sum())
    assert results["num_edges"] == 2
    assert results["score"] == pytest.approx(network.score(x))
    assert (out / "network.png").stat().st_size > 1000
    assert "a - b" in (out / "report.txt").read_text()
    assert "2 couplings" in capsys.readouterr().out
    again = IsingNetwork.load(out / "network.pt")
    np.testing.assert_array_equal(again.weights_, network.weights_)


def test_groups_have_networks_of_their_own(table, tmp_path):
    path, x = table
    out = tmp_path / "out"
    options = ["--drop", "person", "times", "--group", "sex", "--out", str(out)]
    assert main(["ising", str(path), *options]) == 0
    for first, group in enumerate("fm"):
        network = IsingNetwork(random_state=0).fit(x[first::2])
        found = sorted(float(e["coupling"]) for e in read_edges(out / group))
        np.testing.assert_allclose(found, sorted(network.weights_))


def test_a_check_tells_a_right_network_from_a_wrong_one(table, tmp_path, capsys):
    path, x = table
    keep = ["--drop", "person", "sex", "times", "--out", str(tmp_path)]
    assert main(["ising", str(path), *keep]) == 0
    assert main(["check", str(tmp_path / "network.pt"), str(path), *keep]) == 0
    assert "No difference" in capsys.readouterr().out
    complete = np.nan_to_num(x)
    wrong = IsingNetwork(graph=None, selection=None).fit(complete)
    wrong.energy_.weight.mul_(-1)
    wrong.save(tmp_path / "wrong.pt")
    assert main(["check", str(tmp_path / "wrong.pt"), str(path), *keep]) == 1
    assert "Not right" in capsys.readouterr().out


def test_potts_of_an_alignment(tmp_path):
    generator = np.random.default_rng(1)
    letters = generator.integers(0, 3, (150, 4))
    letters[:, 2] = np.where(generator.random(150) < 0.9, letters[:, 0], letters[:, 2])
    path = tmp_path / "family.fasta"
    rows = ("".join("ACD"[k] for k in row) for row in letters)
    path.write_text("".join(f">{n}\n{row}\n" for n, row in enumerate(rows)))
    assert main(["potts", str(path), "--out", str(tmp_path)]) == 0
    first = read_edges(tmp_path)[0]
    assert (first["source"], first["target"]) == ("0", "2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ising", "nowhere.csv"], "error: Expected a CSV file at nowhere.csv"),
        (["ising", "FILE"], "hint: --drop COLUMN"),
        (["ising", "FILE", "--weights", "age"], "Expected weights in one of the columns"),
        (["ising", "FILE", "--code", "yes"], "Expected --code WORD=NUMBER"),
        (["potts", "nowhere.fasta"], "error: Expected an alignment at nowhere.fasta"),
    ],
)
def test_what_is_wrong_is_said_in_words(table, capsys, words, message):
    words = [str(table[0]) if word == "FILE" else word for word in words]
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_words_are_categories_beside_codes(tmp_path, capsys):
    path = tmp_path / "words.csv"
    cells = [("red", "3", "low"), ("blue", "1", "n/a"), ("red", "2", "high"), ("green", "1", "low")]
    path.write_text("color,steps,mood\n" + "\n".join(map(",".join, 20 * cells)) + "\n")
    words = ["--words", "color", "mood", "--out", str(tmp_path)]
    assert main(["potts", str(path), *words]) == 0
    network = PottsNetwork.load(tmp_path / "network.pt")
    own = dict(zip(network.feature_names_in_.tolist(), network.labels_, strict=True))
    assert list(own["color"]) == ["blue", "green", "red"]
    assert list(own["mood"]) == ["high", "low"]
    assert network.num_missing_ == 20
    assert main(["check", str(tmp_path / "network.pt"), str(path), *words]) in (0, 1)
    assert main(["potts", str(path), "--words", "color", "steps", "mood", *words[3:]]) == 0
    capsys.readouterr()
    assert main(["potts", str(path), "--drop", "steps"]) == 2
    assert "--words COLUMN ..." in capsys.readouterr().err


def test_words_have_numbers_by_code(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("a,b\n" + 30 * "yes,no\nno,yes\nyes,yes\nno,no\nno,yes\nyes,no\nno,yes\n")
    options = ["--code", "yes=1", "no=0", "--out", str(tmp_path)]
    assert main(["ising", str(path), *options]) == 0
    (edge,) = read_edges(tmp_path)
    assert float(edge["coupling"]) < 0


WRITERS = {
    "graphml": nx.write_graphml,
    "gml": nx.write_gml,
    "g6": nx.write_graph6,
    "s6": nx.write_sparse6,
    "txt": nx.write_edgelist,
}


def test_graphs_are_read_by_suffix_learned_and_drawn(tmp_path, capsys):
    for number, (suffix, write) in enumerate(WRITERS.items()):
        write(nx.cycle_graph(4 + number), tmp_path / f"graph.{suffix}")
    files = [str(tmp_path / f"graph.{suffix}") for suffix in WRITERS]
    options = ["--num-samples", "3", "--steps", "2", "--out", str(tmp_path / "out")]
    assert main(["graphs", *files, *options]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["num_graphs"] == 5
    assert results["data"] == {"nodes": 6, "edges": 6}
    drawn = [nx.read_graphml(path) for path in sorted((tmp_path / "out").glob("*.graphml"))]
    assert len(drawn) == 3
    assert results["samples"]["nodes"] == sum(map(len, drawn)) / 3
    assert results["samples"]["edges"] == sum(graph.number_of_edges() for graph in drawn) / 3
    assert "5 graphs learned, 3 drawn" in capsys.readouterr().out


def test_an_interrupted_command_says_so(monkeypatch, table, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pyro_rm.__main__, "_ising", interrupted)
    assert main(["ising", str(table[0])]) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_separated_couplings_are_counted(tmp_path, capsys):
    path = tmp_path / "answers.csv"
    path.write_text("a,b,c\n" + 20 * "1,1,0\n0,0,1\n0,1,1\n0,0,0\n0,1,0\n")
    assert main(["ising", str(path), "--out", str(tmp_path)]) == 0
    separated = IsingNetwork.load(tmp_path / "network.pt").separated_
    assert len(separated)
    message = f"{len(separated)} of them have no finite estimate (separation)."
    assert message in capsys.readouterr().out


def test_a_check_of_what_is_no_network_is_refused(tmp_path, capsys):
    path = tmp_path / "network.pt"
    path.write_text("not a network")
    assert main(["check", str(path), "nowhere.csv"]) == 2
    assert "error: Expected" in capsys.readouterr().err
