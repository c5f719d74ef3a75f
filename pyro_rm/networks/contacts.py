"""From couplings between positions to contacts: strengths, their correction, their precision."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real


def coupling_norms(couplings: Tensor, *, skip_first: bool = False) -> Tensor:
    """Frobenius norm of the couplings of each pair of sites, ``(D, D)``.

    :param couplings: In the zero-sum gauge, ``(D, K, D, K)``.
    :param skip_first: Leave category 0 out of the norm: the gap of an alignment, whose
        couplings follow stretches of gaps [1].
    :returns: Symmetric, ``(D, D)``.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If they have another shape.

    **References**

    [1] Magnus Ekeberg et al. (2013) "Improved contact prediction in proteins: using
        pseudolikelihoods to infer Potts models", Physical Review E 87.
    """
    check_real(couplings, "couplings")
    if couplings.dim() != 4 or couplings.shape[:2] != couplings.shape[2:]:
        raise ValueError(
            f"Expected couplings of shape (D, K, D, K), but got {tuple(couplings.shape)}."
        )
    if skip_first:
        couplings = couplings[:, 1:, :, 1:]
    return couplings.square().sum((1, 3)).sqrt()


def average_product_correction(strengths: Tensor) -> Tensor:
    r"""Subtract what two sites have in common with all others [1].

    :math:`S_{ij} - \bar S_{i\cdot} \bar S_{\cdot j} / \bar S_{\cdot\cdot}`, with means over
    other sites.

    :param strengths: Symmetric, ``(D, D)``; the diagonal is ignored.
    :returns: Corrected strengths, zero on the diagonal; zeros stay zeros.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If they are not a finite matrix of two sites or more.

    Example:

        >>> average_product_correction(torch.ones(3, 3)).abs().max()
        tensor(0.)

    **References**

    [1] Stanley Dunn, Lindi Wahl, Gregory Gloor (2008) "Mutual information without the
        influence of phylogeny or entropy", Bioinformatics 24(3).
    """
    _check_matrix(strengths, "strengths")
    size = len(strengths)
    others = strengths - torch.diag(strengths.diagonal())
    mean = others.sum(0) / (size - 1)
    overall = mean.mean()
    corrected = others - torch.outer(mean, mean) / torch.where(overall == 0, 1.0, overall)
    return corrected - torch.diag(corrected.diagonal())


def contact_precision(
    strengths: Tensor, distances: Tensor, *, threshold: float = 8.0, min_separation: int = 6
) -> Tensor:
    """Share of true contacts among the strongest 1, 2, ... pairs [1].

    :param strengths: Symmetric, ``(D, D)``.
    :param distances: In the same order of sites, ``(D, D)``; pairs with NaN are left out.
    :param threshold: Pairs closer than this are contacts.
    :param min_separation: Pairs closer than this along the chain are left out.
    :returns: The curve, one entry a pair. The precision of the top L/5 is entry L // 5 - 1.
    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If the shapes differ, or strengths are not finite.

    Example:

        >>> distances = torch.tensor([[0.0, 9.0, 5.0], [9.0, 0.0, 9.0], [5.0, 9.0, 0.0]])
        >>> contact_precision(9 - distances, distances, min_separation=1)
        tensor([1.0000, 0.5000, 0.3333])

    **References**

    [1] Magnus Ekeberg et al. (2013) "Improved contact prediction in proteins: using
        pseudolikelihoods to infer Potts models", Physical Review E 87.
    """
    check_real(distances, "distances")
    _check_matrix(strengths, "strengths")
    if strengths.shape != distances.shape:
        raise ValueError(
            f"Expected strengths and distances of one shape, but got {tuple(strengths.shape)} and "
            f"{tuple(distances.shape)}: both need a row for each position of the alignment."
        )
    check_counts(min_separation=min_separation)
    first, second = torch.triu_indices(len(strengths), len(strengths), min_separation)
    known = ~distances[first, second].isnan()
    first, second = first[known], second[known]
    order = strengths[first, second].argsort(descending=True)
    hits = (distances[first, second] < threshold)[order].float()
    return hits.cumsum(0) / torch.arange(1, len(hits) + 1, device=hits.device)


def _check_matrix(values: Tensor, name: str) -> None:
    check_real(values, name)
    square = values.dim() == 2 and values.shape[0] == values.shape[1] >= 2
    if not square or not values.isfinite().all():
        raise ValueError(
            f"Expected {name} as a finite matrix of two sites or more, (D, D), but got others, of "
            f"shape {tuple(values.shape)}."
        )
