"""Multiple sequence alignments from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import existing_file

AMINO_ACIDS = "-ACDEFGHIKLMNPQRSTVWY"


class Alignment(NamedTuple):
    """Sequences as codes, ``(N, L)``, where 0 is a gap; distances ``(L, L)`` if known.

    :param codes: Integers, ``(N, L)``.
    :param distances: Between sites, in ångström, ``(L, L)``.

    Example:

        >>> Alignment(torch.zeros(5, 9, dtype=torch.long)).codes.shape
        torch.Size([5, 9])
    """

    codes: Tensor
    distances: Tensor | None = None


def read_alignment(path: str | Path, *, alphabet: str = AMINO_ACIDS) -> Alignment:
    """Read an alignment in the formats a2m, fasta or npz.

    In a2m, lower-case letters and dots are insertions and are dropped; in fasta files, dots
    are gaps. Letters outside the alphabet (X, B, Z ...) become gaps.

    :param path: A file named ``*.a2m``, ``*.a3m``, ``*.fasta``, ``*.fa``, ``*.fas`` or
        ``*.npz``; the last with an integer array ``msa`` and maybe distances ``dist_cb``.
    :param alphabet: Letters in the order of their codes, the gap first.
    :returns: The codes, and distances where the file has them.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If the format is unknown, there is no sequence, lengths differ, or codes
        are not of the alphabet.
    """
    path = existing_file(path, "an alignment")
    if not alphabet.isascii() or len(set(alphabet)) < max(2, len(alphabet)):
        raise ValueError(f"Expected different letters of ASCII, two or more, but got {alphabet!r}.")
    if path.suffix == ".npz":
        return _read_npz(path, len(alphabet))
    if path.suffix not in (".a2m", ".a3m", ".fasta", ".fa", ".fas"):
        raise ValueError(
            f"Expected an alignment named .a2m, .a3m, .fasta, .fa, .fas or .npz, but got {path}."
        )
    inserts = path.suffix in (".a2m", ".a3m")
    code = np.zeros(256, dtype=np.int64)
    for number, letter in enumerate(alphabet):
        code[ord(letter)] = number
        if not inserts:
            code[ord(letter.lower())] = number
    rows: list[np.ndarray] = []
    for name, sequence in _sequences(path):
        if inserts:
            sequence = "".join(c for c in sequence if not c.islower() and c != ".")
        row = code[np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)]
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"Expected aligned sequences of {len(rows[0])} positions, but {name!r} in "
                f"{path} has {len(row)}. Align them first; insertions in lower case are "
                "dropped in .a2m files only."
            )
        rows.append(row)
    if not rows:
        raise ValueError(
            f"Expected sequences after lines that start with '>', but found none in {path}."
        )
    return Alignment(torch.from_numpy(np.stack(rows)))


def _sequences(path: Path) -> Iterator[tuple[str, str]]:
    name, parts = None, list[str]()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith(">"):
                if name is not None:
                    yield name, "".join(parts)
                name, parts = line[1:].strip(), []
            else:
                parts.append(line.strip())
    if name is not None:
        yield name, "".join(parts)


def _read_npz(path: Path, num_letters: int) -> Alignment:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("msa", "dist_cb") if name in archive}
            names = sorted(archive)
    except Exception as error:  # numpy, zipfile and zlib raise many kinds
        raise ValueError(
            f"Expected an archive of numbers, but {path} cannot be read: it is damaged, or "
            "holds Python objects."
        ) from error
    if "msa" not in arrays:
        raise ValueError(f"Expected an array 'msa' in {path}, but got {names}.")
    msa, distances = arrays["msa"], arrays.get("dist_cb")
    if msa.ndim != 2 or 0 in msa.shape:
        raise ValueError(f"Expected msa of shape (N, L) in {path}, but got {msa.shape}.")
    if msa.dtype.kind not in "iu" or msa.min() < 0 or msa.max() >= num_letters:
        raise ValueError(
            f"Expected msa in {path} to be integers from 0 to {num_letters - 1}, but got "
            f"{msa.dtype} from {msa.min()} to {msa.max()}. Give the alphabet of the codes."
        )
    codes = torch.from_numpy(msa.astype(np.int64))
    if distances is None:
        return Alignment(codes)
    sites = msa.shape[1]
    if distances.dtype.kind not in "iuf" or distances.shape != (sites, sites):
        raise ValueError(
            f"Expected dist_cb in {path} to be numbers of shape {(sites, sites)}, but got "
            f"{distances.dtype} of shape {distances.shape}."
        )
    return Alignment(codes, torch.from_numpy(distances.astype(np.float32)))
