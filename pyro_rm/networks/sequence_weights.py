"""Weights of sequences by how many others are nearly the same."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real


def sequence_weights(sequences: Tensor, *, identity: float = 0.8, chunk_size: int = 1024) -> Tensor:
    r"""One over the number of sequences, itself included, that agree at most positions [1].

    Alignments hold families of near copies; weights count each family about once. Their sum
    is the effective number of sequences.

    :param sequences: Codes, ``(N, D)``.
    :param identity: Share of positions that agree, above 0, up to 1 (exact copies).
    :param chunk_size: Sequences compared with all others at once.
    :returns: Weights in (0, 1], ``(N,)``.
    :raises TypeError: If the sequences are not a tensor of real numbers.
    :raises ValueError: If the identity is out of range, or the sequences are not codes.

    Example:

        >>> sequence_weights(torch.tensor([[0, 1], [0, 1], [1, 0]]))
        tensor([0.5000, 0.5000, 1.0000])

    .. note:: Costs a product of an ``(N, D * K)`` matrix with itself.

    **References**

    [1] Faruck Morcos et al. (2011) "Direct-coupling analysis of residue coevolution captures
        native contacts across many protein families", PNAS 108(49).
    """
    if not 0 < identity <= 1:
        raise ValueError(f"Expected an identity above 0 and up to 1, but got {identity}.")
    check_counts(chunk_size=chunk_size)
    check_real(sequences, "sequences")
    if sequences.dim() != 2 or sequences.numel() == 0:
        raise ValueError(f"Expected codes of shape (N, D), but got {tuple(sequences.shape)}.")
    codes = sequences.long()
    if (codes < 0).any() or (codes != sequences).any():
        raise ValueError("Expected codes 0, 1, 2, ..., but got other numbers.")
    encoded = torch.nn.functional.one_hot(codes).flatten(1).float()
    needed = identity * sequences.shape[1] - 1e-4
    counts = [
        (encoded[start : start + chunk_size] @ encoded.mT >= needed).sum(1)
        for start in range(0, len(encoded), chunk_size)
    ]
    return 1 / torch.cat(counts)
