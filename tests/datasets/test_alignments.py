"""Alignments are read by content, with one rule for every byte; what is wrong in a file is said."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pytest
import torch

from pyro_rm.datasets import read_alignment
from pyro_rm.datasets.alignments import AMINO_ACIDS

FASTA = ">s1\nACD\n>s2 of a kind\nA-D\n"
CODES = [[1, 2, 3], [1, 0, 3]]


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def codes(folder, name, text, **options):
    return read_alignment(write(folder, name, text), **options).codes.tolist()


NAMES = ["x.fasta", "x.FASTA", "x.A3M", "x.a2m", "x.afa", "x.fa", "x.txt", "x", "x.aln"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", [
    FASTA, "\ufeff" + FASTA, FASTA.replace("\n", "\r\n"), FASTA.replace("\n", "\r"),
    "\n\n" + FASTA + "\n", "#A3M#\n" + FASTA, FASTA.replace("ACD", "A C\tD \n\n"),
    FASTA.encode("utf-16"),
])  # fmt: skip
def test_fasta_by_any_name(tmp_path, name, text):
    alignment = read_alignment(write(tmp_path, name, text))
    assert alignment.codes.tolist() == CODES
    assert alignment.names == ["s1", "s2 of a kind"]
    assert alignment.alphabet == AMINO_ACIDS


@pytest.mark.parametrize("name", ["x.fasta", "x.a3m", "x.sto", "x.aln"])
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_compressed_files(tmp_path, name, suffix):
    text = {"x.sto": STOCKHOLM, "x.aln": "ACD\nA-D\n"}.get(name, FASTA).encode()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path = write(tmp_path, name + suffix, pack.get(suffix, bytes)(text))
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, text)
    assert read_alignment(path).codes.tolist() == CODES


STOCKHOLM = "# STOCKHOLM 1.0\n#=GF ID x\n\ns1 ACD\ns2   A-D\n#=GC RF xxx\n//\n"
CLUSTAL = "CLUSTAL W (1.83) multiple sequence alignment\n\n\ns1  ACD 3\ns2  A-D 2\n    * *\n"


@pytest.mark.parametrize("text", [
    STOCKHOLM,
    "# STOCKHOLM 1.0\ns1 A\ns2 A\n\ns1 CD\n#=GR s1 SS HH\ns2 -D\n//\n\n",
    STOCKHOLM.replace("-", "."),
    CLUSTAL,
    "MUSCLE (3.8) multiple sequence alignment\n\ns1 AC\ns2 A-\n   *\n\ns1 D\ns2 D\n   *\n",
    "CLUSTAL O(1.2.4)\r\n\r\ns1 ACD\r\ns2 A-D\r\n",
])  # fmt: skip
@pytest.mark.parametrize("name", ["x.sto", "x.aln", "x.stockholm", "x.txt"])
def test_interleaved_formats(tmp_path, text, name):
    alignment = read_alignment(write(tmp_path, name, text))
    assert (alignment.codes.tolist(), alignment.names) == (CODES, ["s1", "s2"])


def test_numbers_of_residues_are_compared(tmp_path):
    text = CLUSTAL + "\ns1  E-  4\ns2  E-  3\n    *\n"
    assert codes(tmp_path, "x.aln", text) == [[*row, 4, 0] for row in CODES]
    with pytest.warns(UserWarning, match="other numbers of residues .* 1 lines, first of line 9"):
        codes(tmp_path, "x.aln", text.replace("s2  E-", "s2  --"))


@pytest.mark.parametrize("text", ["ACD\nA-D\n", "\nACD\n\nA.D", " ACD \r\nA-D\t\r\n"])
def test_one_sequence_a_line(tmp_path, text):
    alignment = read_alignment(write(tmp_path, "x.aln", text))
    assert (alignment.codes.tolist(), alignment.names) == (CODES, None)


def test_a2m_drops_insertions(tmp_path):
    text = ">one\nAC.-\n>two some text\nAaC\nD\n"
    assert codes(tmp_path, "x.a2m", text) == [[1, 2, 0], [1, 2, 3]]
    assert codes(tmp_path, "x.A3M", text) == [[1, 2, 0], [1, 2, 3]]
    text = text.replace(".", "")
    with pytest.warns(UserWarning, match="is read as A3M, .* 1 letters in lower case and dots"):
        assert codes(tmp_path, "x.fasta", text) == [[1, 2, 0], [1, 2, 3]]


@pytest.mark.parametrize("letters", ["BJOUXZ", "bjouxz", ".-"])
def test_ambiguous_letters_are_gaps_and_case_does_not_count(tmp_path, letters):
    last = AMINO_ACIDS.index("Y")
    text = f">one\nAC{letters}\n>two\nyY{'a' * len(letters)}\n"
    assert codes(tmp_path, "x.fasta", text) == [
        [1, 2] + [0] * len(letters), [last, last] + [1] * len(letters)
    ]  # fmt: skip


@pytest.mark.parametrize("alphabet", ["-ACGT", "ACGT-", "TG-CA", ".ACGT", "-acgt", "-ACGTN"])
def test_alphabets_in_any_order(tmp_path, alphabet):
    letters = alphabet.upper().replace(".", "-")
    expected = [[letters.index(letter) for letter in "TGCA-"]]
    assert codes(tmp_path, "x.fasta", ">s\nTGca-\n", alphabet=alphabet) == expected
    if "N" in letters:
        assert codes(tmp_path, "x.fasta", ">s\nNAR\n", alphabet=alphabet) == [[5, 1, 0]]


def test_nucleotides_have_their_own_ambiguous_letters(tmp_path):
    text = ">s\nRYKMSWBDHVNX-A\n"
    assert codes(tmp_path, "x.fasta", text, alphabet="-ACGT") == [[0] * 13 + [1]]
    for wrong in "UEJ":
        with pytest.raises(ValueError, match=rf"got '{wrong}' in sequence 's' .*the alphabet"):
            codes(tmp_path, "x.fasta", f">s\nA{wrong}\n", alphabet="-ACGT")
    assert codes(tmp_path, "x.fasta", ">s\n01-\n", alphabet="-01") == [[1, 2, 0]]
    with pytest.raises(ValueError, match="got 'X' in sequence"):
        codes(tmp_path, "x.fasta", ">s\n0X\n", alphabet="-01")


@pytest.mark.parametrize(
    ("alphabet", "text", "message"),
    [
        ("ACGT", "A-CG", r"'-' in sequence 's' .* has no gap: put '-'"),
        ("ACGT", "A.CG", r"'\.' in sequence 's' .* has no gap: put '-'"),
        ("ACGT", "ANCG", "'N' in sequence 's' .* ambiguous.*'-' is the first letter"),
        ("ACGT-", "ANCG", "'N' in sequence 's' .* ambiguous.*'-' is the first letter"),
        ("ARNDCQEGHILKMFPSTWYV-", "AX-R", "'X' in sequence 's' .* ambiguous"),
    ],
)
def test_what_an_alphabet_has_no_code_for(tmp_path, alphabet, text, message):
    with pytest.raises(ValueError, match=message):
        codes(tmp_path, "x.fasta", f">s\n{text}\n", alphabet=alphabet)


@pytest.mark.parametrize(
    "wrong", [*"1*?~_:;#>/\\", "é", "\u2013", "\u00a0", "\x1c", "\u0410", "\ufeff", "\x01"]
)
@pytest.mark.parametrize("name", ["x.fasta", "x.a3m", "x.sto", "x.clustal", "x.aln"])
def test_any_other_character_is_refused(tmp_path, name, wrong):
    uncounted = CLUSTAL.replace(" 3\n", "\n").replace(" 2\n", "\n")
    text = {"x.sto": STOCKHOLM, "x.clustal": uncounted, "x.aln": "ACD\nA-D\n"}.get(name, FASTA)
    with pytest.raises(ValueError, match="Expected"):
        codes(tmp_path, name, text.replace("A-D", f"A{wrong}D"))
    with pytest.raises(ValueError, match="Expected"):
        codes(tmp_path, name, text.replace("A-D", f"A-D{wrong}").replace("ACD", "ACDE"))


def test_blocks_of_ten_and_numbers(tmp_path):
    blocks = ">s1\nACDEFGHIKL MNPQR\n>s2\nACDEFGHIK- MNPQR\n"
    assert np.shape(codes(tmp_path, "x.fasta", blocks)) == (2, 15)
    with pytest.raises(ValueError, match="got '1' in sequence 's1'"):
        codes(tmp_path, "x.fasta", ">s1\n1 ACDEFGHIKL 10\n>s2\n1 ACDEFGHIK- 10\n")


def test_annotations_of_structure_are_counted(tmp_path):
    text = ">ss_pred PSIPRED\nCCH\n>ss_conf\n998\n" + FASTA
    with pytest.warns(UserWarning, match="2 records of .* annotate structure"):
        assert codes(tmp_path, "x.a3m", text) == CODES


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.a2m", ">one\nAC\n>two\nACD\n", "of 2 positions, but 'two' in .*x.a2m has 3"),
        ("x.a2m", ">one\nac\n", "of 1 positions, but 'one' in .* has 0"),
        ("x.fasta", ">one\n>two\nACD\n", "'one' in .* has 0"),
        ("x.fasta", "AC\n", "found none in .*x.fasta"),
        ("x.fasta", "AC\n>one\nAC\n", "text before the first one"),
        ("x.fasta.gz", "AC\n", "found none in .*x.fasta"),
        ("x.fasta", ">P1;one\nof a kind\nACD*\n", "line 1 is a header of PIR"),
        ("x.sto", "", r"found none in .*x\.sto"),
        ("x.sto", STOCKHOLM[:-3], "it was cut short"),
        ("x.sto", STOCKHOLM * 2, "more in line 8. Split it"),
        ("x.sto", "# STOCKHOLM 1.0\ns1 ACD\ns1 A-D\n//\n", "a new name .* line 3"),
        ("x.sto", "# STOCKHOLM 1.0\ns1 ACD\ns2\n//\n", "a new name and its sequence in line 3"),
        ("x.sto", "# STOCKHOLM 1.0\n#s1 ACD\ns2 ACD\n//\n", "a new name .* line 2"),
        ("x.sto", "# STOCKHOLM 1.0\ns1 A\ns2 AC\n//\n", "of one length .* line 3"),
        ("x.sto", "# STOCKHOLM 1.0\ns1 A\ns2 A\n\ns2 A\ns1 A\n//\n", "same names in each block"),
        ("x.sto", "# STOCKHOLM 1.0\n//\n", "found none"),
        ("x.aln", "CLUSTAL \n", "found none"),
        ("x.sto", "ACD\nA-D\n", "below '# STOCKHOLM 1.0'"),
        ("x.clustal", "USTAL\n", "found none"),
        ("x.aln", "s1 ACD\ns2 A-D\n", "line 1 of .*x.aln is 's1 ACD'. Convert it"),
        ("x.phy", "2 3\ns1 ACD\ns2 A-D\n", "line 1 of .*x.phy is '2 3'. Convert it"),
        ("x.aln", "ACD\nA-d\n", "line 2 of .*x.aln is 'A-d'"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        codes(tmp_path, name, text)


def test_npz_may_hold_distances(tmp_path):
    np.savez(tmp_path / "x.npz", msa=np.array([[0, 20]], dtype=np.uint8), dist_cb=np.eye(2))
    alignment = read_alignment(tmp_path / "x.npz")
    assert alignment.codes.dtype == torch.int64
    torch.testing.assert_close(alignment.distances, torch.eye(2))


@pytest.mark.parametrize("msa", [
    [["A", "C", "D"], ["A", "-", "D"]], [[b"A", b"C", b"D"], [b"a", b".", b"d"]],
    ["ACD", "AXD"], [b"ACD", b"A-D"],
])  # fmt: skip
def test_npz_of_letters(tmp_path, msa):
    np.savez(tmp_path / "x.npz", msa=np.array(msa))
    assert read_alignment(tmp_path / "x.npz").codes.tolist() == CODES
    path = (tmp_path / "x.npz").rename(tmp_path / "x.data")
    assert read_alignment(path).codes.tolist() == CODES
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 6] = 97  # the version that unpacking needs
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        read_alignment(path)


@pytest.mark.parametrize("msa", [
    [["AC", "D"]], [["A", ""]], [["A", "?"]], [["A", "é"]], ["ACD", "AC"], "ACD", [[True, False]],
    [[0.5, 1]], [[1j, 0]], [["A", "1"]],
])  # fmt: skip
def test_npz_of_something_else(tmp_path, msa):
    np.savez(tmp_path / "x.npz", msa=np.array(msa))
    with pytest.raises(ValueError, match=r"Expected (msa|letters|aligned)"):
        read_alignment(tmp_path / "x.npz")


def test_npz_needs_an_alignment(tmp_path):
    np.savez(tmp_path / "x.npz", y=np.zeros(2))
    with pytest.raises(ValueError, match=r"'msa' in .*x\.npz, but got \['y'\]"):
        read_alignment(tmp_path / "x.npz")
    np.savez(tmp_path / "z.npz", msa=np.zeros(2))
    with pytest.raises(ValueError, match=r"shape \(N, L\)"):
        read_alignment(tmp_path / "z.npz")
