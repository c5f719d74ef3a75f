"""What a datum is: how many sites, how many categories a site, and the values they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from numbers import Integral

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_rm.checks import check_active, check_counts, check_real
from pyro_rm.constants import constant
from pyro_rm.supports import Categories, TwoStates

__all__ = ["StateSpace"]


@dataclass(frozen=True)
class StateSpace:
    r"""The space of data: :math:`D` sites with two or more values each.

    A binary space holds vectors of floats in ``states``; a categorical space holds
    vectors of integer codes :math:`0 \ldots K_d - 1`. Energies see data in *encoded*
    form, in which they can be differentiated: binary data as they are,
    ``batch_shape + (D,)``, and categorical data as one-hot floats,
    ``batch_shape + (D, K_max)``. Categories that a site does not have are padding:
    they are never visited.

    :param num_sites: Number of sites :math:`D`, at least 1.
    :param num_categories: Categories a site: one number, or one for each site.
    :param states: The two values of a binary site, ``(0, 1)`` or ``(-1, 1)``.
    :raises ValueError: If a size is out of range.

    Example:

        >>> StateSpace(3).num_states
        8
        >>> space = StateSpace(2, num_categories=(2, 3))
        >>> space.encode(torch.tensor([1, 2]), torch.float32)
        tensor([[0., 1., 0.],
                [0., 0., 1.]])

    .. note:: A frozen value: it can be compared, hashed and shared.
    """

    num_sites: int
    num_categories: int | tuple[int, ...] = 2
    _: KW_ONLY
    states: tuple[float, float] = (0, 1)

    def __post_init__(self) -> None:
        check_counts(num_sites=self.num_sites)
        per_site = self.num_categories
        if isinstance(per_site, str) or not isinstance(per_site, Integral | Iterable):
            raise TypeError(
                f"Expected num_categories to be an integer, or one a site, but got {per_site!r}."
            )
        if not isinstance(per_site, Integral):
            per_site = tuple(int(k) for k in per_site)
            if len(per_site) != self.num_sites:
                raise ValueError(
                    f"Expected one number of categories for each of {self.num_sites} sites, "
                    f"but got {len(per_site)}."
                )
            if len(set(per_site)) == 1:
                per_site = per_site[0]
            object.__setattr__(self, "num_categories", per_site)
        smallest = min(per_site) if isinstance(per_site, tuple) else per_site
        if smallest < 2:
            raise ValueError(f"Expected at least 2 categories at every site, but got {smallest}.")
        object.__setattr__(self, "states", tuple(self.states))
        if self.states not in ((0, 1), (-1, 1)):
            raise ValueError(f"Expected states to be (0, 1) or (-1, 1), but got {self.states}.")
        if self.states != (0, 1) and not self.is_binary:
            raise ValueError(
                f"Expected states (0, 1) for categorical sites, but got {self.states}: "
                "categories are coded 0, 1, ..., K - 1."
            )

    @cached_property
    def is_binary(self) -> bool:
        """Whether every site has two values."""
        return self.num_categories == 2

    @cached_property
    def max_categories(self) -> int:
        """The largest number of categories of a site."""
        k = self.num_categories
        return k if isinstance(k, int) else max(k)

    @cached_property
    def categories(self) -> tuple[int, ...]:
        """The number of categories of every site."""
        k = self.num_categories
        return (k,) * self.num_sites if isinstance(k, int) else k

    @cached_property
    def num_states(self) -> int:
        """The number of states in the space, as an exact integer."""
        product = 1
        for k in self.categories:
            product *= k
        return product

    @cached_property
    def encoded_shape(self) -> torch.Size:
        """Shape of an encoded datum: ``(D,)``, or ``(D, K_max)`` if categorical."""
        if self.is_binary:
            return torch.Size((self.num_sites,))
        return torch.Size((self.num_sites, self.max_categories))

    @cached_property
    def support(self) -> constraints.Constraint:
        """The constraint that a datum satisfies."""
        if not self.is_binary:
            return Categories(self.categories)
        site = constraints.boolean if self.states == (0, 1) else TwoStates(self.states)
        return constraints.independent(site, 1)

    def category_mask(self, device: torch.device | None = None) -> Tensor:
        """Which categories exist at which site.

        :param device: Where to put the mask.
        :returns: Booleans of shape ``(D, K_max)``, which other calls share: do not change them.
        """
        return _category_mask(self.categories, str(device or "cpu"))

    def encode(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """Turn data into floats that energies can be differentiated in.

        :param value: Data, of shape ``batch_shape + (D,)``.
        :param dtype: A floating point type.
        :returns: Shape ``batch_shape + encoded_shape``.
        """
        if self.is_binary:
            return value.to(dtype)
        return torch.nn.functional.one_hot(value.long(), self.max_categories).to(dtype)

    def decode(self, encoded: Tensor) -> Tensor:
        """Turn encoded data into data: floats if binary, integer codes if categorical.

        :param encoded: Shape ``batch_shape + encoded_shape``.
        :returns: Shape ``batch_shape + (D,)``.
        """
        return encoded if self.is_binary else encoded.argmax(-1)

    def contains(self, value: Tensor) -> Tensor:
        """Which cells of data hold a state.

        :param value: Numbers, ``batch_shape + (D,)``.
        :returns: Booleans of the same shape, False for NaN.
        """
        if self.is_binary:
            return (value == self.states[0]) | (value == self.states[1])
        upper = self.category_mask(value.device).sum(-1)
        return (value >= 0) & (value < upper) & (value == value.long())

    def validate(self, value: Tensor, active: Tensor | None = None) -> None:
        """Check the shape, the type and the values of data.

        :param value: Data, of shape ``batch_shape + (D,)``.
        :param active: Booleans; values are free where they are False.
        :raises TypeError: If ``value`` is not a tensor of numbers, or ``active`` not of booleans.
        :raises ValueError: If a shape or a value is not of this space.
        """
        self.validate_shape(value)
        if active is not None:
            check_active(active, value.shape)
        if value.dim() > 2 and self._is_one_hot(value):  # with D = K_max shapes do not tell
            raise ValueError(
                f"Expected integer codes, but got one-hot data of shape {tuple(value.shape)}. Pass "
                "the codes: they are made one-hot here, x.argmax(-1)."
            )
        bad = ~self.contains(value)
        expected = f"integer codes from 0 to {self.max_categories - 1} (or less, by site)"
        if self.is_binary:
            expected = f"values in {{{self.states[0]}, {self.states[1]}}}"
        if active is not None:
            bad = bad & active
        if bad.any():
            raise ValueError(self._bad_values(value.expand(bad.shape), bad, expected))

    def validate_shape(self, value: Tensor) -> None:
        """Check the type and the shape of data, at no cost.

        :param value: Data, of shape ``batch_shape + (D,)``.
        :raises TypeError: If ``value`` is not a tensor of numbers.
        :raises ValueError: If the shape is not of this space.
        """
        if not isinstance(value, Tensor) or value.is_complex() or value.layout != torch.strided:
            check_real(value)
        if value.dim() < 1 or value.shape[-1] != self.num_sites:
            one_hot = not self.is_binary and value.shape[-2:] == self.encoded_shape
            raise ValueError(
                f"Expected data of shape batch_shape + ({self.num_sites},), "
                f"but got {tuple(value.shape)}. "
                + (
                    "Pass integer codes: they are made one-hot here, x.argmax(-1)."
                    if one_hot
                    else "Flatten images and graphs to vectors of sites."
                )
            )
        if value.numel() == 0:
            raise ValueError(
                f"Expected at least one datum, but got an empty batch of shape "
                f"{tuple(value.shape)}."
            )

    def validate_encoded(self, encoded: Tensor) -> None:
        """Check the shape and the values of encoded data.

        :param encoded: What should be of shape ``batch_shape + encoded_shape``.
        :raises ValueError: If a shape or a value is not of this space.

        Example:

            >>> StateSpace(2).validate_encoded(torch.zeros(5, 3))
            Traceback (most recent call last):
                ...
            ValueError: Expected encoded data of shape batch_shape + (2,), but got (5, 3).
        """
        rank, shape = len(self.encoded_shape), tuple(encoded.shape)
        if encoded.dim() < rank or encoded.shape[encoded.dim() - rank :] != self.encoded_shape:
            expected = tuple(self.encoded_shape)
            hint = "" if self.is_binary else " Encode categories by StateSpace.encode."
            raise ValueError(
                f"Expected encoded data of shape batch_shape + {expected}, but got {shape}.{hint}"
            )
        low, high = self.states
        fits = ((encoded == low) | (encoded == high)).all()
        if not self.is_binary:
            exists = self.category_mask(encoded.device)
            fits = fits & ((encoded.sum(-1) == 1) & ((encoded * ~exists).sum(-1) == 0)).all()
        if not fits:
            kind = f"states {self.states}" if self.is_binary else "one-hot rows of categories"
            raise ValueError(
                f"Expected encoded data of {kind}, but got other values. Clamped sites need a "
                "value too; encode data by StateSpace.encode."
            )

    def _is_one_hot(self, value: Tensor) -> bool:
        """Whether floats look like encoded categories."""
        if (
            self.is_binary
            or value.shape[-2:] != self.encoded_shape
            or not value.is_floating_point()
        ):
            return False
        return bool(((value == 0) | (value == 1)).all() and (value.sum(-1) == 1).all())

    def _bad_values(self, value: Tensor, bad: Tensor, expected: str) -> str:
        where = tuple(bad.nonzero()[0].tolist())
        message = (
            f"Expected {expected}, but got {value[where].item():.6g} at index {where} "
            f"({int(bad.sum())} of {bad.numel()} cells are outside the support)."
        )
        if value[bad].isnan().any():
            message += " Mark missing cells as inactive, active=~x.isnan(), or fill them."
        elif not self.is_binary and value.min() == 1:
            message += " Codes start at 0: if yours start at 1, pass x - 1."
        elif self.is_binary and bool(torch.isin(value, torch.tensor([-1, 0, 1])).all()):
            other = (-1, 1) if self.states == (0, 1) else (0, 1)
            message += f" If the data are coded in {other}, say states={other}."
        return message


@constant
def _category_mask(categories: tuple[int, ...], device: str) -> Tensor:
    k = torch.tensor(categories)
    return (torch.arange(int(k.max())) < k[:, None]).to(device)
