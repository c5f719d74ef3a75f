"""Multiple sequence alignments from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

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
    :raises ValueError: If the format is unknown, there is no sequence, or lengths differ.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix not in (".a2m", ".a3m", ".fasta", ".fa", ".fas"):
        raise ValueError(
            f"Expected an alignment named .a2m, .a3m, .fasta, .fa, .fas or .npz, but got "
            f"{path.name!r}."
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
                f"{path.name} has {len(row)}. Align them first; insertions in lower case are "
                "dropped in .a2m files only."
            )
        rows.append(row)
    if not rows:
        raise ValueError(
            f"Expected sequences after lines that start with '>', but found none in {path.name}."
        )
    return Alignment(torch.from_numpy(np.stack(rows)))


def _sequences(path: Path) -> Iterator[tuple[str, str]]:
    name, parts = None, list[str]()
    with path.open() as lines:
        for line in lines:
            if line.startswith(">"):
                if name is not None:
                    yield name, "".join(parts)
                name, parts = line[1:].strip(), []
            else:
                parts.append(line.strip())
    if name is not None:
        yield name, "".join(parts)


def _read_npz(path: Path) -> Alignment:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("msa", "dist_cb") if name in archive}
            names = sorted(archive)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise many kinds
        raise ValueError(
            f"Expected an archive of numbers, but {path.name} cannot be read: it is damaged, or "
            "holds Python objects."
        ) from error
    if "msa" not in arrays:
        raise ValueError(f"Expected an array 'msa' in {path.name}, but got {names}.")
    codes = torch.from_numpy(arrays["msa"].astype(np.int64))
    distances = None
    if "dist_cb" in arrays:
        distances = torch.from_numpy(arrays["dist_cb"].astype(np.float32))
    if codes.dim() != 2:
        raise ValueError(f"Expected msa of shape (N, L), but got {tuple(codes.shape)}.")
    return Alignment(codes, distances)
