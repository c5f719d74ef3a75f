"""Multiple sequence alignments from files."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import existing_file
from pyro_rm.datasets.alignment_formats import Records, parse_records
from pyro_rm.datasets.text_files import COMPRESSED, read_text

AMINO_ACIDS = "-ACDEFGHIKLMNPQRSTVWY"
_INSERTING = (".a2m", ".a3m")


class Alignment(NamedTuple):
    """Sequences as codes, and what the file says about them.

    :param codes: Places in the alphabet, ``(N, L)``.
    :param distances: Between sites, in ångström, ``(L, L)``, if known.
    :param names: Of sequences, where the format has some.
    :param alphabet: The letter of each code.

    Example:

        >>> Alignment(torch.zeros(5, 9, dtype=torch.long)).codes.shape
        torch.Size([5, 9])
    """

    codes: Tensor
    distances: Tensor | None = None
    names: list[str] | None = None
    alphabet: str = AMINO_ACIDS


def read_alignment(path: str | Path, *, alphabet: str = AMINO_ACIDS) -> Alignment:
    """Read an alignment in FASTA, A2M, A3M, Stockholm or CLUSTAL, one sequence a line, or npz.

    The content tells the format, whatever the name; the file may be compressed. White space is
    dropped. ``-`` and ``.`` are gaps. Letters of the alphabet may be in either case. The letters
    for ambiguous residues (``X``, ``B``, ``Z`` ... of proteins; ``N``, ``R``, ``Y`` ... of
    nucleotides) and for rare amino acids (``U``, ``O``) become gaps. Any other character is
    refused. In files named ``*.a2m`` or ``*.a3m``, lower-case letters and dots are insertions and
    are dropped; in others too, with a warning, where only that makes all lengths equal.

    :param path: The file; an npz has an array ``msa`` of codes or of letters, and maybe distances
        ``dist_cb``.
    :param alphabet: Letters in the order of their codes. Without ``-``, gaps are refused. Unless
        it comes first, ambiguous letters are: code 0 is what
        ``PottsNetwork(skip_first=True)`` leaves out as unknown.
    :returns: The codes, and what else the file holds.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If the format is unknown, there is no sequence, lengths differ, or a
        character or code is not of the alphabet.

    Example:

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "x.aln"
        ...     _ = path.write_text("AC-GT\\nACNGT\\n")
        ...     read_alignment(path, alphabet="-ACGT").codes
        tensor([[1, 2, 0, 3, 4],
                [1, 2, 0, 3, 4]])
    """
    path = existing_file(path, "an alignment")
    letters = "".join(alphabet).upper().replace(".", "-")
    printable = letters.isascii() and letters.isprintable() and not set(letters) & set(" >#")
    if not printable or len(set(letters)) < max(2, len(letters)):
        raise ValueError(
            f"Expected different letters of ASCII, two or more, in one case, but got {alphabet!r}."
        )
    if _is_npz(path):
        return _read_npz(path, letters)
    name = Path(path.name.lower())
    suffix = (Path(name.stem) if name.suffix in COMPRESSED else name).suffix
    records = parse_records(read_text(path, "an alignment"), path, suffix)
    return _encoded(records, letters, path, inserts=suffix in _INSERTING)


def _encoded(records: Records, alphabet: str, path: Path, *, inserts: bool = False) -> Alignment:
    """Letters as codes; insertions are dropped if there may be some, or only that fits."""
    places = _places(alphabet)
    names = records.names or [f"number {n}" for n in range(1, len(records.sequences) + 1)]
    rows, kept = list[np.ndarray](), list[np.ndarray]()
    for name, sequence in zip(names, records.sequences, strict=True):
        letters = np.frombuffer(sequence.encode(), dtype=np.uint8)
        row = places[letters]
        if (row < 0).any():
            raise ValueError(
                f"Expected letters of the alphabet {alphabet!r} or gaps, but got "
                f"{_way_out(sequence[int((row < 0).argmax())], name, alphabet, path)}"
            )
        is_insert = ((letters >= ord("a")) & (letters <= ord("z"))) | (letters == ord("."))
        rows.append(row)
        kept.append(row[~is_insert])
    if not inserts and len({len(row) for row in rows}) > 1 and len({len(row) for row in kept}) == 1:
        dropped = sum(map(len, rows)) - sum(map(len, kept))
        warnings.warn(
            f"{path} is read as A3M, for only so its sequences are of one length: {dropped} "
            "letters in lower case and dots are insertions and are dropped. Name it .a3m if that "
            "is right.",
            stacklevel=3,
        )
        inserts = True
    rows = kept if inserts else rows
    for name, row in zip(names, rows, strict=True):
        if len(row) != len(rows[0]) or len(row) == 0:
            raise ValueError(
                f"Expected aligned sequences of {len(rows[0]) or 1} positions, but {name!r} in "
                f"{path} has {len(row)}. Align them first; insertions in lower case are "
                "dropped in .a2m and .a3m files."
            )
    if not rows:
        raise ValueError(f"Expected sequences in {path}, but found none.")
    return Alignment(torch.from_numpy(np.stack(rows)), None, records.names, alphabet)


def _places(alphabet: str) -> np.ndarray:
    """The code of each byte, -1 where it is not a letter or gap."""
    codes = {letter: code for code, letter in enumerate(alphabet)}
    if alphabet[0] == "-":
        codes = dict.fromkeys(_ambiguous(alphabet), 0) | codes
    if "-" in codes:
        codes["."] = codes["-"]
    places = np.full(256, -1, dtype=np.int64)
    for letter, code in codes.items():
        places[[ord(letter), ord(letter.lower())]] = code
    return places


def _ambiguous(alphabet: str) -> str:
    """Letters that stand for one of several of an alphabet, or for rare ones outside it."""
    letters = set(alphabet) - {"-"}
    if letters <= set("ACGTUN"):
        return "RYKMSWBDHVNX"
    return "BJOUXZ" if letters <= set(AMINO_ACIDS + "BJOUXZ") else ""


def _way_out(wrong: str, name: str, alphabet: str, path: Path) -> str:
    """Which character is wrong in a sequence, and what to do."""
    found = f"{wrong!r} in sequence {name!r} of {path}. "
    if wrong in "-." and "-" not in alphabet:
        return found + "The alphabet has no gap: put '-' where its code should be."
    if wrong.upper() in _ambiguous(alphabet):
        return found + (
            "It is ambiguous, and counts as a gap where '-' is the first letter of the alphabet: "
            "put it there, or leave out such sequences."
        )
    return found + "Remove it, or give the alphabet that has it."


def _is_npz(path: Path) -> bool:
    if path.suffix.lower() == ".npz":
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # zipfile raises many kinds
        return False


def _read_npz(path: Path, alphabet: str) -> Alignment:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("msa", "dist_cb") if name in archive}
            names = sorted(archive)
    except Exception as error:  # numpy, zipfile and zlib raise many kinds
        raise ValueError(
            f"Expected an archive of numbers or letters, but {path} cannot be read: it is "
            "damaged, or holds Python objects."
        ) from error
    if "msa" not in arrays:
        raise ValueError(f"Expected an array 'msa' in {path}, but got {names}.")
    msa, distances = arrays["msa"], arrays.get("dist_cb")
    if msa.dtype.kind in "US":
        alignment = _encoded(Records(_strings(msa, path), None), alphabet, path)
    else:
        alignment = Alignment(_integer_codes(msa, alphabet, path), alphabet=alphabet)
    sites = alignment.codes.shape[1]
    if distances is None:
        return alignment
    if distances.dtype.kind not in "iuf" or distances.shape != (sites, sites):
        raise ValueError(
            f"Expected dist_cb in {path} to be numbers of shape {(sites, sites)}, but got "
            f"{distances.dtype} of shape {distances.shape}."
        )
    return alignment._replace(distances=torch.from_numpy(distances.astype(np.float32)))


def _integer_codes(msa: np.ndarray, alphabet: str, path: Path) -> Tensor:
    if msa.ndim != 2 or 0 in msa.shape:
        raise ValueError(f"Expected msa of shape (N, L) in {path}, but got {msa.shape}.")
    if msa.dtype.kind not in "iu" or msa.min() < 0 or msa.max() >= len(alphabet):
        span = f" from {msa.min()} to {msa.max()}" if msa.dtype.kind in "iuf" else ""
        raise ValueError(
            f"Expected msa in {path} to be letters, or integers from 0 to {len(alphabet) - 1}, "
            f"but got {msa.dtype}{span}. Give the alphabet of the codes."
        )
    return torch.from_numpy(msa.astype(np.int64))


def _strings(msa: np.ndarray, path: Path) -> list[str]:
    """Sequences from an array of them, ``(N,)``, or of their letters, ``(N, L)``."""
    text = msa if msa.dtype.kind == "U" else np.char.decode(msa, "latin-1")
    single = text.ndim == 2 and (np.char.str_len(text) == 1).all()
    if text.size == 0 or not (text.ndim == 1 or single):
        raise ValueError(
            f"Expected msa of shape (N, L) in {path}, one letter a cell, but got {msa.dtype} of "
            f"shape {msa.shape}."
        )
    return ["".join(row) for row in text.tolist()]
