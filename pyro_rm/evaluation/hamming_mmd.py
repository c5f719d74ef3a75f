"""Maximum mean discrepancies between samples of discrete vectors, by Hamming distance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pyro_rm.checks import check_counts, check_real

Statistic = Literal["U", "V"]


def linear_hamming_mmd(x: Tensor, y: Tensor, *, statistic: Statistic = "U") -> Tensor:
    r"""Squared discrepancy under the kernel :math:`D - d_H(x, y)`, that of [1].

    It sees first moments only: for binary data it is
    :math:`2 \| \bar x - \bar y \|^2` (V-statistic), so that independent sites with
    the right means have none.

    :param x: Data, ``(N, D)``, in any coding.
    :param y: Data in the same coding, ``(M, D)``.
    :param statistic: ``"U"`` is unbiased, and may be negative; ``"V"`` keeps the diagonals.
    :returns: A scalar.

    Example:

        >>> x = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        >>> linear_hamming_mmd(x, torch.ones(3, 2), statistic="V")
        tensor(2.5000)

    .. note:: Linear in ``N`` and ``M``.

    **References**

    [1] Dinghuai Zhang et al. (2022) "Generative flow networks for discrete probabilistic
        modeling", ICML; also Meng Liu et al. (2023), ICLR.
    """
    hot_x, hot_y = one_hot_pair(x, y)
    sum_x, sum_y = hot_x.sum(0, dtype=torch.float64), hot_y.sum(0, dtype=torch.float64)
    sums = (sum_x @ sum_x, sum_y @ sum_y, sum_x @ sum_y)
    return _discrepancy(sums, (len(x), len(y)), diagonal=x.shape[1], statistic=statistic)


def exponential_hamming_mmd(
    x: Tensor,
    y: Tensor,
    *,
    bandwidth: float = 0.1,
    statistic: Statistic = "U",
    chunk_size: int = 2**11,
) -> Tensor:
    r"""Squared discrepancy [1] under the kernel :math:`e^{-b\, d_H(x, y)}`.

    The kernel is characteristic: zero for equal distributions only.

    :param x: Data, ``(N, D)``, in any coding.
    :param y: Data in the same coding, ``(M, D)``.
    :param bandwidth: :math:`b`; the default is usual at 32 sites.
    :param statistic: ``"U"`` is unbiased, and may be negative; ``"V"`` keeps the diagonals.
    :param chunk_size: Rows of the kernel matrix at once.
    :returns: A scalar.
    :raises ValueError: If an option is out of range, the widths differ, or values are not states.

    Example:

        >>> x = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        >>> exponential_hamming_mmd(x, x, statistic="V")
        tensor(0.)

    .. note:: Costs three kernel matrices, in chunks of rows: one matrix product each.

    **References**

    [1] Arthur Gretton, Karsten Borgwardt, Malte Rasch, Bernhard Scholkopf, Alexander Smola
        (2012) "A kernel two-sample test", Journal of Machine Learning Research 13.
    """
    check_counts(chunk_size=chunk_size)
    if not bandwidth > 0:
        raise ValueError(f"Expected bandwidth to be positive, but got {bandwidth}.")
    hot_x, hot_y = one_hot_pair(x, y)

    def total(a: Tensor, b: Tensor) -> Tensor:
        rows = (bandwidth * (piece @ b.mT - x.shape[1]) for piece in a.split(chunk_size))
        return torch.stack([row.exp_().sum(dtype=torch.float64) for row in rows]).sum()

    sums = (total(hot_x, hot_x), total(hot_y, hot_y), total(hot_x, hot_y))
    return _discrepancy(sums, (len(x), len(y)), diagonal=1, statistic=statistic)


def one_hot_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both samples as indicators of their values, ``(N, D * K)``."""
    check_samples(x, y)
    values = torch.cat([x, y]).unique()
    dtype = torch.get_default_dtype()
    return (
        (x[..., None] == values).flatten(1).to(dtype),
        (y[..., None] == values).flatten(1).to(dtype),
    )


def check_samples(x: Tensor, y: Tensor) -> None:
    """Refuse samples that cannot be compared.

    :raises TypeError: If they are not tensors of real numbers.
    :raises ValueError: If they are not matrices of equal width with two rows or more, or hold
        other than whole numbers in one coding.
    """
    check_real(x, "samples")
    check_real(y, "samples")
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            f"Expected two samples of shape (N, D) and (M, D) with N, M >= 2, but got "
            f"{tuple(x.shape)} and {tuple(y.shape)}."
        )
    for sample in (x, y):
        other = ~(sample.isfinite() & (sample == sample.to(torch.float64).round()))
        if other.any():
            raise ValueError(
                f"Expected samples of whole numbers, one for each state, but got "
                f"{sample[other][0].item():.6g}."
            )
    spins = {bool((sample == -1).any()) for sample in (x, y)}
    bits = {bool((sample == 0).any()) for sample in (x, y)}
    if len(spins) == len(bits) == 2:
        raise ValueError(
            "Expected samples in the same coding, but got one in (-1, 1) and one in (0, 1). Turn "
            "bits into spins by 2 * x - 1."
        )


def _discrepancy(
    sums: tuple[Tensor, Tensor, Tensor],
    sizes: tuple[int, int],
    *,
    diagonal: float,
    statistic: Statistic,
) -> Tensor:
    """The statistic from the sums of the three kernel matrices."""
    if statistic not in ("U", "V"):
        raise ValueError(f"Expected statistic to be 'U' or 'V', but got {statistic!r}.")
    within = torch.zeros((), dtype=torch.float64)
    for total, size in zip(sums, sizes, strict=False):
        if statistic == "U":
            within = within + (total - size * diagonal) / (size * (size - 1))
        else:
            within = within + total / size**2
    return (within - 2 * sums[2] / (sizes[0] * sizes[1])).to(torch.get_default_dtype())
