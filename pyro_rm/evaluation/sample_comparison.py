"""Samples of a model beside data: rates, pairs, and the distributions of three numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rm.target import Target

TOLERANCE = 0.05  # of shares and correlations: what a fit to few data may miss
_LARGE_SHIFT = 0.2  # of the distribution of a number
_RARE = 0.02  # share of the data beyond which there are hardly any
_FAILURE = 1e-4  # of each comparison of a correct model
LARGEST_Z = 5.5  # of a rate or a correlation, of which there are many


@dataclass(frozen=True, eq=False)
class SampleComparison:
    """How samples differ from data beyond sampling error.

    :param numbers: By name, pairs of a number of each sample and of each datum.
    :param rates: Rates of the samples and of the data, ``(2, p)``.
    :param correlations: Of pairs of sites, in the samples and in the data, ``(2, pairs)``.
    :param weights: Of the samples, summing to one, ``(n,)``.
    :param share_outside: Share of the samples at values of a number that at most a fiftieth of the
        data have, beyond sampling error and .05, or 0.
    :param where: Which number, in words.
    :param differences: What else differs, a sentence each.
    :param remarks: Where the distribution of a number differs by less than .2, as models miss what
        their form cannot say.

    .. note:: Costs an energy for each sample and datum, a product of samples and data, and one of
        columns.
    """

    numbers: dict[str, tuple[Tensor, Tensor]]
    rates: Tensor
    correlations: Tensor
    weights: Tensor
    share_outside: float
    where: str
    differences: list[str]
    remarks: list[str]

    @classmethod
    def of(
        cls, target: Target, samples: Tensor, data: Tensor, *, weights: Tensor | None = None
    ) -> SampleComparison:
        """Compare.

        :param target: What the samples are of.
        :param samples: Data drawn from it, ``(n, D)``.
        :param data: The data, ``(N, D)``.
        :param weights: Of the samples, summing to one; equal if None.
        """
        drawn, known = target.encode(samples), target.encode(data)
        if weights is None:
            weights = drawn.new_full((len(drawn),), 1 / len(drawn))
        weights = weights.to(drawn)
        size = float(1 / weights.square().sum())
        numbers = _numbers(target, drawn, known)
        share, where = 0.0, ""
        differences: list[str] = []
        remarks: list[str] = []
        for name, (mine, theirs) in numbers.items():
            error = (math.log(1 / _FAILURE) / 2 * (1 / size + 1 / len(theirs))) ** 0.5
            outside, there = _excess(mine, weights, theirs, _RARE)
            if outside > max(share, error + TOLERANCE):
                share, where = outside, f"{name} {there}"
            shift, there = _excess(mine, weights, theirs)
            if shift > error + TOLERANCE:
                words = f"{shift:.0%} more samples than data have {name} {there}."
                (differences if shift > error + _LARGE_SHIFT else remarks).append(words)
        rates, correlations, variance = _moments(target, drawn, known, weights)
        off = (1 / size + 1 / len(known)) ** 0.5
        differences += [
            *_far(rates, LARGEST_Z * variance.sqrt() * off, "rates"),
            *_far(correlations, torch.full_like(correlations[0], LARGEST_Z * off), "correlations"),
        ]
        return cls(numbers, rates, correlations, weights, share, where, differences, remarks)

    def __str__(self) -> str:
        rate = (self.rates[0] - self.rates[1]).abs().max().item()
        pair = (self.correlations[0] - self.correlations[1]).abs().max().item()
        return (
            f"mean rate {self.rates[0].mean():.3f} (data {self.rates[1].mean():.3f}), largest "
            f"difference of a rate {rate:.3f}, of a correlation {pair:.3f}."
        )

    def plot(self, axes: Any, label: str) -> None:
        """Draw on four axes: rates, pairs, and the first two numbers."""
        for axis, pair, name in (
            (axes[0], self.rates, "rates"),
            (axes[1], self.correlations, "pair correlations"),
        ):
            mine, theirs = pair.cpu().numpy()
            axis.axline((0, 0), slope=1, color="gray", linewidth=0.8)
            axis.plot(theirs, mine, ".", markersize=3, label=label)
            axis.set_xlabel(f"{name}, data")
            axis.set_ylabel("samples")
        for axis, (name, (drawn, known)) in zip(axes[2:], self.numbers.items(), strict=False):
            both = torch.cat([drawn, known])
            edges = torch.linspace(both.min().item(), both.max().item() + 1e-6, 41).tolist()
            if not axis.has_data():
                axis.hist(known.cpu().numpy(), edges, density=True, color="silver", label="data")
            axis.hist(
                drawn.cpu().numpy(), edges, weights=self.weights.cpu().numpy(), density=True,
                histtype="step", label=label,
            )  # fmt: skip
            axis.set_xlabel(name)


def _numbers(target: Target, drawn: Tensor, known: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Three numbers of each sample and of each datum."""
    flat = [_indicators(target, x) for x in (drawn, known)]
    common = flat[1].mean(0)
    common = (common >= common.amax(-1, keepdim=True)).to(flat[1].dtype)
    off = [(1 - (x * common).amax(-1)).sum(-1) for x in flat]
    half = len(known) // 2
    reference, rest = flat[1][:half].flatten(1), flat[1][half:].flatten(1)
    sites = target.space.num_sites
    nearest = [sites - (x.flatten(1) @ reference.mT).amax(1) for x in (flat[0], rest)]
    return {
        "sites off their commonest value": (off[0], off[1]),
        "energy": (target(drawn), target(known)),
        "distance to the nearest datum": (nearest[0], nearest[1]),
    }


def _indicators(target: Target, encoded: Tensor) -> Tensor:
    """One-hot sites, ``(N, D, K)``."""
    if not target.space.is_binary:
        return encoded
    high = (encoded == target.space.states[1]).to(encoded.dtype)
    return torch.stack([1 - high, high], -1)


def _excess(drawn: Tensor, weights: Tensor, known: Tensor, rare: float = 1.0) -> tuple[float, str]:
    """The largest share of samples beyond a value less that of the data, and which side it is.

    :param rare: Only sides that hold at most this share of the data.
    """
    values = torch.cat([drawn, known])
    order = values.argsort(stable=True)
    none, each = torch.zeros_like(weights), weights.new_full((len(known),), 1 / len(known))
    mine = torch.cat([weights, 0 * each])[order].cumsum(0)  # of the samples, up to a value
    theirs = torch.cat([none, each])[order].cumsum(0)
    values = values[order]
    last = torch.cat([values[1:] != values[:-1], torch.ones_like(values[:1], dtype=torch.bool)])
    rest = rare + 1e-6  # shares are rounded
    low = torch.where(last & (theirs <= rest), mine - theirs, 0.0)
    high = torch.where(last & (1 - theirs <= rest), theirs - mine, 0.0)
    if high.max() >= low.max():
        return high.max().item(), f"above {values[high.argmax()].item():.3g}"
    return low.max().item(), f"up to {values[low.argmax()].item():.3g}"


def _moments(
    target: Target, drawn: Tensor, known: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rates, correlations, and the variances of the rates."""
    columns = [_indicators(target, x)[..., 1:].flatten(1) for x in (drawn, known)]
    own = weights.new_full((len(known),), 1 / len(known))
    rates = torch.stack([weights @ columns[0], own @ columns[1]])
    pooled = rates.mean(0)
    variance = pooled * (1 - pooled)
    pairs = []
    for column, weight, rate in zip(columns, (weights, own), rates, strict=True):
        scale = (rate * (1 - rate)).clamp(min=1 / len(known)).sqrt()
        centered = (column - rate) / scale
        pairs.append(centered.mT @ (weight[:, None] * centered))
    sites = target.space.num_sites
    other = torch.ones(sites, sites, device=drawn.device).triu(1).bool()
    width = len(pooled) // sites
    other = other.repeat_interleave(width, 0).repeat_interleave(width, 1)
    return rates, torch.stack([pair[other] for pair in pairs]), variance


def _far(pair: Tensor, error: Tensor, what: str) -> list[str]:
    """The finding that some rates or correlations differ."""
    if pair.shape[1] == 0:
        return []
    difference = (pair[0] - pair[1]).abs()
    wrong = difference > error + TOLERANCE
    if not wrong.any():
        return []
    worst = difference.masked_fill(~wrong, 0.0).argmax()
    return [
        f"{int(wrong.sum())} of {wrong.numel()} {what} differ, the worst by "
        f"{difference[worst].item():.2f}: {pair[0, worst].item():.2f} in samples, "
        f"{pair[1, worst].item():.2f} in the data."
    ]
