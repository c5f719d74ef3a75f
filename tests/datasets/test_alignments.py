"""Alignments are read in their formats; what is wrong in a file is said."""

import numpy as np
import pytest
import torch

from pyro_rm.datasets import read_alignment
from pyro_rm.datasets.alignments import AMINO_ACIDS


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_a2m_drops_insertions(tmp_path):
    path = write(tmp_path, "x.a2m", ">one\nAC.-\n>two some text\nAaC\nD\n")
    expected = [[1, 2, 0], [1, 2, 3]]
    assert read_alignment(path).codes.tolist() == expected


def test_fasta_takes_dots_for_gaps_and_any_case(tmp_path):
    path = write(tmp_path, "x.fasta", ">one\nA.X\n>two\nyyA\n")
    last = AMINO_ACIDS.index("Y")
    assert read_alignment(path).codes.tolist() == [[1, 0, 0], [last, last, 1]]


def test_npz_may_hold_distances(tmp_path):
    np.savez(tmp_path / "x.npz", msa=np.array([[0, 20]], dtype=np.uint8), dist_cb=np.eye(2))
    alignment = read_alignment(tmp_path / "x.npz")
    assert alignment.codes.dtype == torch.int64
    torch.testing.assert_close(alignment.distances, torch.eye(2))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.a2m", ">one\nAC\n>two\nACD\n", "of 2 positions, but 'two' in .*x.a2m has 3"),
        ("x.fasta", "AC\n", "found none in .*x.fasta"),
        ("x.sto", "", r"named \.a2m, .* but got .*x\.sto"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_alignment(write(tmp_path, name, text))


def test_npz_needs_an_alignment(tmp_path):
    np.savez(tmp_path / "x.npz", y=np.zeros(2))
    with pytest.raises(ValueError, match=r"'msa' in .*x\.npz, but got \['y'\]"):
        read_alignment(tmp_path / "x.npz")
    np.savez(tmp_path / "z.npz", msa=np.zeros(2))
    with pytest.raises(ValueError, match=r"shape \(N, L\)"):
        read_alignment(tmp_path / "z.npz")
