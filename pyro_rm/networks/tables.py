"""Tables of binary data: their coding, and what is wrong in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_rm.networks.columns import (
    Table,
    cells_like,
    check_constant,
    counted_rows,
    numbers,
    read_cells,
    row_weights,
    some_columns,
)
from pyro_rm.networks.words import Labels, binary_words
from pyro_rm.state_space import StateSpace

States = tuple[float, float]
_CODINGS: tuple[States, ...] = ((0, 1), (-1, 1))


def read_binary(table: Any, states: States | None = None, sample_weight: Any = None) -> Table:
    """A table of two-valued columns, checked; rows without an answer or a weight are left out.

    :param table: See :func:`read_cells`; columns of text, see
        :func:`~pyro_rm.networks.words.binary_words`.
    :param states: ``(0, 1)`` or ``(-1, 1)``; None: whichever the data are in.
    :param sample_weight: See :func:`row_weights`.
    :returns: The table.
    :raises ValueError: If columns are not binary, are constant, are copies of each other, or
        mix the codings, each named, with what to do.

    Example:

        >>> read_binary([[-1, 1], [1, -1], [1, 1]]).categories
        [-1, 1]
    """
    cells, names = read_cells(table)
    labels = binary_words(table, cells, names)
    values = _of_states(numbers(cells, names, labels), labels, states or (0, 1))
    weights = row_weights(sample_weight, len(values), table)
    counted, num_blank = counted_rows(values, weights), int(values.isnan().sum())
    values, weights = values[counted], None if weights is None else weights[counted]
    chosen = _coding(values, names) if states is None else states
    _check_coding(values, names, chosen)
    check_constant(values, names)
    _check_copies(values, names, chosen)
    space = StateSpace(len(names), states=chosen)
    return Table(values, names, space, list(chosen), weights, num_blank, labels)


def _of_states(values: Tensor, labels: Labels | None, states: States) -> Tensor:
    """Columns of text, which are coded by 0 and 1, in the states."""
    if labels is None or tuple(states) == (0, 1):
        return values
    text = torch.tensor([own is not None for own in labels])
    return torch.where(text, states[0] + (states[1] - states[0]) * values, values)


def _is_coded(values: Tensor, states: States) -> Tensor:
    """Whether each column holds nothing but the two states and blanks."""
    return ((values == states[0]) | (values == states[1]) | values.isnan()).all(0)


def _coding(values: Tensor, names: Sequence[Any]) -> States:
    bits, spins = (_is_coded(values, states) for states in _CODINGS)
    if bool((bits | spins).all()) and not bits.all() and not spins.all():
        raise ValueError(
            f"Expected one coding for all columns, but got 0/1 in {some_columns(names, ~spins)} "
            f"and -1/1 in {some_columns(names, ~bits)}. Recode one of them: 2 * x - 1 turns 0/1 "
            "into -1/1."
        )
    return (-1, 1) if int(spins.sum()) > int(bits.sum()) else (0, 1)


def _check_coding(
    values: Tensor, names: Sequence[Any], states: States, *, fitted: bool = False
) -> None:
    fits = _is_coded(values, states)
    if fits.all():
        return
    other = _CODINGS[1 - _CODINGS.index(states)]
    if _is_coded(values, other).all():
        recode = "2 * X - 1" if states == (-1, 1) else "(X + 1) / 2"
        way_out = f"Pass {recode}" if fitted else f"Say states={other}, or leave states=None"
        raise ValueError(
            f"Expected values in {states}, but got {other} in {some_columns(names, ~fits)}. "
            f"{way_out}."
        )
    column = values[:, ~fits][:, 0]
    wrong = column[~((column == states[0]) | (column == states[1]) | column.isnan())]
    raise ValueError(
        f"Expected columns of two values {states}, but {some_columns(names, ~fits)} hold others, "
        f"such as {wrong[0].item():g}. {_way_out(column, wrong)}"
    )


def _way_out(column: Tensor, wrong: Tensor) -> str:
    """What to do about a column of other values."""
    values = set(column[~column.isnan()].tolist())
    if values == {1.0, 2.0}:
        return "If 1 and 2 are the two answers, pass table - 1."
    if len(values - {0.0, 1.0}) == 1 and {0.0, 1.0} <= values:
        code = wrong[0].item()
        return (
            f"If {code:g} means that there is no answer, make it blank, as by "
            f"table.replace({code:g}, float('nan')) of a data frame. If it is a third answer, take "
            "OrdinalNetwork or PottsNetwork."
        )
    return (
        "Threshold them, drop them by table.drop(columns=[...]), or take OrdinalNetwork or "
        "PottsNetwork, which are for more answers than two."
    )


def _check_copies(values: Tensor, names: Sequence[Any], states: States) -> None:
    high = (values == states[1]).to(torch.int8)
    blank = values.isnan().to(torch.int8) * 2
    seen: dict[bytes, Any] = {}
    for index, name in enumerate(names):
        own, flipped = high[:, index] + blank[:, index], 1 - high[:, index] + blank[:, index]
        flipped = torch.where(blank[:, index] > 0, blank[:, index], flipped)
        for column, relation in ((own, "a copy"), (flipped, "the opposite")):
            twin = seen.get(column.numpy().tobytes())
            if twin is not None:
                raise ValueError(
                    f"Expected different columns, but {name!r} is {relation} of {twin!r}: their "
                    "coupling is unbounded. Drop one of them."
                )
        seen[own.numpy().tobytes()] = name


def read_binary_like(
    table: Any, states: States, known: Sequence[Any], labels: Labels | None = None
) -> Tensor:
    """New rows in a coding and an order of columns that are known already.

    :param labels: The two answers of columns of text.
    :returns: Values, ``(N, D)``, NaN where blank.
    :raises ValueError: If the columns, the coding or the answers differ.
    """
    values = _of_states(numbers(cells_like(table, known), known, labels), labels, states)
    _check_coding(values, known, states, fitted=True)
    return values
