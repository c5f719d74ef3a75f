"""Points of the plane as bits, such that neighboring cells differ in one bit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rm.checks import check_real

_DIGITS_AT_ONCE = 48  # exact as an integer in float64


@dataclass(frozen=True)
class GrayCode:
    r"""A Gray code of the square :math:`[-r, r)^2`, half of the bits for each coordinate.

    Each coordinate is a sign bit and the Gray code of the magnitude in units of
    :math:`r / 2^{D/2 - 1}`, rounded towards zero, as in [1]. A coordinate falls into one of
    :math:`2^{D/2}` cells of equal width, and crossing from one to the next, zero included,
    flips one bit. Points outside of the square go to the cells at its border.

    :param num_bits: Number of bits :math:`D`, even.
    :param radius: Half of the side of the square, :math:`r`.
    :raises ValueError: If an option is out of range.

    Example:

        >>> code = GrayCode(num_bits=6, radius=4.0)
        >>> code.encode(torch.tensor([[0.5, -2.5]]))
        tensor([[0., 0., 0., 1., 1., 1.]])
        >>> code.decode(code.encode(torch.tensor([[0.5, -2.5]])))
        tensor([[ 0.5000, -2.5000]], dtype=torch.float64)

    .. note:: Vectorized over points and bits. The bits are the binary expansion of the
        coordinate in float64: exact to the last bit, which means that bits below its
        53 significant ones (its leading zeros not counted) are zeros.

    **References**

    [1] Hanjun Dai, Rishabh Singh, Bo Dai, Charles Sutton, Dale Schuurmans (2020) "Learning
        discrete energy-based models via auxiliary-variable local exploration", NeurIPS.
    """

    num_bits: int
    radius: float

    def __post_init__(self) -> None:
        if self.num_bits < 2 or self.num_bits % 2:
            raise ValueError(f"Expected an even number of bits, but got {self.num_bits}.")
        if not self.radius > 0:
            raise ValueError(f"Expected a positive radius, but got {self.radius}.")

    @property
    def num_digits(self) -> int:
        """Bits of a magnitude: half of all but the sign."""
        return self.num_bits // 2 - 1

    @property
    def cell_width(self) -> float:
        """Width of a cell in the plane."""
        return self.radius * 2.0**-self.num_digits

    def encode(self, points: Tensor) -> Tensor:
        """The bits of points.

        :param points: Shape ``batch_shape + (2,)``.
        :returns: Zeros and ones of the default floating type, ``batch_shape + (D,)``.
        :raises TypeError: If they are not a tensor of real numbers.
        :raises ValueError: If they are not finite points of the plane.
        """
        check_real(points, "points")
        if points.shape[-1:] != (2,) or not points.isfinite().all():
            raise ValueError(
                f"Expected finite points of shape batch_shape + (2,), but got others, of shape "
                f"{tuple(points.shape)}."
            )
        points = points.double()
        magnitude = (points.abs() / self.radius).clamp(max=1 - 2.0**-53)
        negative = (points < 0)[..., None].to(torch.uint8)
        digits = _binary_digits(magnitude, self.num_digits)
        digits[..., 1:] = digits[..., 1:] ^ digits[..., :-1].clone()
        return torch.cat([negative, digits], -1).flatten(-2).to(torch.get_default_dtype())

    def decode(self, bits: Tensor) -> Tensor:
        """Centers of cells.

        :param bits: Zeros and ones, ``batch_shape + (D,)``.
        :returns: Points in float64, ``batch_shape + (2,)``.
        :raises TypeError: If they are not a tensor of real numbers.
        :raises ValueError: If the shape is another, or a value is neither 0 nor 1.
        """
        check_real(bits, "bits")
        if bits.shape[-1:] != (self.num_bits,) or not ((bits == 0) | (bits == 1)).all():
            raise ValueError(
                f"Expected zeros and ones of shape batch_shape + ({self.num_bits},), but got "
                f"others, of shape {tuple(bits.shape)}."
            )
        pairs = bits.double().unflatten(-1, (2, -1))
        digits = pairs[..., 1:].cumsum(-1) % 2
        places = 0.5 ** torch.arange(1, self.num_digits + 1, device=bits.device).double()
        magnitude = digits @ places + 0.5 ** (self.num_digits + 1)
        return (1 - 2 * pairs[..., 0]) * magnitude * self.radius

    def edges(self) -> Tensor:
        """Borders of the cells along a coordinate, ``(2 ** (D / 2) + 1,)``."""
        half = 2**self.num_digits
        return torch.arange(-half, half + 1, dtype=torch.float64) * self.cell_width


def _binary_digits(fraction: Tensor, num_digits: int) -> Tensor:
    """Leading binary digits of numbers in [0, 1), exactly, ``shape + (num_digits,)``."""
    digits = fraction.new_zeros((*fraction.shape, num_digits), dtype=torch.uint8)
    for start in range(0, num_digits, _DIGITS_AT_ONCE):
        count = min(_DIGITS_AT_ONCE, num_digits - start)
        fraction = fraction * 2.0**count
        whole = fraction.floor()
        fraction = fraction - whole
        shifts = torch.arange(count - 1, -1, -1, device=fraction.device)
        digits[..., start : start + count] = (whole.long()[..., None] >> shifts) & 1
    return digits
