"""The check of designs: expectations over every possible draw."""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pyro_rm.designs import Design, Draw
from pyro_rm.testing.branches import Branches
from pyro_rm.testing.expectations import expect, expect_equal, name_of

_STRATA = {1: 24, 2: 8, 3: 4}


class EnumeratedUniforms(Branches, TorchFunctionMode):
    """Stands in for ``torch.rand``, ``rand_like``, ``uniform_`` and ``randperm``.

    One to three uniform numbers are drawn from the middles of equal strata of the unit interval,
    24, 8 and 4 of them, which is exact where a computation depends on the stratum
    only. Those that fall in one stratum come in every order, which is exact for ranks. More
    numbers than three differ by their order alone.
    """

    def __init__(self) -> None:
        Branches.__init__(self)
        TorchFunctionMode.__init__(self)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Enumerate what is random, and leave all else alone."""
        kwargs = {k: v for k, v in (kwargs or {}).items() if k != "generator"}
        if func is torch.rand:
            return self._fill(torch.empty(*args, **kwargs))
        if func is torch.rand_like:
            return self._fill(torch.empty_like(*args, **kwargs))
        if func is torch.Tensor.uniform_ and len(args) == 1 and not kwargs:
            return self._fill(args[0])
        if func is torch.randperm:
            orders = list(permutations(range(args[0])))
            return torch.tensor(orders[self.branch(len(orders))], **kwargs)
        return func(*args, **kwargs)

    def _fill(self, tensor: Tensor) -> Tensor:
        count = tensor.numel()
        strata = _STRATA.get(count, 1)
        number = torch.tensor(self.branch(strata**count))
        stratum = number // strata ** torch.arange(count) % strata
        order = _permutation(self.branch(factorial(count)), count)
        points = (stratum + 0.5 + 1e-3 * order) / strata
        return tensor.copy_(points.view(tensor.shape))


def _permutation(number: int, count: int) -> Tensor:
    """One of the orders of so many things."""
    left, order = list(range(count)), []
    for size in range(count, 0, -1):
        number, chosen = divmod(number, size)
        order.append(left.pop(chosen))
    return torch.tensor(order, dtype=torch.float64)


def every_draw(design: Design, sizes: Tensor, num_draws: int) -> list[Draw]:
    """All draws of a design, as likely as each other.

    :param design: Draws by ``torch.rand``, ``rand_like``, ``uniform_`` and ``randperm``.
    :param sizes: Shape ``batch_shape + (candidates,)``.
    :param num_draws: Draws for each row.
    :returns: The draws.
    :raises AssertionError: If the design draws random numbers in another way.

    Example:

        >>> from pyro_rm.designs import ProportionalToSize
        >>> draws = every_draw(ProportionalToSize(), torch.tensor([2.0, 1.0, 1.0]), 2)
        >>> torch.stack([draw.candidates for draw in draws]).flatten().bincount() / len(draws)
        tensor([1.0000, 0.5000, 0.5000])
    """
    draws, branches = [], EnumeratedUniforms()
    while True:
        branches.start()
        with branches:
            draws.append(design.draw(sizes, num_draws))
        expect(
            not branches.drew_elsewhere(),
            f"Expected {name_of(design)} to draw by torch.rand, torch.rand_like, uniform_() or "
            "torch.randperm, which can be enumerated, but it took other random numbers.",
        )
        if not branches.advance():
            return draws


def check_design(design: Design) -> None:
    """Check what a design declares: whether it is unbiased, and whether it exhausts.

    The expected weight of each candidate is summed over every possible draw, by
    ``EnumeratedUniforms``: no sampling, and no tolerance for chance.

    :param design: The design, of this library or your own. Its randomness must come from
        ``torch.rand``, ``torch.rand_like``, ``Tensor.uniform_()`` or ``torch.randperm``.
    :raises AssertionError: If something is wrong, saying what.

    Example:

        >>> from pyro_rm.designs import WithReplacement
        >>> check_design(WithReplacement())

    .. note:: Takes some seconds.
    """
    name = name_of(design)
    rows = torch.tensor([[2, 1, 1], [0, 1, 3], [0, 0, 4], [2, 4, 2]], dtype=torch.float64) / 4
    for sizes in rows:
        for num_draws in (1, 2, 3, 4) if design.exhausts else (1, 2):
            _check_draws(design, sizes, num_draws, name)
    _check_draws(design, rows.new_tensor([3, 3, 2]) / 8, 2, name)
    _check_draws(design, rows[:2], 1, name)
    _check_form(design, name)


def _check_draws(design: Design, sizes: Tensor, num_draws: int, name: str) -> None:
    """Of one batch of sizes."""
    shown = f"sizes {[round(size, 4) for size in sizes.flatten().tolist()]} and {num_draws} draws"
    draws = every_draw(design, sizes, num_draws)
    _check_one(draws[0], sizes, num_draws, f"{name} at {shown}")
    expect(
        len({(draw.candidates.shape, draw.weights.shape) for draw in draws}) == 1,
        f"Expected as many draws whatever is drawn from {name} at {shown}, but got others: fill "
        "them up by candidates of weight 0.",
    )
    every = Draw(*(torch.stack(parts, 1) for parts in zip(*draws, strict=True)))
    rows = sizes.expand(len(draws), *sizes.shape)
    _check_one(every, rows, num_draws, f"{name} at {shown}")
    totals = _totals(every, rows)
    there = (sizes > 0).to(sizes.dtype)
    if design.unbiased:
        expect_equal(
            totals.mean(0),
            there,
            f"the mean weight of each candidate over all {len(draws)} draws of {name}, which says "
            f"unbiased = True, at {shown}",
            at=lambda index: f"for candidate {index[-1]}",
        )
    if design.exhausts and num_draws >= sizes.shape[-1]:
        expect_equal(
            totals,
            there.expand(totals.shape),
            f"the weight of each candidate in each draw of {name}, which says exhausts = True, at "
            f"{shown}",
            at=lambda index: f"for candidate {index[-1]}",
        )


def _check_one(draw: Draw, sizes: Tensor, num_draws: int, what: str) -> None:
    """Shapes, types, and nothing that must not be visited."""
    index, weights = draw
    shape, most = index.shape, max(num_draws, sizes.shape[-1])
    expect(
        shape == weights.shape and shape[1:] == sizes.shape[:-1] and 0 < shape[0] <= most,
        f"Expected candidates and weights of shape ({num_draws},) + {tuple(sizes.shape[:-1])} from "
        f"{what}, but got {tuple(shape)} and {tuple(weights.shape)}.",
    )
    expect(
        index.dtype == torch.int64 and weights.dtype == sizes.dtype,
        f"Expected candidates in int64 and weights in {sizes.dtype}, the type of the sizes, from "
        f"{what}, but got {index.dtype} and {weights.dtype}.",
    )
    expect(
        ((index >= 0) & (index < sizes.shape[-1])).all(),
        f"Expected candidates from 0 to {sizes.shape[-1] - 1} from {what}, but got {index}.",
    )
    expect(
        ((weights >= 0) & weights.isfinite()).all(),
        f"Expected weights that are finite and not negative from {what}, but got {weights}.",
    )
    drawn = sizes.gather(-1, index.movedim(0, -1)).movedim(-1, 0)
    expect(
        ((drawn > 0) | (weights == 0)).all(),
        f"Expected candidates of size 0 to have weight 0 from {what}, but got weights "
        f"{weights.tolist()} of candidates {index.tolist()}: they must never be visited.",
    )


def _totals(draw: Draw, sizes: Tensor) -> Tensor:
    """What each candidate weighs in a draw."""
    totals = torch.zeros_like(sizes)
    return totals.scatter_add_(-1, draw.candidates.movedim(0, -1), draw.weights.movedim(0, -1))


def _check_form(design: Design, name: str) -> None:
    """Rows without candidates, types, devices, and rows that are one row expanded."""
    nothing = torch.zeros(2, 3)
    _check_one(design.draw(nothing, 2), nothing, 2, f"{name} at rows without candidates")
    for dtype in (torch.bfloat16, torch.float32):
        for device in ("cpu", "meta"):
            sizes = torch.ones(2, 4, 5, dtype=dtype, device=device)
            try:
                index, weights = design.draw(sizes, 2)
            except (RuntimeError, NotImplementedError) as error:
                raise AssertionError(
                    f"Expected {name} to draw where its sizes are, but on another device it "
                    f"raises: {error}"
                ) from error
            expect(
                index.device == weights.device == sizes.device and weights.dtype == dtype,
                f"Expected draws of {name} on {sizes.device} in {dtype}, as the sizes are, but "
                f"got candidates on {index.device}, weights on {weights.device} in "
                f"{weights.dtype}.",
            )
    row, draws = torch.tensor([0.3, 0.0, 0.5, 0.2]), []
    for sizes in (row.expand(5, 4), row.repeat(5, 1)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            draws.append(design.draw(sizes, 2))
    expect(
        torch.equal(draws[0].candidates, draws[1].candidates),
        f"Expected {name} to draw from one row expanded as from copies of it, but got others.",
    )
